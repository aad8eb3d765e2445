/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a session is like after it was opened anew: as before, or lost. To be run under tine run,
 * with CONNINFO in the environment.
 */
#include "play.h"

/* One statement after the other; they are separated by '|'. */
static void do_all(PGconn *conn, const char *statements)
{
	char text[256], *rest = text;

	snprintf(text, sizeof(text), "%s", statements);
	while (rest)
		play_ask(conn, strsep(&rest, "|"));
}

/* Do something, lose the session, ask: the answer is what it would have been. */
static void expect_kept(const char *doing, const char *asking, const char *answer)
{
	PGconn *conn = play_open();
	int pid = PQbackendPID(conn);

	do_all(conn, doing);
	CHECK_STR(play_ask(conn, asking), answer);
	play_end_session(conn);
	CHECK_STR(play_ask(conn, asking), answer);
	CHECK_INT(PQbackendPID(conn), !=, pid);
	play_end_session(conn);
	CHECK_STR(play_ask(conn, asking), answer);
	PQfinish(conn);
}

/* Do something, lose the session: it is lost for the program too. */
static void expect_lost(const char *doing)
{
	PGconn *conn = play_open();

	do_all(conn, doing);
	play_end_session(conn);
	play_expect_lost(conn, "select 1");
	PQfinish(conn);
}

TEST(settings)
{
	expect_kept("set work_mem = '7MB'", "show work_mem", "7MB");
	expect_kept("set datestyle to 'German'", "show datestyle", "German, DMY");
	expect_kept("set search_path to one, \"Two\"", "show search_path", "one, \"Two\"");
	expect_kept("set time zone 'Asia/Tokyo'", "show timezone", "Asia/Tokyo");
	expect_kept("set my.own = 'it''s'", "show my.own", "it's");
	expect_kept("set application_name to 'hugo'", "show application_name", "hugo");
	expect_kept("set session characteristics as transaction read only",
		    "show transaction_read_only", "on");
	expect_kept("set work_mem = '7MB'; reset work_mem; set work_mem = '8MB'", "show work_mem",
		    "8MB");
	expect_kept("set client_encoding to 'LATIN1'", "show client_encoding", "LATIN1");
}

/* As drivers send it that bind on the server. */
static void set_config(PGconn *conn, const char *name, const char *value)
{
	const char *const values[] = { name, value };

	PQclear(PQexecParams(conn, "select set_config($1, $2, false)", 2, NULL, values, NULL, NULL,
			     0));
}

TEST(settings_by_parameters)
{
	static const int binary[] = { 0, 1 };
	const char *const values[] = { "11MB", "unused" };
	PGconn *conn = play_open();

	set_config(conn, "work_mem", "7MB");
	set_config(conn, "my.own", "till, of $1");
	PQclear(PQprepare(conn, "p", "SELECT set_config('temp_buffers', $1, false)", 0, NULL));
	PQclear(PQexecPrepared(conn, "p", 1, values, NULL, binary, 0));
	play_end_session(conn);
	CHECK_STR(play_ask(conn, "show work_mem"), "7MB");
	CHECK_STR(play_ask(conn, "show my.own"), "till, of $1");
	CHECK_STR(play_ask(conn, "show temp_buffers"), "11MB");
	set_config(conn, "work_mem", "8MB");
	set_config(conn, "work_mem", "nonsense");
	play_end_session(conn);
	CHECK_STR(play_ask(conn, "show work_mem"), "8MB");
	/* What cannot be put into a text as it is. */
	set_config(conn, "my.own", "it's");
	play_end_session(conn);
	play_expect_lost(conn, "select 1");
	PQfinish(conn);
}

TEST(settings_of_transactions)
{
	expect_kept("begin|set work_mem = '7MB'|commit", "show work_mem", "7MB");
	expect_kept("set work_mem = '6MB'|begin|set work_mem = '7MB'|rollback", "show work_mem",
		    "6MB");
	expect_kept("set work_mem = '6MB'|begin|set local work_mem = '7MB'|commit", "show work_mem",
		    "6MB");
}

TEST(settings_of_one_text)
{
	expect_kept("set work_mem = '6MB'; set search_path to x", "show work_mem", "6MB");
}

TEST(encoding_of_libpq)
{
	PGconn *conn = play_open();

	CHECK_INT(PQsetClientEncoding(conn, "LATIN1"), ==, 0);
	play_end_session(conn);
	CHECK_STR(play_ask(conn, "show client_encoding"), "LATIN1");
	CHECK_STR(pg_encoding_to_char(PQclientEncoding(conn)), "LATIN1");
}

/* What a text says depends on the encoding that it is sent in. */
TEST(texts_that_are_not_ascii)
{
	expect_kept("set my.own = '\xc3\xa9'", "show my.own", "\xc3\xa9");
	expect_kept("set client_encoding to 'LATIN1'|set my.own = '\xe9'", "show my.own", "\xe9");
	expect_kept("set client_encoding to 'LATIN1'|prepare p as select '\xe9'", "execute p",
		    "\xe9");
	expect_lost("prepare p as select '\xc3\xa9'|set client_encoding to 'LATIN1'");
	expect_lost("begin|set client_encoding to 'LATIN1'|prepare p as select '\xe9'|rollback");
}

TEST(prepared_statements)
{
	PGconn *conn = play_open();
	static const Oid types[] = { 25 };
	PGresult *result;

	expect_kept("prepare p (int) as select $1 + 1", "execute p (2)", "3");
	play_ask(conn, "prepare gone as select 1; deallocate gone");
	result = PQprepare(conn, "q", "select $1 || 'x'", 1, types);
	CHECK_INT(PQresultStatus(result), ==, PGRES_COMMAND_OK);
	PQclear(result);
	play_end_session(conn);
	result = PQexecPrepared(conn, "q", 1, (const char *const[]){ "a" }, NULL, NULL, 0);
	CHECK_STR(PQgetvalue(result, 0, 0), "ax");
	PQclear(result);
	CHECK_STR(play_ask(conn, "select string_agg(name, ',') from pg_prepared_statements"), "q");
}

/* The table of one is gone: the others are there, and it is when the table is again. */
TEST(a_prepared_statement_that_is_refused)
{
	PGconn *conn = play_open(), *other = play_open();
	PGresult *result;

	play_ask(other, "create table fleeting as select 7 as a");
	PQclear(PQprepare(conn, "gone", "select a from fleeting", 0, NULL));
	PQclear(PQprepare(conn, "stays", "select 8", 0, NULL));
	play_ask(conn, "set my.own = 9");
	play_ask(other, "drop table fleeting");
	for (int i = 0; i < 2; i++) {
		play_end_session(conn);
		CHECK_STR(play_ask(conn, "show my.own"), "9");
		result = PQexecPrepared(conn, "stays", 0, NULL, NULL, NULL, 0);
		CHECK_STR(PQgetvalue(result, 0, 0), "8");
		PQclear(result);
		result = PQexecPrepared(conn, "gone", 0, NULL, NULL, NULL, 0);
		CHECK_STR(PQresultErrorField(result, PG_DIAG_SQLSTATE), "26000");
		PQclear(result);
	}
	play_ask(other, "create table fleeting as select 10 as a");
	for (int i = 0; i < 2; i++) {
		result = PQexecPrepared(conn, "gone", 0, NULL, NULL, NULL, 0);
		CHECK_STR(PQgetvalue(result, 0, 0), "10");
		PQclear(result);
	}
	play_ask(other, "drop table fleeting");
	PQfinish(other);
	PQfinish(conn);
}

TEST(listening)
{
	PGconn *conn = play_open();
	PGnotify *notify;

	play_ask(conn, "listen news; listen other; unlisten other");
	play_end_session(conn);
	CHECK_STR(play_ask(conn, "select string_agg(c, ',') from pg_listening_channels() c"),
		  "news");
	play_ask(conn, "notify news, 'x'");
	CHECK(PQconsumeInput(conn));
	notify = PQnotifies(conn);
	CHECK(notify);
	CHECK_STR(notify->extra, "x");
	PQfreemem(notify);
}

TEST(what_cannot_be_restored)
{
	expect_lost("create temporary table t ()");
	expect_lost("create temp sequence s");
	expect_lost("select 1 as a into temporary t");
	expect_lost("set search_path = 'pg_temp'|create table t ()");
	expect_lost("select set_config('search_path', 'pg_temp', false)|create table t ()");
	expect_lost("begin; declare c cursor with hold for select 1; commit");
	expect_lost("select pg_advisory_lock(1)");
	expect_lost("do $$ begin perform set_config('work_mem', '7MB', false); end $$");
}

TEST(temporary_tables_by_the_options_of_a_login)
{
	const char *const keywords[] = { "dbname", "options", NULL };
	const char *const values[] = { getenv("CONNINFO"), "-c search_path=pg_temp", NULL };
	PGconn *conn = PQconnectdbParams(keywords, values, 1);

	play_ask(conn, "create table t ()");
	play_end_session(conn);
	play_expect_lost(conn, "select * from t");
	PQfinish(conn);
}

/* After DISCARD ALL there is nothing left that could not be restored. */
TEST(what_is_discarded)
{
	PGconn *conn = play_open();

	play_ask(conn, "create temporary table t ()");
	play_ask(conn, "discard all");
	play_end_session(conn);
	play_ask(conn, "select 1");
}

/* ---- pipelines ------------------------------------------------------------------------------- */

/* Statements that are separated by '|'; '-' is a sync. All are sent before an answer is read. */
static void pipeline(PGconn *conn, const char *statements)
{
	char text[400], *rest = text, *one;
	int syncs = 0;

	snprintf(text, sizeof(text), "%s", statements);
	CHECK(PQenterPipelineMode(conn));
	while ((one = strsep(&rest, "|"))) {
		if (strcmp(one, "-") == 0) {
			CHECK(PQpipelineSync(conn));
			syncs++;
		} else {
			CHECK(PQsendQueryParams(conn, one, 0, NULL, NULL, NULL, NULL, 0));
		}
	}
	while (syncs) {
		PGresult *result = PQgetResult(conn);

		CHECK_INT(PQstatus(conn), ==, CONNECTION_OK);
		syncs -= PQresultStatus(result) == PGRES_PIPELINE_SYNC;
		PQclear(result);
	}
	CHECK(PQexitPipelineMode(conn));
}

/* What the server says of the session before it is lost and after it was opened anew. */
static void expect_as_before(const char *statements)
{
	static const char asking[] =
		"select current_setting('work_mem') || ', ' || current_setting('search_path') || "
		"', ' || (select count(*) from pg_prepared_statements)";
	PGconn *conn = play_open();
	int pid = PQbackendPID(conn);
	char before[200];

	pipeline(conn, statements);
	snprintf(before, sizeof(before), "%s", play_ask(conn, asking));
	play_end_session(conn);
	printf("# %s: %s\n", statements, before);
	CHECK_STR(play_ask(conn, asking), before);
	CHECK_INT(PQbackendPID(conn), !=, pid);
	PQfinish(conn);
}

TEST(pipelines)
{
	PGconn *conn = play_open();

	play_ask(conn, "create table if not exists sires (id int primary key); "
		       "create table if not exists kids "
		       "(id int references sires deferrable initially deferred)");
	expect_as_before("set work_mem = '7MB'|-|bad|-");
	expect_as_before("set work_mem = '7MB'|bad|-|select 1|-");
	expect_as_before("set work_mem = '7MB'|bad|-|set search_path = x|-");
	expect_as_before("begin|set work_mem = '7MB'|-|rollback|-|select 1|-");
	expect_as_before("begin|set work_mem = '7MB'|-|commit|-|bad|-");
	expect_as_before("begin|set work_mem = '7MB'|bad|-|rollback|-|set search_path = x|-");
	expect_as_before("begin|set work_mem = '7MB'|bad|-|commit|-|set search_path = x|-");
	expect_as_before("set work_mem = '7MB'|begin|bad|-|commit|-|set search_path = x|-");
	expect_as_before("set work_mem = '7MB'|commit|set search_path = x|bad|-|select 1|-");
	expect_as_before("begin|savepoint a|set work_mem = '7MB'|bad|-|rollback to a|-|commit|-");
	expect_as_before("prepare p as select 1|bad|-|select 1|-");
	/* What fails is the end of the transaction: COMMIT, or the sync itself. */
	expect_as_before("begin|set work_mem = '7MB'|insert into kids values (1)|commit|-|begin|"
			 "set search_path = x|commit|-");
	expect_as_before("set work_mem = '7MB'|insert into kids values (1)|-");
	expect_as_before("set work_mem = '7MB'|insert into kids values (1)|-|set search_path = x|-"
			 "|bad|-");
	play_ask(conn, "drop table kids, sires");
	PQfinish(conn);
}

/* libpq says that it is idle then; the server has a transaction. */
static void leave_a_pipeline_without_a_sync(PGconn *conn)
{
	PGresult *result;

	CHECK(PQenterPipelineMode(conn));
	CHECK(PQsendQueryParams(conn, "select 1", 0, NULL, NULL, NULL, NULL, 0));
	CHECK(PQsendFlushRequest(conn));
	while ((result = PQgetResult(conn))) {
		CHECK_INT(PQresultStatus(result), ==, PGRES_TUPLES_OK);
		PQclear(result);
	}
	CHECK(PQexitPipelineMode(conn));
	CHECK_INT(PQtransactionStatus(conn), ==, PQTRANS_IDLE);
}

TEST(a_pipeline_without_a_sync)
{
	PGconn *conn = play_open();
	PGresult *result;

	leave_a_pipeline_without_a_sync(conn);
	play_end_session(conn);
	result = PQexec(conn, "select 1");
	CHECK_INT(PQresultStatus(result), !=, PGRES_TUPLES_OK);
	PQclear(result);
	CHECK_INT(PQstatus(conn), ==, CONNECTION_BAD);
}

TEST(a_pipeline_that_the_next_statement_syncs)
{
	PGconn *conn = play_open();

	leave_a_pipeline_without_a_sync(conn);
	play_ask(conn, "select 1");
	play_end_session(conn);
	CHECK_INT(play_number(conn, "select 2"), ==, 2);
}

CHECK_TABLE(T(settings), T(settings_by_parameters), T(pipelines), T(settings_of_transactions),
	    T(settings_of_one_text), T(encoding_of_libpq), T(texts_that_are_not_ascii),
	    T(prepared_statements), T(a_prepared_statement_that_is_refused), T(listening),
	    T(what_cannot_be_restored), T(temporary_tables_by_the_options_of_a_login),
	    T(what_is_discarded), T(a_pipeline_without_a_sync),
	    T(a_pipeline_that_the_next_statement_syncs))
