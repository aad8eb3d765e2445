/* SPDX-License-Identifier: PostgreSQL */
/*
 * Grades of a server's limits: connections, times after which it cuts, its age.
 *
 * Locks: none. Fork: nothing to do.
 */
#include <limits.h>
#include <stdio.h>

#include "doctor/database.h"
#include "doctor/report.h"

#define FREE_HAZARD 3
#define SERVER_KEEPALIVE_LATE_S 3600

/* ---- connections ---------------------------------------------------------------------------- */

/* The tightest of the limits, and what is left of it. */
static const char *tightest(const struct tine_server *server, long long *ret_limit,
			    long long *ret_free)
{
	const struct {
		const char *name;
		long long limit, used;
	} limits[] = {
		{ "max_connections less reserved",
		  server->max_connections - (server->is_superuser ? 0 : server->reserved),
		  server->used },
		/* Neither holds for a superuser. */
		{ "the role's CONNECTION LIMIT", server->is_superuser ? -1 : server->role_limit,
		  server->used_by_role },
		{ "the database's CONNECTION LIMIT",
		  server->is_superuser ? -1 : server->database_limit, server->used_by_database },
	};
	const char *name = limits[0].name;

	*ret_free = LLONG_MAX;
	*ret_limit = 0;
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		if (limits[i].limit < 0 || limits[i].limit - limits[i].used >= *ret_free)
			continue;
		*ret_free = limits[i].limit - limits[i].used;
		*ret_limit = limits[i].limit;
		name = limits[i].name;
	}
	if (*ret_free < 0)
		*ret_free = 0;
	return name;
}

long long tine_server_free(const struct tine_server *server)
{
	long long limit, left;

	tightest(server, &limit, &left);
	return left;
}

static long long least_limit(const struct tine_server *server)
{
	long long limit = server->max_connections - (server->is_superuser ? 0 : server->reserved);

	if (server->is_superuser)
		return limit;
	if (server->role_limit >= 0 && server->role_limit < limit)
		limit = server->role_limit;
	if (server->database_limit >= 0 && server->database_limit < limit)
		limit = server->database_limit;
	return limit;
}

void tine_grade_limits(struct tine_database *database, const char *where,
		       const struct tine_server *server)
{
	long long limit, left;
	const char *name = tightest(server, &limit, &left);
	struct tine_finding *finding = tine_report_add(
		database->report,
		left * 10 < limit || left <= FREE_HAZARD ? "connections-low" : "connections", where,
		"connections: %lld of %lld left (%s); max_connections is %lld, %lld reserved, "
		"%lld used",
		left, limit, name, server->max_connections, server->reserved, server->used);

	if (left <= FREE_HAZARD)
		tine_finding_set_grade(finding, TINE_GRADE_HAZARD);
	if (database->options->budget > least_limit(server))
		tine_report_add(database->report, "budget-above-limit", where,
				"the budget is %d connections, the server gives this user %lld",
				database->options->budget, least_limit(server));
	if (server->idle_in_transaction)
		tine_report_add(database->report, "idle-transactions", where,
				"%lld sessions idle in a transaction for more than a minute, the "
				"longest for %lld s",
				server->idle_in_transaction, server->idle_in_transaction_s);
}

/* ---- times ---------------------------------------------------------------------------------- */

static void grade_idle_session(struct tine_database *database, const char *where,
			       long long timeout_ms)
{
	long long recycle_s = timeout_ms / 1000 * 8 / 10;
	struct tine_finding *finding =
		tine_report_add(database->report, "idle-session-timeout", where,
				"idle_session_timeout ends a session that was idle for %.1f s",
				(double)timeout_ms / 1e3);

	tine_finding_add_line(finding, "create_engine(..., pool_recycle=%lld, pool_pre_ping=True)",
			      recycle_s > 0 ? recycle_s : 1);
}

static void note_timeout(struct tine_database *database, const char *where, const char *code,
			 const char *name, long long timeout_ms)
{
	if (timeout_ms > 0)
		tine_report_add(database->report, code, where, "%s is %.1f s", name,
				(double)timeout_ms / 1e3);
}

void tine_grade_timeouts(struct tine_database *database, const char *where,
			 const struct tine_server *server)
{
	if (server->idle_session_ms > 0)
		grade_idle_session(database, where, server->idle_session_ms);
	note_timeout(database, where, "idle-transaction-timeout",
		     "idle_in_transaction_session_timeout", server->idle_transaction_ms);
	note_timeout(database, where, "statement-timeout", "statement_timeout",
		     server->statement_ms);
	note_timeout(database, where, "transaction-timeout", "transaction_timeout",
		     server->transaction_ms);
	if (server->keepalives_idle_s > SERVER_KEEPALIVE_LATE_S)
		tine_report_add(database->report, "server-keepalives-late", where,
				"tcp_keepalives_idle is %lld s", server->keepalives_idle_s);
	if (server->major && !server->idle_session_ms && !server->idle_transaction_ms &&
	    !server->statement_ms && !server->transaction_ms)
		tine_report_add(database->report, "timeouts", where,
				"timeouts: the server ends no session or statement of this user");
}

/* ---- age ------------------------------------------------------------------------------------ */

/* Version N came out in the autumn of 2007 + N and is kept up for five years, until the second
 * Thursday of November. */
static bool is_kept_up(int major, time_t now)
{
	struct tm parts;
	int last_year = 2012 + major;

	if (!gmtime_r(&now, &parts) || parts.tm_year + 1900 < last_year)
		return true;
	return parts.tm_year + 1900 == last_year &&
	       (parts.tm_mon < 10 || (parts.tm_mon == 10 && parts.tm_mday < 8));
}

void tine_grade_version(struct tine_database *database, const char *where,
			const struct tine_server *server)
{
	if (!server->major)
		return;
	tine_report_add(database->report,
			server->major >= 10 && is_kept_up(server->major, database->now)
				? "server"
				: "server-unsupported",
			where, "server: PostgreSQL %s", server->version);
}
