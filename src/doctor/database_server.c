/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a server says of itself: its version, its limits, who is connected, what it cuts. Questions
 * that it refuses, as a server that only speaks PostgreSQL's protocol may, are told and left out.
 *
 * Locks: none. Fork: nothing to do.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor/database.h"
#include "doctor/report.h"

#define SETTINGS                                                                                   \
	"select name, setting from pg_catalog.pg_settings where name in ('server_version_num', "   \
	"'max_connections', 'superuser_reserved_connections', 'reserved_connections', "            \
	"'statement_timeout', 'idle_in_transaction_session_timeout', 'idle_session_timeout', "     \
	"'transaction_timeout', 'tcp_keepalives_idle', 'tcp_keepalives_interval', "                \
	"'tcp_keepalives_count', 'tcp_user_timeout', 'client_connection_check_interval')"

#define LIMITS                                                                                     \
	"select r.rolsuper, r.rolconnlimit, d.datconnlimit, r.rolname, d.datname "                 \
	"from pg_catalog.pg_roles r, pg_catalog.pg_database d "                                    \
	"where r.rolname = session_user and d.datname = pg_catalog.current_database()"

/* Of other users' sessions a user without privileges sees neither state nor kind; what has no
 * database is the server's own, or replication, which has a limit of its own. */
#define CLIENTS                                                                                    \
	"pg_catalog.pg_stat_activity where usesysid is not null and datid is not null "            \
	"and coalesce(backend_type, 'client backend') = 'client backend'"

#define USE                                                                                        \
	"select count(*), count(*) filter (where usename = session_user), "                        \
	"count(*) filter (where datname = pg_catalog.current_database()), "                        \
	"count(*) filter (where state like 'idle in transaction%' "                                \
	"and state_change < now() - interval '1 minute'), "                                        \
	"coalesce(max(extract(epoch from now() - state_change)) "                                  \
	"filter (where state like 'idle in transaction%'), 0)::int8 from " CLIENTS

#define USERS                                                                                      \
	"select usename, application_name, datname, count(*), "                                    \
	"count(*) filter (where state = 'active'), count(*) filter (where state = 'idle'), "       \
	"count(*) filter (where state like 'idle in transaction%') from " CLIENTS                  \
	" group by 1, 2, 3 order by 4 desc, 1, 2, 3 limit 20"

static bool ask(struct tine_database *database, struct tine_examined *host, const char *what,
		const char *sql, struct tine_rows *rows)
{
	tine_error error;

	if (tine_session_query(host->session, sql, TINE_SESSION_USUAL_MS, rows, &error) == 0)
		return true;
	tine_database_unanswered(database, host->label, what, &error);
	return false;
}

static json_t *facts_of(struct tine_database *database)
{
	return tine_report_facts(database->report, "database");
}

/* ---- settings ------------------------------------------------------------------------------- */

static void take_setting(struct tine_server *server, const char *name, long long value)
{
	const struct {
		const char *name;
		long long *field;
	} fields[] = {
		{ "max_connections", &server->max_connections },
		{ "superuser_reserved_connections", &server->reserved },
		{ "reserved_connections", &server->reserved },
		{ "statement_timeout", &server->statement_ms },
		{ "idle_in_transaction_session_timeout", &server->idle_transaction_ms },
		{ "idle_session_timeout", &server->idle_session_ms },
		{ "transaction_timeout", &server->transaction_ms },
	};

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		if (strcmp(name, fields[i].name) == 0)
			*fields[i].field += value;
	if (strcmp(name, "server_version_num") == 0)
		server->major = (int)(value / 10000);
	if (strcmp(name, "tcp_keepalives_idle") == 0)
		server->keepalives_idle_s = value;
}

static void ask_settings(struct tine_database *database, struct tine_examined *host,
			 struct tine_server *server)
{
	struct tine_rows rows;
	json_t *settings = json_object();

	json_object_set_new(facts_of(database), "settings", settings);
	if (!ask(database, host, "settings", SETTINGS, &rows))
		return;
	for (int i = 0; i < rows.count; i++) {
		char name[64];

		snprintf(name, sizeof(name), "%s", tine_rows_text(&rows, i, 0));
		take_setting(server, name, tine_rows_number(&rows, i, 1));
		/* A name that is no name would not be JSON. */
		if (strspn(name, "abcdefghijklmnopqrstuvwxyz_") == strlen(name))
			json_object_set_new(settings, name,
					    json_integer(tine_rows_number(&rows, i, 1)));
	}
	tine_rows_done(&rows);
}

/* ---- limits and use ------------------------------------------------------------------------- */

static void ask_limits(struct tine_database *database, struct tine_examined *host,
		       struct tine_server *server)
{
	struct tine_rows rows;

	if (!ask(database, host, "limits of role and database", LIMITS, &rows))
		return;
	if (rows.count > 0) {
		server->is_superuser = *tine_rows_text(&rows, 0, 0) == 't';
		server->role_limit = tine_rows_number(&rows, 0, 1);
		server->database_limit = tine_rows_number(&rows, 0, 2);
		snprintf(server->user, sizeof(server->user), "%s", tine_rows_text(&rows, 0, 3));
		snprintf(server->database, sizeof(server->database), "%s",
			 tine_rows_text(&rows, 0, 4));
	}
	tine_rows_done(&rows);
}

static void ask_use(struct tine_database *database, struct tine_examined *host,
		    struct tine_server *server)
{
	struct tine_rows rows;

	if (!ask(database, host, "how many are connected", USE, &rows))
		return;
	server->used = tine_rows_number(&rows, 0, 0);
	server->used_by_role = tine_rows_number(&rows, 0, 1);
	server->used_by_database = tine_rows_number(&rows, 0, 2);
	server->idle_in_transaction = tine_rows_number(&rows, 0, 3);
	server->idle_in_transaction_s = tine_rows_number(&rows, 0, 4);
	tine_rows_done(&rows);
}

static json_t *user_facts(const struct tine_rows *rows, int row)
{
	return json_pack("{s:o, s:o, s:o, s:I, s:I, s:I, s:I}", "user",
			 tine_report_string(tine_rows_text(rows, row, 0)), "application_name",
			 tine_report_string(tine_rows_text(rows, row, 1)), "database",
			 tine_report_string(tine_rows_text(rows, row, 2)), "connections",
			 (json_int_t)tine_rows_number(rows, row, 3), "active",
			 (json_int_t)tine_rows_number(rows, row, 4), "idle",
			 (json_int_t)tine_rows_number(rows, row, 5), "idle_in_transaction",
			 (json_int_t)tine_rows_number(rows, row, 6));
}

static void ask_users(struct tine_database *database, struct tine_examined *host)
{
	struct tine_rows rows;
	json_t *list = json_array();

	json_object_set_new(facts_of(database), "used_by", list);
	if (!ask(database, host, "who is connected", USERS, &rows))
		return;
	for (int i = 0; i < rows.count; i++) {
		json_array_append_new(list, user_facts(&rows, i));
		tine_report_summarize(database->report,
				      "  %4lld of user %.63s, application '%.63s', database %.63s",
				      tine_rows_number(&rows, i, 3), tine_rows_text(&rows, i, 0),
				      tine_rows_text(&rows, i, 1), tine_rows_text(&rows, i, 2));
	}
	tine_rows_done(&rows);
}

static void note_limits(struct tine_database *database, const struct tine_server *server)
{
	json_object_set_new(facts_of(database), "connections",
			    json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "max",
				      (json_int_t)server->max_connections, "reserved",
				      (json_int_t)server->reserved, "role_limit",
				      (json_int_t)server->role_limit, "database_limit",
				      (json_int_t)server->database_limit, "used",
				      (json_int_t)server->used, "used_by_role",
				      (json_int_t)server->used_by_role, "used_by_database",
				      (json_int_t)server->used_by_database, "free",
				      (json_int_t)tine_server_free(server)));
}

void tine_server_examine(struct tine_database *database, struct tine_examined *host,
			 struct tine_server *ret_server)
{
	struct tine_server *server = ret_server;

	*server = (struct tine_server){ .role_limit = -1,
					.database_limit = -1,
					.keepalives_idle_s = -1 };
	snprintf(server->version, sizeof(server->version), "%s",
		 tine_session_parameter(host->session, "server_version"));
	json_object_set_new(facts_of(database), "server_version",
			    tine_report_string(server->version));
	ask_settings(database, host, server);
	ask_limits(database, host, server);
	ask_use(database, host, server);
	if (server->max_connections && server->used) {
		tine_report_summarize(
			database->report,
			"PostgreSQL %s at %s; %lld connections in use, this one included:",
			server->version, host->label, server->used);
		note_limits(database, server);
		tine_grade_limits(database, host->label, server);
	}
	ask_users(database, host);
	tine_grade_version(database, host->label, server);
	tine_grade_timeouts(database, host->label, server);
}
