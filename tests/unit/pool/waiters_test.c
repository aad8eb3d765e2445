/* SPDX-License-Identifier: PostgreSQL */
/* Waiting: order, deadlines, and who gets what comes back. */
#include "unit/pool/rig.h"

#include <time.h>

/* ---- order ---------------------------------------------------------------------------------- */

TEST(first_come_first_served)
{
	enum { COUNT = 8 };
	tine_pool *pool = rig_pool(1, 0);
	tine_conn *conn = rig_acquire(pool);
	struct rig_waiter waiters[COUNT] = { 0 };

	for (int i = 0; i < COUNT; i++)
		rig_wait_queued(&waiters[i], pool, RIG_LONG_MS, i + 1);
	for (int i = 0; i < COUNT; i++) {
		rig_release(conn);
		CHECK_INT(rig_wait_end(&waiters[i]), ==, 0);
		for (int j = i + 1; j < COUNT; j++)
			CHECK(!atomic_load(&waiters[j].done));
		conn = waiters[i].conn;
	}
	rig_release(conn);
	CHECK_INT(rig_stats(pool).opened, ==, 1);
	rig_close(pool);
}

/* Who comes while others wait does not overtake them, though it finds a connection idle for a
 * moment. */
static void *acquire_many(void *arg)
{
	tine_pool *pool = arg;

	for (int i = 0; i < rig_rounds(2000); i++)
		rig_release(rig_acquire(pool));
	return NULL;
}

TEST(nobody_starves)
{
	tine_pool *pool = rig_pool(1, 0);
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		threads[i] = rig_thread(acquire_many, pool);
	for (int i = 0; i < 4; i++)
		rig_join(threads[i]);
	CHECK_INT(rig_stats(pool).checkouts, ==, 4 * rig_rounds(2000));
	RIG_EXPECT(pool, 1, 1, 0, 0);
	rig_close(pool);
}

/* Several are idle when several wait: each return serves one, none is left waiting. */
TEST(every_return_serves_a_waiter)
{
	enum { COUNT = 5 };
	tine_pool *pool = rig_pool(COUNT, 0);
	struct rig_waiter waiters[COUNT] = { 0 };
	tine_conn *conns[COUNT];

	for (int i = 0; i < COUNT; i++)
		conns[i] = rig_acquire(pool);
	for (int i = 0; i < COUNT; i++)
		rig_wait_queued(&waiters[i], pool, RIG_LONG_MS, i + 1);
	for (int i = 0; i < COUNT; i++)
		rig_release(conns[i]);
	for (int i = 0; i < COUNT; i++)
		CHECK_INT(rig_wait_end(&waiters[i]), ==, 0);
	RIG_EXPECT(pool, COUNT, 0, COUNT, 0);
	for (int i = 0; i < COUNT; i++)
		rig_release(waiters[i].conn);
	rig_close(pool);
}

/* What comes back to be closed makes room, and a waiter connects in it. */
TEST(a_connection_that_is_closed_serves_a_waiter_with_its_place)
{
	tine_pool *pool = rig_pool(1, 1);
	struct rig_waiter waiters[2] = { 0 };
	tine_conn *first = rig_acquire(pool), *second = rig_acquire(pool);

	for (int i = 0; i < 2; i++)
		rig_wait_queued(&waiters[i], pool, RIG_LONG_MS, i + 1);
	tine_conn_invalidate(first);
	CHECK_INT(rig_wait_end(&waiters[0]), ==, 0);
	fake_hang_up(rig_session(second));
	CHECK_INT(fake_exec(tine_conn_pg(second), "SELECT 1"), ==, PGRES_FATAL_ERROR);
	rig_release(second);
	CHECK_INT(rig_wait_end(&waiters[1]), ==, 0);
	CHECK_INT(rig_closed(pool, TINE_CAUSE_LOST), ==, 1);
	CHECK_INT(rig_stats(pool).opened, ==, 4);
	for (int i = 0; i < 2; i++)
		rig_release(waiters[i].conn);
	rig_close(pool);
	CHECK_INT(atomic_load(&fake_count->most_live), ==, 2);
}

TEST(overflow_is_kept_for_who_waits)
{
	tine_pool *pool = rig_pool(1, 1);
	struct rig_waiter waiter = { 0 };
	tine_conn *first = rig_acquire(pool), *second = rig_acquire(pool);

	rig_wait_queued(&waiter, pool, RIG_LONG_MS, 1);
	rig_release(second);
	CHECK_INT(rig_wait_end(&waiter), ==, 0);
	CHECK_INT(rig_stats(pool).opened, ==, 2);
	CHECK_INT(rig_closed(pool, TINE_CAUSE_OVERFLOW), ==, 0);
	rig_release(waiter.conn);
	rig_release(first);
	RIG_EXPECT(pool, 1, 1, 0, 0);
	rig_close(pool);
}

/* ---- deadlines ------------------------------------------------------------------------------ */

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

TEST(a_timeout_is_neither_early_nor_for_ever)
{
	tine_pool_config config = rig_config(1, 0);
	tine_pool *pool;
	tine_conn *conn;
	int64_t began_ms;

	config.acquire_timeout_ms = 60;
	pool = rig_open(&config);
	conn = rig_acquire(pool);
	began_ms = now_ms();
	rig_refused(pool, 30, TINE_E_TIMEOUT);
	CHECK_INT(now_ms() - began_ms, >=, 30);
	began_ms = now_ms();
	rig_refused(pool, -1, TINE_E_TIMEOUT);
	CHECK_INT(now_ms() - began_ms, >=, 60);
	CHECK_INT(now_ms() - began_ms, <, RIG_LONG_MS);
	CHECK_INT(rig_stats(pool).timeouts, ==, 2);
	RIG_EXPECT(pool, 1, 0, 1, 0);
	rig_release(conn);
	rig_close(pool);
}

TEST(who_gave_up_swallows_no_connection)
{
	tine_pool *pool = rig_pool(1, 0);
	struct rig_waiter impatient = { 0 }, patient = { 0 };
	tine_conn *conn = rig_acquire(pool);

	rig_wait_queued(&impatient, pool, 1000, 1);
	rig_wait_queued(&patient, pool, RIG_LONG_MS, 2);
	CHECK_INT(rig_wait_end(&impatient), ==, TINE_E_TIMEOUT);
	rig_release(conn);
	CHECK_INT(rig_wait_end(&patient), ==, 0);
	rig_release(patient.conn);
	RIG_EXPECT(pool, 1, 1, 0, 0);
	rig_close(pool);
}

/* Returns and deadlines at the same moment: whoever times out has nothing, and nothing is lost. */
static void *wait_briefly(void *arg)
{
	tine_pool *pool = arg;

	for (int i = 0; i < rig_rounds(500); i++) {
		tine_conn *conn = NULL;
		int rc = tine_pool_acquire(pool, 1, &conn, NULL);

		/* Whoever is not let run for this millisecond may have spent it in a connect. */
		CHECK(rc == 0 || rc == TINE_E_TIMEOUT || rc == TINE_E_CONNECT_TIMEOUT);
		CHECK((rc == 0) == (conn != NULL));
		if (conn) {
			rig_own(conn);
			rig_pause();
			rig_disown(conn);
			rig_release(conn);
		}
	}
	return NULL;
}

TEST(a_return_and_a_deadline_at_the_same_time_lose_nothing)
{
	tine_pool *pool = rig_pool(2, 1);
	pthread_t threads[8];

	for (int i = 0; i < 8; i++)
		threads[i] = rig_thread(wait_briefly, pool);
	for (int i = 0; i < 8; i++)
		rig_join(threads[i]);
	CHECK_INT(rig_stats(pool).open, ==, rig_stats(pool).idle);
	CHECK_INT(rig_stats(pool).open, <=, 2);
	rig_fill(pool, 3);
	rig_close(pool);
	CHECK_INT(atomic_load(&fake_count->most_live), <=, 3);
}

TEST(no_more_than_max_waiting_wait)
{
	tine_pool_config config = rig_config(1, 0);
	struct rig_waiter waiters[3] = { 0 };
	tine_conn *conn;
	tine_pool *pool;
	tine_error error;

	config.max_waiting = 2;
	pool = rig_open(&config);
	conn = rig_acquire(pool);
	rig_wait_queued(&waiters[0], pool, RIG_LONG_MS, 1);
	rig_wait_queued(&waiters[1], pool, RIG_LONG_MS, 2);
	error = rig_refused(pool, RIG_LONG_MS, TINE_E_QUEUE_FULL);
	CHECK_CONTAINS(error.text, "max_waiting");
	rig_release(conn);
	CHECK_INT(rig_wait_end(&waiters[0]), ==, 0);
	rig_wait_queued(&waiters[2], pool, RIG_LONG_MS, 2);
	for (int i = 0; i < 2; i++) {
		rig_release(waiters[i].conn);
		CHECK_INT(rig_wait_end(&waiters[i + 1]), ==, 0);
	}
	rig_release(waiters[2].conn);
	rig_close(pool);
}

/* ---- connects under way --------------------------------------------------------------------- */

static void hold(const struct fake_session *session, struct fake_plan *plan)
{
	(void)session;
	plan->held = true;
}

/* Who began to connect is served by a return that comes first; the connect is dropped then, since
 * nobody wants it. */
TEST(a_return_is_quicker_than_a_connect)
{
	tine_pool *pool = rig_pool(5, 0);
	struct rig_waiter waiter = { 0 };
	tine_conn *conn = rig_acquire(pool);
	int id = rig_session(conn)->id;

	fake_on_connect = hold;
	rig_wait_start(&waiter, pool, RIG_LONG_MS);
	RIG_AWAIT(rig_stats(pool).connecting == 1);
	rig_release(conn);
	CHECK_INT(rig_wait_end(&waiter), ==, 0);
	CHECK_INT(rig_session(waiter.conn)->id, ==, id);
	RIG_EXPECT(pool, 1, 0, 1, 0);
	rig_release(waiter.conn);
	rig_close(pool);
}

/* What comes back within a few milliseconds makes a connect vain, and the server forks for it. */
TEST(who_waits_briefly_begins_no_connect)
{
	tine_pool *pool = rig_pool(5, 0);
	tine_conn *conn = rig_acquire(pool);

	clock_freeze();
	for (int i = 0; i < 20; i++) {
		struct rig_waiter waiter = { 0 };

		rig_wait_queued(&waiter, pool, RIG_LONG_MS, 1);
		rig_release(conn);
		CHECK_INT(rig_wait_end(&waiter), ==, 0);
		conn = waiter.conn;
	}
	rig_release(conn);
	CHECK_INT(atomic_load(&fake_count->sessions), ==, 1);
	rig_close(pool);
}

TEST(who_waits_for_longer_connects)
{
	tine_pool *pool = rig_pool(5, 0);
	struct rig_waiter waiter = { 0 };
	tine_conn *conn = rig_acquire(pool);

	clock_freeze();
	rig_wait_queued(&waiter, pool, RIG_LONG_MS, 1);
	CHECK_INT(atomic_load(&fake_count->sessions), ==, 1);
	clock_pass_ms(6);
	CHECK_INT(rig_wait_end(&waiter), ==, 0);
	CHECK_INT(atomic_load(&fake_count->sessions), ==, 2);
	rig_release(waiter.conn);
	rig_release(conn);
	rig_close(pool);
}

/* Who has no time for both, or would be one too many to wait, connects at once. */
TEST(who_cannot_wait_connects_at_once)
{
	tine_pool_config config = rig_config(5, 0);
	struct rig_waiter first = { 0 }, second = { 0 };
	tine_conn *conn, *hurried;
	tine_pool *pool;

	config.max_waiting = 1;
	pool = rig_open(&config);
	conn = rig_acquire(pool);
	clock_freeze();
	CHECK_INT(tine_pool_acquire(pool, 3, &hurried, NULL), ==, 0);
	rig_wait_queued(&first, pool, RIG_LONG_MS, 1);
	rig_wait_start(&second, pool, RIG_LONG_MS);
	/* The new connection goes to who was there before. */
	CHECK_INT(rig_wait_end(&first), ==, 0);
	CHECK_INT(atomic_load(&fake_count->sessions), ==, 3);
	rig_release(hurried);
	CHECK_INT(rig_wait_end(&second), ==, 0);
	rig_release(second.conn);
	rig_release(first.conn);
	rig_release(conn);
	rig_close(pool);
}

/* 50 requests, 5 idle connections, connects that take long: the pool ends near where it began. */
struct spike {
	tine_pool *pool;
	_Atomic int served;
};

static void *request(void *arg)
{
	struct spike *spike = arg;
	tine_conn *conn = rig_acquire(spike->pool);

	rig_own(conn);
	CHECK_INT(fake_exec(tine_conn_pg(conn), "SELECT 1"), ==, PGRES_TUPLES_OK);
	rig_pause();
	rig_disown(conn);
	rig_release(conn);
	atomic_fetch_add(&spike->served, 1);
	return NULL;
}

TEST(a_spike_of_short_work_does_not_fill_the_pool)
{
	enum { COUNT = 50 };
	struct spike spike = { .pool = rig_pool(50, 0) };
	pthread_t threads[COUNT];

	rig_fill(spike.pool, 5);
	fake_on_connect = hold;
	for (int i = 0; i < COUNT; i++)
		threads[i] = rig_thread(request, &spike);
	RIG_AWAIT(atomic_load(&spike.served) == COUNT);
	for (int i = 0; i < COUNT; i++)
		rig_join(threads[i]);
	/* Two at a time may be on their way. */
	CHECK_INT(atomic_load(&fake_count->most_live), <=, 7);
	RIG_EXPECT(spike.pool, 5, 5, 0, 0);
	rig_close(spike.pool);
}

/* One hangs, the others are served all the same, by what comes back. */
TEST(a_connect_that_hangs_holds_up_nobody_else)
{
	struct spike spike = { .pool = rig_pool(3, 7) };
	struct rig_waiter stuck[2] = { 0 };
	pthread_t threads[10];

	rig_fill(spike.pool, 1);
	fake_on_connect = hold;
	for (int i = 0; i < 2; i++) {
		tine_conn *conn = rig_acquire(spike.pool);

		rig_wait_start(&stuck[i], spike.pool, RIG_LONG_MS);
		RIG_AWAIT(rig_stats(spike.pool).connecting == 1);
		for (int j = 0; j < 10; j++)
			threads[j] = rig_thread(request, &spike);
		rig_release(conn);
		CHECK_INT(rig_wait_end(&stuck[i]), ==, 0);
		rig_release(stuck[i].conn);
		for (int j = 0; j < 10; j++)
			rig_join(threads[j]);
	}
	CHECK_INT(atomic_load(&spike.served), ==, 20);
	rig_close(spike.pool);
}

static void hold_the_first_three(const struct fake_session *session, struct fake_plan *plan)
{
	plan->held = session->id <= 3;
}

TEST(the_pool_grows_by_no_more_than_connect_parallel_at_a_time)
{
	tine_pool_config config = rig_config(10, 0);
	struct rig_waiter waiters[6] = { 0 };
	tine_pool *pool;

	config.connect_parallel = 3;
	fake_on_connect = hold_the_first_three;
	pool = rig_open(&config);
	for (int i = 0; i < 6; i++)
		rig_wait_queued(&waiters[i], pool, RIG_LONG_MS, i + 1);
	CHECK_INT(rig_stats(pool).connecting, ==, 3);
	CHECK_INT(atomic_load(&fake_count->sessions), ==, 3);
	for (int i = 0; i < 3; i++)
		fake_let_through(fake_session(i + 1));
	for (int i = 0; i < 6; i++)
		CHECK_INT(rig_wait_end(&waiters[i]), ==, 0);
	for (int i = 0; i < 6; i++)
		rig_release(waiters[i].conn);
	/* A connect that its driver had to leave, because it was served, may have been begun anew.
	 */
	CHECK_INT(rig_stats(pool).open, >=, 6);
	CHECK_INT(rig_stats(pool).open, <, 6 + 3);
	CHECK_INT(rig_stats(pool).idle, ==, rig_stats(pool).open);
	rig_close(pool);
}

/* Who gave up leaves its connect to whoever comes next. */
TEST(a_connect_that_was_left_behind_is_gone_on_with)
{
	tine_pool *pool = rig_pool(1, 0);
	struct rig_waiter waiter = { 0 };

	fake_on_connect = hold;
	rig_refused(pool, 30, TINE_E_CONNECT_TIMEOUT);
	RIG_EXPECT(pool, 1, 0, 0, 0);
	CHECK_INT(rig_stats(pool).connecting, ==, 1);
	rig_wait_start(&waiter, pool, RIG_LONG_MS);
	RIG_AWAIT(rig_stats(pool).waiting == 1);
	fake_let_through(fake_session(1));
	CHECK_INT(rig_wait_end(&waiter), ==, 0);
	CHECK_INT(rig_session(waiter.conn)->id, ==, 1);
	CHECK_INT(rig_stats(pool).opened, ==, 1);
	rig_release(waiter.conn);
	rig_close(pool);
}

TEST(a_connect_that_was_left_behind_is_dropped_in_the_end)
{
	tine_pool_config config = rig_config(1, 0);
	tine_pool *pool;

	config.connect_timeout_ms = 5000;
	fake_on_connect = hold;
	pool = rig_open(&config);
	rig_refused(pool, 30, TINE_E_CONNECT_TIMEOUT);
	CHECK_INT(rig_stats(pool).connecting, ==, 1);
	CHECK_INT(tine_pool_sweep(pool), ==, 0);
	clock_pass_ms(6000);
	CHECK_INT(tine_pool_sweep(pool), ==, 1);
	RIG_EXPECT(pool, 0, 0, 0, 0);
	rig_close(pool);
}

/* ---- no connection to be had ---------------------------------------------------------------- */

static _Atomic bool refuses;

static void refuse(const struct fake_session *session, struct fake_plan *plan)
{
	(void)session;
	if (atomic_load(&refuses))
		plan->refusal = "connection to server failed: Connection refused\n";
}

/* The pool cannot grow, but what is out will come back. */
TEST(a_failed_connect_waits_for_a_return)
{
	tine_pool *pool = rig_pool(2, 0);
	struct rig_waiter waiter = { 0 };
	tine_conn *conn = rig_acquire(pool);

	atomic_store(&refuses, true);
	fake_on_connect = refuse;
	rig_wait_start(&waiter, pool, RIG_LONG_MS);
	RIG_AWAIT(rig_stats(pool).open_failed > 0);
	rig_release(conn);
	CHECK_INT(rig_wait_end(&waiter), ==, 0);
	CHECK_INT(rig_session(waiter.conn)->id, ==, 1);
	rig_release(waiter.conn);
	RIG_EXPECT(pool, 1, 1, 0, 0);
	rig_close(pool);
}

/* ... and it is served at the return, not at its next attempt to connect. */
TEST(a_return_wakes_who_failed_to_connect_at_once)
{
	tine_pool *pool = rig_pool(2, 0);
	struct rig_waiter waiter = { 0 };
	tine_conn *conn = rig_acquire(pool);

	atomic_store(&refuses, true);
	fake_on_connect = refuse;
	rig_wait_start(&waiter, pool, RIG_LONG_MS);
	/* The pause between two attempts is up to a second then, and at least 3/4 of it. */
	RIG_AWAIT(rig_stats(pool).open_failed == 5);
	rig_release(conn);
	for (int i = 0; i < 400 && !atomic_load(&waiter.done); i++)
		rig_pause();
	CHECK(atomic_load(&waiter.done));
	CHECK_INT(rig_stats(pool).open_failed, ==, 5);
	CHECK_INT(rig_wait_end(&waiter), ==, 0);
	rig_release(waiter.conn);
	rig_close(pool);
}

TEST(a_failed_connect_wakes_the_others)
{
	tine_pool *pool = rig_pool(1, 0);
	struct rig_waiter waiters[3] = { 0 };

	atomic_store(&refuses, true);
	fake_usual.held = true;
	fake_on_connect = refuse;
	for (int i = 0; i < 3; i++)
		rig_wait_queued(&waiters[i], pool, RIG_LONG_MS, i + 1);
	fake_let_through(fake_session(1));
	for (int i = 0; i < 3; i++) {
		CHECK_INT(rig_wait_end(&waiters[i]), ==, TINE_E_CONNECT);
		CHECK_CONTAINS(waiters[i].error.text, "Connection refused");
	}
	RIG_EXPECT(pool, 0, 0, 0, 0);
	/* The others were told what is known, and did not try once more. */
	CHECK_INT(atomic_load(&fake_count->sessions), ==, 1);
	rig_close(pool);
}

/* ---- cancelled ------------------------------------------------------------------------------ */

/* A thread that is cancelled while it waits ends when it has left the pool. */
static void give_back(void *arg)
{
	tine_conn **conn = arg;

	tine_conn_release(*conn);
}

static void *wait_until_cancelled(void *arg)
{
	tine_conn *conn = NULL;

	pthread_cleanup_push(give_back, &conn);
	if (tine_pool_acquire(arg, RIG_LONG_MS, &conn, NULL) == 0)
		pthread_testcancel();
	pthread_cleanup_pop(1);
	return NULL;
}

TEST(a_cancelled_thread_leaves_no_trace)
{
	tine_pool *pool = rig_pool(1, 0);
	tine_conn *conn = rig_acquire(pool);
	pthread_t thread = rig_thread(wait_until_cancelled, pool);
	void *result;

	RIG_AWAIT(rig_stats(pool).waiting == 1);
	CHECK_INT(pthread_cancel(thread), ==, 0);
	rig_release(conn);
	CHECK_INT(pthread_join(thread, &result), ==, 0);
	CHECK(result == PTHREAD_CANCELED);
	RIG_EXPECT(pool, 1, 1, 0, 0);
	rig_release(rig_acquire(pool));
	rig_close(pool);
}

CHECK_TABLE(T(first_come_first_served), T(nobody_starves), T(every_return_serves_a_waiter),
	    T(a_connection_that_is_closed_serves_a_waiter_with_its_place),
	    T(overflow_is_kept_for_who_waits), T(a_timeout_is_neither_early_nor_for_ever),
	    T(who_gave_up_swallows_no_connection),
	    T(a_return_and_a_deadline_at_the_same_time_lose_nothing),
	    T(no_more_than_max_waiting_wait), T(a_return_is_quicker_than_a_connect),
	    T(who_waits_briefly_begins_no_connect), T(who_waits_for_longer_connects),
	    T(who_cannot_wait_connects_at_once),
	    T(a_spike_of_short_work_does_not_fill_the_pool),
	    T(a_connect_that_hangs_holds_up_nobody_else),
	    T(the_pool_grows_by_no_more_than_connect_parallel_at_a_time),
	    T(a_connect_that_was_left_behind_is_gone_on_with),
	    T(a_connect_that_was_left_behind_is_dropped_in_the_end),
	    T(a_failed_connect_waits_for_a_return), T(a_return_wakes_who_failed_to_connect_at_once),
	    T(a_failed_connect_wakes_the_others), T(a_cancelled_thread_leaves_no_trace))
