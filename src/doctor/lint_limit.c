/* SPDX-License-Identifier: PostgreSQL */
/*
 * How many connections a server lets this user have, all told.
 *
 * Owns a session during the call. Locks: none. Fork: nothing to do.
 */
#include <errno.h>

#include "base/exit.h"
#include "doctor/lint.h"
#include "doctor/session.h"

/* The least of what is left for ordinary users, the role's limit and the database's. */
static const char question[] =
	"select least(current_setting('max_connections')::int"
	" - current_setting('superuser_reserved_connections')::int"
	" - coalesce(nullif(current_setting('reserved_connections', true), '')::int, 0),"
	" (select nullif(rolconnlimit, -1) from pg_catalog.pg_roles where rolname = current_user),"
	" (select nullif(datconnlimit, -1) from pg_catalog.pg_database"
	" where datname = current_database()))";

static int ask(const struct tine_dsn *dsn, int *ret_limit)
{
	tine_error error = { 0 };
	struct tine_rows rows = { 0 };
	struct tine_session *session = tine_session_open_any(dsn, &error);
	int rc = session ? tine_session_query(session, question, TINE_SESSION_QUERY_MS, &rows,
					      &error)
			 : -1;

	if (rc == 0)
		*ret_limit = (int)tine_rows_number(&rows, 0, 0);
	else
		tine_doctor_fail(TINE_EXIT_SYSTEM, "the limit of connections: %s", error.text);
	tine_rows_done(&rows);
	if (session)
		tine_session_close(session);
	return rc == 0 ? 0 : -EIO;
}

int tine_lint_limit(const struct tine_doctor_options *options, int *ret_limit,
		    const char **ret_whose)
{
	struct tine_dsn dsn = { 0 };
	tine_error error = { 0 };
	int rc;

	*ret_limit = options->budget;
	*ret_whose = "--budget";
	if (options->budget || !options->conninfo)
		return 0;
	if (tine_dsn_read(&dsn, options->conninfo, &error) < 0) {
		tine_doctor_fail(TINE_EXIT_SYSTEM, "connection string: %s", error.text);
		return -EINVAL;
	}
	*ret_whose = "what the server has to give";
	rc = ask(&dsn, ret_limit);
	tine_dsn_done(&dsn);
	return rc;
}
