/* SPDX-License-Identifier: PostgreSQL */
/*
 * What tine asks on a program's connection does not show: not in what libpq says of the program's
 * own statement, not in its trace. To be run under tine run, with CONNINFO in the environment.
 * Under a budget idle sessions are told to end, and not to where they cannot be had again.
 */
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "play.h"

/* The statement fails, and libpq says so for as long as nothing else begins. */
static void expect_message(PGconn *conn, const char *sql, const char *message)
{
	PGresult *result = PQexec(conn, sql);

	CHECK_INT(PQresultStatus(result), ==, PGRES_FATAL_ERROR);
	PQclear(result);
	if (!strstr(PQerrorMessage(conn), message))
		check_fail(__FILE__, __LINE__, "%s: \"%s\"", sql, PQerrorMessage(conn));
	CHECK_STR(play_ask(conn, "select 7"), "7");
	CHECK_STR(PQerrorMessage(conn), "");
}

#define MAKE_ONE "create temp table one (a int unique deferrable initially deferred)"

/* A transaction with something in it that ties the session, and whose end fails. */
static void fail_to_commit(PGconn *conn, const char *tie)
{
	play_ask(conn, "begin");
	play_ask(conn, tie);
	play_ask(conn, "insert into one values (1), (1)");
	expect_message(conn, "commit", "duplicate key");
}

TEST(messages)
{
	PGconn *conn = play_open();

	play_ask(conn, MAKE_ONE);
	for (int i = 0; i < 2; i++)
		fail_to_commit(conn, "create temp table another (a int)");
	expect_message(conn, "reset all; select 1/0", "division by zero");
	PQfinish(conn);
	/* The next one has nothing of it. */
	conn = play_open();
	CHECK_STR(PQerrorMessage(conn), "");
	PQfinish(conn);
}

TEST(messages_of_a_fresh_session)
{
	PGconn *conn = play_open();

	fail_to_commit(conn, MAKE_ONE);
	expect_message(conn, "reset all; select 1/0", "division by zero");
	PQfinish(conn);
}

/* All that it has in the file by now, which is emptied. */
static const char *traced(FILE *file)
{
	static char text[65536];
	size_t length;

	fflush(file);
	rewind(file);
	length = fread(text, 1, sizeof(text) - 1, file);
	text[length] = '\0';
	rewind(file);
	CHECK_INT(ftruncate(fileno(file), 0), ==, 0);
	return text;
}

static bool is_traced(FILE *file, const char *word)
{
	return strstr(traced(file), word);
}

TEST(traces)
{
	PGconn *conn = play_open();
	FILE *file = tmpfile();

	CHECK(file);
	PQtrace(conn, file);
	PQsetTraceFlags(conn, PQTRACE_SUPPRESS_TIMESTAMPS);
	play_ask(conn, "set my.own = 1");
	play_ask(conn, "listen news");
	CHECK(!is_traced(file, "idle_session_timeout"));
	play_ask(conn, "select 'again'");
	CHECK(is_traced(file, "again"));
	play_end_session(conn);
	play_ask(conn, "select 'once more'");
	CHECK_INT(traced(file)[0], ==, 'F');
	play_end_session(conn);
	play_ask(conn, "select 'once more'");
	CHECK(!is_traced(file, "my.own"));
	PQuntrace(conn);
	play_ask(conn, "select 'untold'");
	CHECK(!is_traced(file, "untold"));
	PQfinish(conn);
	fclose(file);
}

/* What is left of the last statement is fetched before the next one begins, as PHP does: that
 * nothing is left is no sign of life. */
TEST(emptied_before_use)
{
	PGconn *conn = play_open();

	for (int i = 0; i < 3; i++) {
		play_end_session(conn);
		CHECK(!PQgetResult(conn));
		CHECK_STR(play_ask(conn, "select 'again'"), "again");
		play_end_session(conn);
		CHECK(!PQgetResult(conn));
		CHECK(PQsendQuery(conn, "select 1"));
		PQclear(PQgetResult(conn));
		CHECK(!PQgetResult(conn));
		CHECK_INT(PQstatus(conn), ==, CONNECTION_OK);
	}
	PQfinish(conn);
}

/* Nobody waits for a server that is busy: it does not hear the farewell. */
TEST(finished_at_work)
{
	int64_t least_ms = INT64_MAX;

	for (int i = 0; i < 10; i++) {
		PGconn *conn = play_open();
		int64_t begun_ms;

		CHECK(PQsendQuery(conn, "select pg_sleep(0.3)"));
		begun_ms = play_now_ms();
		PQfinish(conn);
		if (play_now_ms() - begun_ms < least_ms)
			least_ms = play_now_ms() - begun_ms;
	}
	CHECK_INT(least_ms, <, 40);
}

/* ---- the unnamed statement, which a text of ours ends at the server -------------------------- */

static void prepare_unnamed(PGconn *conn, const char *sql)
{
	PGresult *result = PQprepare(conn, "", sql, 0, NULL);

	CHECK_INT(PQresultStatus(result), ==, PGRES_COMMAND_OK);
	PQclear(result);
	play_wait_ms(PQsocket(conn), POLLIN, 30); /* longer than without a ping */
}

static void execute_unnamed(PGconn *conn)
{
	PGresult *result = PQexecPrepared(conn, "", 0, NULL, NULL, NULL, 0);

	if (PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK)
		check_fail(__FILE__, __LINE__, "%s", PQerrorMessage(conn));
	PQclear(result);
}

TEST(unnamed_statements)
{
	static const char *const texts[] = { "select 1", "create temp table a ()", "listen b",
					     "reset all", "set work_mem = '5MB'" };

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		PGconn *conn = play_open();

		prepare_unnamed(conn, texts[i]);
		execute_unnamed(conn);
		if (i != 1)
			execute_unnamed(conn);
		PQfinish(conn);
	}
}

TEST(unnamed_statements_in_a_transaction)
{
	PGconn *conn = play_open();

	play_ask(conn, "begin");
	prepare_unnamed(conn, "create temp table a ()");
	execute_unnamed(conn);
	play_ask(conn, "commit");
	PQfinish(conn);
}

TEST(unnamed_statements_are_described)
{
	PGconn *conn = play_open();
	PGresult *result;

	prepare_unnamed(conn, "select 1");
	result = PQdescribePrepared(conn, "");
	CHECK_INT(PQresultStatus(result), ==, PGRES_COMMAND_OK);
	PQclear(result);
	PQfinish(conn);
}

TEST(unnamed_statements_in_a_pipeline)
{
	PGconn *conn = play_open();
	PGresult *result;

	prepare_unnamed(conn, "select 1");
	CHECK(PQenterPipelineMode(conn));
	CHECK(PQsendQueryPrepared(conn, "", 0, NULL, NULL, NULL, 0));
	CHECK(PQpipelineSync(conn));
	result = PQgetResult(conn);
	CHECK_INT(PQresultStatus(result), ==, PGRES_TUPLES_OK);
	PQclear(result);
	PQfinish(conn);
}

CHECK_TABLE(T(messages), T(messages_of_a_fresh_session), T(traces), T(emptied_before_use),
	    T(finished_at_work), T(unnamed_statements), T(unnamed_statements_in_a_transaction),
	    T(unnamed_statements_are_described), T(unnamed_statements_in_a_pipeline))
