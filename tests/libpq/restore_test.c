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
	expect_lost("begin; declare c cursor with hold for select 1; commit");
	expect_lost("select pg_advisory_lock(1)");
	expect_lost("do $$ begin perform set_config('work_mem', '7MB', false); end $$");
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

CHECK_TABLE(T(settings), T(settings_of_transactions), T(settings_of_one_text), T(encoding_of_libpq),
	    T(prepared_statements), T(listening), T(what_cannot_be_restored), T(what_is_discarded))
