/* SPDX-License-Identifier: PostgreSQL */
/* Clocks that jump: with jump.c in LD_PRELOAD. */
#include <dlfcn.h>
#include <time.h>

#include "case.h"

#define DAY_S (24L * 60 * 60)

static void jump(clockid_t clock, long seconds)
{
	void (*fn)(clockid_t, long) =
		(void (*)(clockid_t, long))dlsym(RTLD_DEFAULT, "tine_test_jump");

	CHECK(fn != NULL);
	fn(clock, seconds);
}

static void *jump_a_day(void *direction)
{
	usleep(50000);
	jump(CLOCK_REALTIME, *(long *)direction * DAY_S);
	return NULL;
}

static double wait_with_jump(tine_pool *pool, long direction)
{
	struct timespec began, ended;
	pthread_t thread;
	tine_conn *conn;

	clock_gettime(CLOCK_MONOTONIC, &began);
	CHECK(pthread_create(&thread, NULL, jump_a_day, &direction) == 0);
	CHECK_INT(tine_pool_acquire(pool, 300, &conn, NULL), ==, TINE_E_TIMEOUT);
	clock_gettime(CLOCK_MONOTONIC, &ended);
	CHECK(pthread_join(thread, NULL) == 0);
	return (double)(ended.tv_sec - began.tv_sec) +
	       (double)(ended.tv_nsec - began.tv_nsec) / 1e9;
}

/* The wall clock goes a day ahead, and back: no wait is longer or shorter, nothing expires, new
 * connections are made. */
void clock_jumps(void)
{
	tine_pool *pool = new_pool(TINE_POOL_QUEUE, 2, 0);
	tine_conn *held[2] = { take(pool), take(pool) };
	tine_pool_stats stats;
	int opened = 2;

	for (long direction = 1; direction >= -1; direction -= 2) {
		double took = wait_with_jump(pool, direction);

		CHECK(took >= 0.3 && took < 5);
		CHECK_INT(tine_conn_release(held[0]), ==, 0);
		tine_pool_sweep(pool);
		use(pool);
		held[0] = take(pool);
		tine_pool_status(pool, &stats);
		CHECK_INT(stats.opened, ==, opened++);
		CHECK_INT(stats.open, ==, 2);
		jump(CLOCK_REALTIME, direction * DAY_S);
		CHECK_INT(tine_pool_resize(pool, 3, 0, NULL), ==, 0);
		use(pool);
		CHECK_INT(tine_pool_resize(pool, 2, 0, NULL), ==, 0);
		jump(CLOCK_REALTIME, -direction * DAY_S);
	}
	tine_conn_release(held[0]);
	tine_conn_release(held[1]);
	tine_pool_free(pool);
}

/* The machine slept for an hour: what was idle may have been dropped meanwhile, and is asked before
 * it is handed out; nothing is closed unseen. */
void suspend(void)
{
	tine_pool *pool = new_pool(TINE_POOL_QUEUE, 2, 0);
	tine_conn *conn = take(pool);
	tine_pool_stats stats;
	int backend = PQbackendPID(tine_conn_pg(conn));

	CHECK_INT(tine_conn_release(conn), ==, 0);
	/* Beyond the time for which a connection is handed out unseen. */
	usleep(600000);
	jump(CLOCK_BOOTTIME, 3600);
	conn = take(pool);
	CHECK_INT(PQbackendPID(tine_conn_pg(conn)), ==, backend);
	tine_pool_status(pool, &stats);
	CHECK_INT(stats.pings, ==, 1);
	CHECK_INT(tine_conn_release(conn), ==, 0);
	tine_pool_free(pool);
}
