/* SPDX-License-Identifier: PostgreSQL */
/*
 * Another thread cancels all the time while a session is opened anew and brought to its state: the
 * program's statements may be cancelled, the connection is not lost and its state is whole. To be
 * run under tine run, with CONNINFO in the environment.
 */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

#include "play.h"

#define ROUNDS 6
#define SETTINGS 40
#define PATIENCE_MS 1000 /* RENEWAL_PATIENCE_NS */
#define CANCELS_MIN 3 /* that each round waits for: its session has been at work under them */

struct canceller {
	PGconn *conn;
	PGcancel *kept; /* NULL: one of its own for each request, as psycopg does */
	atomic_bool is_enough;
	atomic_uint sent;
};

static void cancel_once(struct canceller *work)
{
	int64_t began_ms = play_now_ms();
	PGcancel *cancel = work->kept ? work->kept : PQgetCancel(work->conn);
	char error[256];

	/* libpq has none of a connection that is being opened: tine waits for its end, a second. */
	CHECK(cancel || play_now_ms() - began_ms >= PATIENCE_MS);
	if (!cancel)
		return;
	if (PQcancel(cancel, error, sizeof(error)))
		work->sent++;
	if (!work->kept)
		PQfreeCancel(cancel);
}

static void *cancel_all_the_time(void *data)
{
	struct canceller *work = data;

	while (!work->is_enough)
		cancel_once(work);
	return NULL;
}

static bool is_cancelled(const PGresult *result)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	return state && strcmp(state, "57014") == 0;
}

/* Until one is not cancelled. */
static void ask_until_answered(PGconn *conn, const char *sql, const char *answer)
{
	PGresult *result = PQexec(conn, sql);

	while (is_cancelled(result)) {
		PQclear(result);
		result = PQexec(conn, sql);
	}
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		check_fail(__FILE__, __LINE__, "%s: %s", sql, PQerrorMessage(conn));
	CHECK_STR(PQgetvalue(result, 0, 0), answer);
	PQclear(result);
}

static void check_settings(PGconn *conn)
{
	char sql[64], value[16];

	for (int i = 0; i < SETTINGS; i++) {
		snprintf(sql, sizeof(sql), "select current_setting('my.s%d')", i);
		snprintf(value, sizeof(value), "%d", i);
		ask_until_answered(conn, sql, value);
	}
}

static PGconn *open_with_settings(void)
{
	PGconn *conn = play_open();
	char sql[64];

	for (int i = 0; i < SETTINGS; i++) {
		snprintf(sql, sizeof(sql), "set my.s%d = %d", i, i);
		play_ask(conn, sql);
	}
	play_ask(conn, "prepare one as select 1");
	return conn;
}

/* The session has another key from then on; and nobody but this thread uses the connection. */
static void use_while_cancelled(struct canceller *work)
{
	pthread_t thread;
	unsigned seen;

	work->is_enough = false;
	CHECK_INT(pthread_create(&thread, NULL, cancel_all_the_time, work), ==, 0);
	seen = work->sent;
	while (work->sent < seen + CANCELS_MIN)
		poll(NULL, 0, 1);
	check_settings(work->conn);
	ask_until_answered(work->conn, "execute one", "1");
	work->is_enough = true;
	CHECK_INT(pthread_join(thread, NULL), ==, 0);
}

static void lose_and_use(PGcancel *(*get_kept)(PGconn *))
{
	struct canceller work = { .conn = open_with_settings() };

	work.kept = get_kept ? get_kept(work.conn) : NULL;
	for (int i = 0; i < ROUNDS; i++) {
		play_end_session(work.conn);
		use_while_cancelled(&work);
	}
	if (work.kept)
		PQfreeCancel(work.kept);
	PQfinish(work.conn);
}

TEST(requests_of_their_own)
{
	lose_and_use(NULL);
}

TEST(a_kept_request)
{
	lose_and_use(PQgetCancel);
}

TEST(in_a_child)
{
	struct canceller work = { .conn = open_with_settings() };
	pid_t pid;

	for (int i = 0; i < ROUNDS; i++) {
		pid = fork();
		if (pid == 0) {
			use_while_cancelled(&work);
			PQfinish(work.conn);
			_exit(0);
		}
		check_child(pid);
	}
	check_settings(work.conn);
	PQfinish(work.conn);
}

CHECK_TABLE(T(requests_of_their_own), T(a_kept_request), T(in_a_child))
