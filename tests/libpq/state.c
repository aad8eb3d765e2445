/* SPDX-License-Identifier: PostgreSQL */
/*
 * state ACT: log in, do something to the connection, finish it, log in again and print all that a
 * client can see of what it got; "state new" prints what a first login gets. The first line says
 * whether the second login got the session of the first.
 *
 * What differs from one session to the next by nature (its process) is not printed.
 */
#include <libpq-events.h>
#include <libpq-fe.h>
#include <libpq/libpq-fs.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static PGcancel *kept;
static PGconn *another;

static void run(PGconn *conn, const char *sql)
{
	PQclear(PQexec(conn, sql));
}

/* ---- acts ----------------------------------------------------------------------------------- */

static void hear(void *arg, const PGresult *result)
{
	(void)arg;
	(void)result;
}

static void process(void *arg, const char *text)
{
	(void)arg;
	(void)text;
}

static int on_event(PGEventId event, void *info, void *arg)
{
	(void)event;
	(void)info;
	(void)arg;
	return 1;
}

static void receiver(PGconn *conn)
{
	PQsetNoticeReceiver(conn, hear, conn);
}

static void processor(PGconn *conn)
{
	PQsetNoticeProcessor(conn, process, conn);
}

static void verbosity(PGconn *conn)
{
	PQsetErrorVerbosity(conn, PQERRORS_VERBOSE);
	PQsetErrorContextVisibility(conn, PQSHOW_CONTEXT_ALWAYS);
}

static void trace(PGconn *conn)
{
	FILE *file = fopen("/dev/null", "w");

	PQtrace(conn, file);
	run(conn, "select 1");
	/* Whoever traces on would write into a file that is closed. */
	fclose(file);
}

static void nonblocking(PGconn *conn)
{
	PQsetnonblocking(conn, 1);
}

static void pipeline(PGconn *conn)
{
	PQenterPipelineMode(conn);
}

static void event(PGconn *conn)
{
	PQregisterEventProc(conn, on_event, "test", NULL);
}

static void encoding(PGconn *conn)
{
	PQsetClientEncoding(conn, "LATIN1");
}

static void prepared(PGconn *conn)
{
	PQclear(PQprepare(conn, "p", "select $1::int", 1, NULL));
}

static void unread(PGconn *conn)
{
	PQsendQuery(conn, "select generate_series(1, 10)");
}

static void single_row(PGconn *conn)
{
	PQsendQuery(conn, "select generate_series(1, 10)");
	PQsetSingleRowMode(conn);
	PQclear(PQgetResult(conn));
}

static void copy_in(PGconn *conn)
{
	run(conn, "copy numbers from stdin");
}

static void large_object(PGconn *conn)
{
	Oid object;

	run(conn, "begin");
	object = lo_creat(conn, INV_READ | INV_WRITE);
	lo_open(conn, object, INV_WRITE);
	run(conn, "commit");
}

static void cancelled(PGconn *conn)
{
	PGcancel *cancel = PQgetCancel(conn);
	char error[256];

	PQcancel(cancel, error, sizeof(error));
	PQfreeCancel(cancel);
}

/* Another one's handle is made where the first one's was: malloc() gives the same memory again. */
static void cancelled_and_another(PGconn *conn)
{
	another = PQconnectdb("");
	cancelled(conn);
	PQfreeCancel(PQgetCancel(another));
}

/* Used when the connection is somebody else's: see main(). */
static void keep_cancel(PGconn *conn)
{
	kept = PQgetCancel(conn);
}

static void notified(PGconn *conn)
{
	run(conn, "listen news");
	run(conn, "notify news, 'first'");
	run(conn, "notify news, 'second'");
}

static const struct {
	const char *name;
	const char *sql; /* one after the other, up to NULL: with ";;" between them */
	void (*act)(PGconn *conn);
} acts[] = {
	{ "nothing", "", NULL },
	{ "guc", "set work_mem = '1MB';;set search_path = pg_catalog;;set time zone 'Asia/Tokyo'",
	  NULL },
	{ "characteristics", "set session characteristics as transaction read only", NULL },
	{ "role", "set role other", NULL },
	{ "application_name", "set application_name = 'somebody'", NULL },
	{ "custom", "set app.tenant = '1'", NULL },
	{ "custom_local", "begin;;set local app.tenant = '1';;commit", NULL },
	{ "set_config", "select set_config('app.tenant', '1', false)", NULL },
	{ "temporary", "create temp table t (a int);;insert into t values (1)", NULL },
	{ "temporary_drop", "begin;;create temp table t (a int) on commit drop;;commit", NULL },
	{ "prepared_sql", "prepare q as select 1", NULL },
	{ "prepared", "", prepared },
	{ "cursor", "declare c cursor with hold for select 1", NULL },
	{ "lock", "select pg_advisory_lock(42)", NULL },
	{ "listen", "listen news", NULL },
	{ "notified", "", notified },
	{ "sequence", "select nextval('counter')", NULL },
	{ "serial", "insert into numbers default values", NULL },
	{ "seed", "select setseed(0.5)", NULL },
	{ "settings_rule", "update pg_settings set setting = '2MB' where name = 'work_mem'", NULL },
	{ "begun", "begin;;insert into numbers default values;;set work_mem = '1MB'", NULL },
	{ "aborted", "begin;;select 1/0", NULL },
	{ "error", "select 1/0", NULL },
	{ "explain", "explain analyze select 1", NULL },
	{ "encoding", "", encoding },
	{ "receiver", "", receiver },
	{ "processor", "", processor },
	{ "verbosity", "", verbosity },
	{ "trace", "", trace },
	{ "nonblocking", "", nonblocking },
	{ "pipeline", "", pipeline },
	{ "event", "", event },
	{ "unread", "", unread },
	{ "single_row", "", single_row },
	{ "copy_in", "", copy_in },
	{ "large_object", "", large_object },
	{ "cancelled", "", cancelled },
	{ "cancelled_and_another", "", cancelled_and_another },
	{ "keep_cancel", "", keep_cancel },
	{ "statement_timeout", "set statement_timeout = 1", NULL },
	{ "read_only", "set default_transaction_read_only = on", NULL },
};

static void do_sql(PGconn *conn, const char *sql)
{
	char *copy = strdup(sql), *at = copy, *end;

	while ((end = strstr(at, ";;")) != NULL) {
		*end = '\0';
		run(conn, at);
		at = end + 2;
	}
	if (*at)
		run(conn, at);
	free(copy);
}

static bool do_act(PGconn *conn, const char *name)
{
	for (size_t i = 0; i < sizeof(acts) / sizeof(*acts); i++)
		if (strcmp(acts[i].name, name) == 0) {
			do_sql(conn, acts[i].sql);
			if (acts[i].act)
				acts[i].act(conn);
			return true;
		}
	return false;
}

/* ---- what a client can see ------------------------------------------------------------------ */

static void show(PGconn *conn, const char *title, const char *sql)
{
	PGresult *result = PQexec(conn, sql);

	printf("%s: %s", title, PQresStatus(PQresultStatus(result)));
	for (int row = 0; row < PQntuples(result); row++)
		for (int column = 0; column < PQnfields(result); column++)
			printf("%s%s", column ? "|" : "\n  ",
			       PQgetisnull(result, row, column) ? "(null)"
								: PQgetvalue(result, row, column));
	printf("\n%s", PQresultErrorMessage(result));
	PQclear(result);
}

static void show_client(PGconn *conn)
{
	PGVerbosity verbose = PQsetErrorVerbosity(conn, PQERRORS_DEFAULT);
	PGContextVisibility context = PQsetErrorContextVisibility(conn, PQSHOW_CONTEXT_ERRORS);
	PQnoticeReceiver receive = PQsetNoticeReceiver(conn, NULL, NULL);
	PQnoticeProcessor print = PQsetNoticeProcessor(conn, NULL, NULL);
	PQconninfoOption *options = PQconninfo(conn);

	printf("error: '%s'\n", PQerrorMessage(conn));
	printf("status %d, transaction %d, pipeline %d, nonblocking %d, busy %d\n", PQstatus(conn),
	       PQtransactionStatus(conn), PQpipelineStatus(conn), PQisnonblocking(conn),
	       PQisBusy(conn));
	printf("encoding %d, protocol %d, server %d, verbosity %d, context %d\n",
	       PQclientEncoding(conn), PQprotocolVersion(conn), PQserverVersion(conn), verbose,
	       context);
	printf("own receiver %d, own processor %d\n", receive == hear, print == process);
	printf("needs password %d, used password %d, gss %d\n", PQconnectionNeedsPassword(conn),
	       PQconnectionUsedPassword(conn), PQgssEncInUse(conn));
	printf("event data %p\n", PQinstanceData(conn, on_event));
	for (const char *const *name = PQsslAttributeNames(conn); name && *name; name++)
		printf("ssl %s = %s\n", *name, PQsslAttribute(conn, *name));
	for (PQconninfoOption *option = options; option->keyword; option++)
		if (strcmp(option->keyword, "password") != 0)
			printf("option %s = %s\n", option->keyword,
			       option->val ? option->val : "(null)");
	PQconninfoFree(options);
}

static void show_parameters(const PGconn *conn)
{
	static const char *const names[] = {
		"server_version",
		"server_encoding",
		"client_encoding",
		"application_name",
		"default_transaction_read_only",
		"in_hot_standby",
		"is_superuser",
		"session_authorization",
		"DateStyle",
		"IntervalStyle",
		"TimeZone",
		"integer_datetimes",
		"standard_conforming_strings",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		printf("parameter %s = %s\n", names[i], PQparameterStatus(conn, names[i]));
}

static void show_server(PGconn *conn)
{
	PGnotify *notify;

	/* A function's language adds its own settings when it is first used, whoever uses it. */
	show(conn, "settings",
	     "select name, setting, source, reset_val from pg_settings "
	     "where name not like 'plpgsql.%' order by 1");
	show(conn, "custom", "select current_setting('app.tenant', true)");
	show(conn, "who",
	     "select current_user, session_user, current_database(), "
	     "current_schemas(true)");
	show(conn, "tables", "select relname from pg_class where relpersistence = 't'");
	show(conn, "temporary schema", "select pg_my_temp_schema()");
	show(conn, "prepared", "select name from pg_prepared_statements");
	show(conn, "cursors", "select name from pg_cursors where name <> ''");
	show(conn, "channels", "select pg_listening_channels()");
	show(conn, "locks",
	     "select objid from pg_locks where locktype = 'advisory' and pid = "
	     "pg_backend_pid()");
	show(conn, "transaction", "select pg_current_xact_id_if_assigned()");
	show(conn, "named",
	     "select application_name from pg_stat_activity where pid = "
	     "pg_backend_pid()");
	show(conn, "lastval", "select lastval()");
	show(conn, "currval", "select currval('counter')");
	while ((notify = PQnotifies(conn)) != NULL) {
		printf("notification %s %s\n", notify->relname, notify->extra);
		PQfreemem(notify);
	}
	show(conn, "an error", "select 1/0");
}

static PGconn *log_in(const char *how, const char *name)
{
	const char *const keywords[] = { "dbname", "fallback_application_name", "application_name",
					 NULL };
	const char *const values[] = { "", "state", name, NULL };
	PGconn *conn;

	if (strcmp(how, "blocking") == 0)
		return PQconnectdbParams(keywords, values, 1);
	conn = PQconnectStartParams(keywords, values, 1);
	for (;;) {
		PostgresPollingStatusType next = PQconnectPoll(conn);

		if (next == PGRES_POLLING_OK || next == PGRES_POLLING_FAILED)
			return conn;
	}
}

int main(int argc, char **argv)
{
	const char *act = argc > 1 ? argv[1] : "new", *how = argc > 2 ? argv[2] : "blocking";
	const char *name = argc > 3 ? argv[3] : NULL;
	PGconn *conn = NULL;
	int pid = 0;

	if (strcmp(act, "new") != 0) {
		conn = log_in(how, NULL);
		pid = PQbackendPID(conn);
		if (!do_act(conn, act))
			return 2;
		PQfinish(conn);
	}
	conn = log_in(how, name);
	printf("%s\n", pid && pid == PQbackendPID(conn) ? "pooled" : "new");
	if (kept) {
		char error[256];

		if (!PQsendQuery(conn, "select pg_sleep(0.3)") ||
		    !PQcancel(kept, error, sizeof(error)))
			return 3;
		for (PGresult *result; (result = PQgetResult(conn)) != NULL; PQclear(result))
			if (PQresultStatus(result) != PGRES_TUPLES_OK)
				return 4;
		PQfreeCancel(kept);
	}
	show_client(conn);
	show_parameters(conn);
	show_server(conn);
	PQfinish(conn);
	PQfinish(another);
	return 0;
}
