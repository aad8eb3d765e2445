/* SPDX-License-Identifier: PostgreSQL */
/*
 * Is there a pooler in front of the server, and in which mode?
 *
 * A server lets us in by the process that then works for us; a pooler makes up a process id of its
 * own. PgBouncer is known by what it says to a parameter it does not know. Its mode comes from its
 * console where we may use it, else from what it does: when a second client meets the process that
 * the first one met, while the first is still connected, sessions are not kept apart.
 *
 * Nothing is set in any session: it would stay behind for the next client.
 *
 * Locks: none. Fork: nothing to do.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "doctor/database.h"
#include "doctor/report.h"

#define TRIES 3

enum mode { MODE_UNKNOWN, MODE_SESSION, MODE_TRANSACTION, MODE_STATEMENT };

static const char *const mode_names[] = { "unknown", "session", "transaction", "statement" };
static const char *const mode_codes[] = { "pooler", "pooler", "pooler-transaction",
					  "pooler-statement" };

struct pooler {
	bool is_pgbouncer;
	enum mode mode;
	const char *mode_from;
	long long client_idle_s, max_clients, pool_size;
};

static long long backend_pid(struct tine_session *session, tine_error *error)
{
	struct tine_rows rows;
	long long pid;

	if (tine_session_query(session, "select pg_catalog.pg_backend_pid()", TINE_SESSION_USUAL_MS,
			       &rows, error) < 0)
		return -1;
	pid = tine_rows_number(&rows, 0, 0);
	tine_rows_done(&rows);
	return pid;
}

/* ---- which pooler --------------------------------------------------------------------------- */

static bool is_pgbouncer(struct tine_database *database, const struct tine_examined *host)
{
	struct tine_endpoint endpoint = { .address = host->chosen->address };
	struct tine_wire wire;
	struct tine_greeting greeting;
	struct tine_tls_seen tls;

	tine_endpoints_connect(&endpoint, 1, host->host->port, host->host->is_socket,
			       database->timeout_ms);
	if (endpoint.fd < 0)
		return false;
	wire = (struct tine_wire){ .fd = endpoint.fd,
				   .until_ns = tine_clock_ns() +
					       (int64_t)database->timeout_ms * TINE_NS_PER_MS };
	if (tine_session_is_encrypted(host->session))
		tine_tls_look(&wire, &database->dsn, host->host, &tls);
	tine_wire_greet(&wire, tine_dsn_value(&database->dsn, "user"),
			tine_dsn_value(&database->dsn, "dbname"), "tine_asks", &greeting);
	tine_wire_close(&wire);
	return greeting.kind == 'E' &&
	       strncmp(greeting.message, "unsupported startup parameter", 29) == 0;
}

/* ---- its console ---------------------------------------------------------------------------- */

static enum mode read_mode(const char *name)
{
	for (int i = MODE_SESSION; i <= MODE_STATEMENT; i++)
		if (strcmp(name, mode_names[i]) == 0)
			return (enum mode)i;
	return MODE_UNKNOWN;
}

static void read_config(struct tine_session *console, struct pooler *pooler)
{
	struct tine_rows rows;
	tine_error error;

	if (tine_session_query(console, "show config", TINE_SESSION_USUAL_MS, &rows, &error) < 0)
		return;
	for (int i = 0; i < rows.count; i++) {
		const char *key = tine_rows_text(&rows, i, 0);

		if (strcmp(key, "pool_mode") == 0)
			pooler->mode = read_mode(tine_rows_text(&rows, i, 1));
		if (strcmp(key, "client_idle_timeout") == 0)
			pooler->client_idle_s = tine_rows_number(&rows, i, 1);
		if (strcmp(key, "max_client_conn") == 0)
			pooler->max_clients = tine_rows_number(&rows, i, 1);
		if (strcmp(key, "default_pool_size") == 0)
			pooler->pool_size = tine_rows_number(&rows, i, 1);
	}
	tine_rows_done(&rows);
}

/* A database may have a mode and a size of its own. */
static void read_database(struct tine_session *console, const char *dbname, struct pooler *pooler)
{
	struct tine_rows rows;
	tine_error error;

	if (tine_session_query(console, "show databases", TINE_SESSION_USUAL_MS, &rows, &error) < 0)
		return;
	for (int i = 0; i < rows.count; i++) {
		int mode = tine_rows_column(&rows, "pool_mode");
		int size = tine_rows_column(&rows, "pool_size");

		if (strcmp(tine_rows_text(&rows, i, tine_rows_column(&rows, "name")), dbname) != 0)
			continue;
		if (*tine_rows_text(&rows, i, mode))
			pooler->mode = read_mode(tine_rows_text(&rows, i, mode));
		if (tine_rows_number(&rows, i, size) > 0)
			pooler->pool_size = tine_rows_number(&rows, i, size);
	}
	tine_rows_done(&rows);
}

static void ask_console(struct tine_database *database, const struct tine_examined *host,
			struct pooler *pooler)
{
	const struct tine_parameter console_database[] = { { "dbname", "pgbouncer" }, { 0 } };
	tine_error error;
	struct tine_session *console = tine_host_session(database, host, console_database, &error);

	if (!console)
		return;
	read_config(console, pooler);
	read_database(console, tine_dsn_value(&database->dsn, "dbname"), pooler);
	tine_session_close(console);
	pooler->mode_from = "its console";
}

/* ---- what it does --------------------------------------------------------------------------- */

static enum mode try_once(struct tine_session *first, struct tine_session *second)
{
	tine_error error;
	long long mine = backend_pid(first, &error), other;

	if (mine < 0 ||
	    tine_session_query(second, "begin", TINE_SESSION_USUAL_MS, NULL, &error) < 0)
		return strstr(error.text, "statement pooling") ? MODE_STATEMENT : MODE_UNKNOWN;
	other = backend_pid(second, &error);
	if (other < 0 ||
	    tine_session_query(second, "rollback", TINE_SESSION_USUAL_MS, NULL, &error) < 0)
		return MODE_UNKNOWN;
	return mine == other ? MODE_TRANSACTION : MODE_SESSION;
}

static void watch(struct tine_database *database, const struct tine_examined *host,
		  struct pooler *pooler)
{
	tine_error error;
	struct tine_session *second = tine_host_session(database, host, NULL, &error);

	pooler->mode_from = "what it does";
	pooler->mode = MODE_UNKNOWN;
	/* Somebody else may take the process in between; that it is met once is enough. */
	for (int i = 0; second && i < TRIES; i++) {
		enum mode seen = try_once(host->session, second);

		pooler->mode = seen;
		if (seen != MODE_SESSION)
			break;
	}
	tine_session_close(second);
}

/* ---- all of it ------------------------------------------------------------------------------ */

static void grade(struct tine_database *database, const struct tine_examined *host,
		  const struct pooler *pooler)
{
	json_object_set_new(tine_report_facts(database->report, "database"), "pooler",
			    json_pack("{s:s, s:s, s:s, s:I, s:I, s:I}", "name",
				      pooler->is_pgbouncer ? "PgBouncer" : "unknown", "mode",
				      mode_names[pooler->mode], "mode_from", pooler->mode_from,
				      "client_idle_timeout_s", (json_int_t)pooler->client_idle_s,
				      "max_client_conn", (json_int_t)pooler->max_clients,
				      "pool_size", (json_int_t)pooler->pool_size));
	tine_report_add(database->report, mode_codes[pooler->mode], host->label,
			"%s in front of the server, mode %s (from %s)",
			pooler->is_pgbouncer ? "PgBouncer" : "a pooler", mode_names[pooler->mode],
			pooler->mode_from);
	if (pooler->client_idle_s > 0)
		tine_report_add(database->report, "pooler-idle-timeout", host->label,
				"client_idle_timeout closes a connection that was idle for %lld s",
				pooler->client_idle_s);
}

void tine_pooler_examine(struct tine_database *database, struct tine_examined *host)
{
	struct pooler pooler = { .mode_from = "nothing" };
	tine_error error;
	long long pid = backend_pid(host->session, &error);

	if (pid < 0) {
		tine_database_unanswered(database, host->label, "the server's process", &error);
		return;
	}
	if (pid == tine_session_backend_pid(host->session)) {
		tine_report_add(database->report, "pooler-none", host->label,
				"pooler: none, the process that let us in works for us");
		return;
	}
	pooler.is_pgbouncer = is_pgbouncer(database, host);
	if (pooler.is_pgbouncer)
		ask_console(database, host, &pooler);
	if (pooler.mode == MODE_UNKNOWN)
		watch(database, host, &pooler);
	grade(database, host, &pooler);
}
