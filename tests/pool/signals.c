/* SPDX-License-Identifier: PostgreSQL */
/* Signals: a storm of them, and the one that a broken connection raises. */
#include <signal.h>
#include <sys/time.h>
#include <time.h>

#include "case.h"

#define STORM_SECONDS 2
#define STORM_INTERVAL_US 100

static _Atomic long signals;

static void count_signal(int number)
{
	(void)number;
	atomic_fetch_add(&signals, 1);
}

static void start_storm(void)
{
	/* No SA_RESTART: every system call that waits is interrupted. */
	struct sigaction action = { .sa_handler = count_signal };
	struct itimerval every = { { 0, STORM_INTERVAL_US }, { 0, STORM_INTERVAL_US } };

	sigaction(SIGALRM, &action, NULL);
	CHECK_INT(setitimer(ITIMER_REAL, &every, NULL), ==, 0);
}

static void stop_storm(void)
{
	struct itimerval never = { { 0, 0 }, { 0, 0 } };

	setitimer(ITIMER_REAL, &never, NULL);
}

/* Waiting, hand-offs, and now and then a new connection. */
static void use_in_storm(tine_pool *pool)
{
	static _Atomic int counter;
	tine_conn *conn = take(pool);

	CHECK(answers(tine_conn_pg(conn)));
	if (counter++ % 20 == 0)
		CHECK_INT(tine_conn_invalidate(conn), ==, 0);
	else
		CHECK_INT(tine_conn_release(conn), ==, 0);
}

static double seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* One that waits in vain: the signals must not make its wait longer. */
static void wait_in_vain(tine_pool *pool)
{
	tine_conn *held[2] = { take(pool), take(pool) }, *conn;
	double began = seconds_now(), took;

	CHECK_INT(tine_pool_acquire(pool, 300, &conn, NULL), ==, TINE_E_TIMEOUT);
	took = seconds_now() - began;
	CHECK(took >= 0.3 && took < 5);
	tine_conn_release(held[0]);
	tine_conn_release(held[1]);
}

static int increment(PGconn *pg, void *arg, tine_error *error)
{
	int *calls = arg;

	(void)pg;
	(void)error;
	if (++*calls < 3)
		PQclear(PQexec(pg, "do $$ begin raise 'again' using errcode = '40001'; end $$"));
	return 0;
}

/* The pause between attempts lasts as long as it should. */
static void back_off(tine_pool *pool)
{
	tine_transact_options options;
	double began = seconds_now();
	int calls = 0;

	tine_transact_options_init(&options);
	options.backoff_first_ms = options.backoff_max_ms = 200;
	CHECK_INT(tine_transact(pool, increment, &calls, &options, NULL), ==, 0);
	CHECK_INT(calls, ==, 3);
	CHECK(seconds_now() - began >= 0.2);
}

void signal_storm(void)
{
	tine_pool *pool = new_pool(TINE_POOL_QUEUE, 2, 0);
	tine_pool_stats stats;
	struct crew crew;
	double began;

	start_storm();
	wait_in_vain(pool);
	back_off(pool);
	began = seconds_now();
	crew_start(&crew, pool, 8, use_in_storm);
	WAIT_FOR(seconds_now() - began > STORM_SECONDS);
	crew_stop(&crew);
	stop_storm();
	tine_pool_status(pool, &stats);
	CHECK_INT(stats.waiting, ==, 0);
	CHECK_INT(stats.busy, ==, 0);
	CHECK_INT(crew.rounds, >, 100);
	CHECK_INT(signals, >, 1000);
	tine_pool_free(pool);
}

/* The backend is gone and the socket reset; nothing that the library then writes may raise SIGPIPE,
 * whose default is the end of the process. */
void broken_pipe(void)
{
	tine_pool *pool = new_pool(TINE_POOL_QUEUE, 3, 0);
	tine_conn *killer = take(pool), *in_transaction = take(pool), *idle = take(pool);
	char query[80];

	signal(SIGPIPE, SIG_DFL);
	execute(tine_conn_pg(in_transaction), "begin");
	for (int i = 0; i < 2; i++) {
		tine_conn *victim = i ? idle : in_transaction;

		snprintf(query, sizeof(query), "select pg_terminate_backend(%d, 10000)::int",
			 PQbackendPID(tine_conn_pg(victim)));
		CHECK_INT(number(tine_conn_pg(killer), query), ==, 1);
	}
	/* The first write after the end is answered by a reset, the second one raises the signal.
	 */
	CHECK(!answers(tine_conn_pg(idle)));
	CHECK(!answers(tine_conn_pg(idle)));
	CHECK_INT(tine_conn_release(in_transaction), ==, 0);
	CHECK_INT(tine_conn_release(idle), ==, 0);
	use(pool);
	use(pool);
	CHECK_INT(tine_conn_release(killer), ==, 0);
	tine_pool_free(pool);
}
