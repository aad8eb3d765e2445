/* SPDX-License-Identifier: PostgreSQL */
/* Changing a pool that is in use: pause, resize, dispose, free. */
#include "unit/pool/rig.h"

/* ---- pause ---------------------------------------------------------------------------------- */

TEST(a_pause_closes_what_is_idle_and_hands_out_nothing)
{
	tine_pool *pool = rig_pool(3, 0);
	tine_error error;

	rig_fill(pool, 3);
	CHECK_INT(tine_pool_pause(pool, TINE_PAUSE_FAIL, 0, &error), ==, 0);
	RIG_EXPECT(pool, 0, 0, 0, 0);
	CHECK_INT(rig_stats(pool).paused, ==, 1);
	CHECK_INT(rig_closed(pool, TINE_CAUSE_DISPOSED), ==, 3);
	rig_refused(pool, RIG_LONG_MS, TINE_E_PAUSED);
	rig_refused(pool, 0, TINE_E_PAUSED);
	CHECK_INT(tine_pool_resume(pool), ==, 0);
	CHECK_INT(rig_stats(pool).paused, ==, 0);
	rig_release(rig_acquire(pool));
	rig_close(pool);
}

TEST(during_a_pause_that_blocks_acquires_wait_for_its_end)
{
	enum { COUNT = 4 };
	tine_pool *pool = rig_pool(2, 0);
	struct rig_waiter waiters[COUNT] = { 0 };

	CHECK_INT(tine_pool_pause(pool, TINE_PAUSE_BLOCK, 0, NULL), ==, 0);
	for (int i = 0; i < COUNT; i++)
		rig_wait_queued(&waiters[i], pool, RIG_LONG_MS, i + 1);
	rig_refused(pool, 20, TINE_E_PAUSED);
	rig_refused(pool, 0, TINE_E_PAUSED);
	CHECK_INT(atomic_load(&fake_count->sessions), ==, 0);
	tine_pool_resume(pool);
	/* Both places are filled before the first connection comes back. */
	for (int i = 0; i < 2; i++)
		CHECK_INT(rig_wait_end(&waiters[i]), ==, 0);
	for (int i = 0; i < COUNT; i++) {
		if (i >= 2)
			CHECK_INT(rig_wait_end(&waiters[i]), ==, 0);
		rig_release(waiters[i].conn);
	}
	RIG_EXPECT(pool, 2, 2, 0, 0);
	rig_close(pool);
}

TEST(a_pause_that_fails_wakes_who_waits)
{
	tine_pool *pool = rig_pool(1, 0);
	struct rig_waiter waiter = { 0 };
	tine_conn *conn = rig_acquire(pool);

	rig_wait_queued(&waiter, pool, RIG_LONG_MS, 1);
	CHECK_INT(tine_pool_pause(pool, TINE_PAUSE_FAIL, 0, NULL), ==, TINE_E_TIMEOUT);
	CHECK_INT(rig_wait_end(&waiter), ==, TINE_E_PAUSED);
	/* What is out may stay out, and is closed when it comes back. */
	CHECK_INT(fake_exec(tine_conn_pg(conn), "SELECT 1"), ==, PGRES_TUPLES_OK);
	rig_release(conn);
	RIG_EXPECT(pool, 0, 0, 0, 0);
	tine_pool_resume(pool);
	rig_close(pool);
}

TEST(a_return_during_a_pause_serves_nobody_until_its_end)
{
	tine_pool *pool = rig_pool(1, 0);
	struct rig_waiter waiter = { 0 };
	tine_conn *conn = rig_acquire(pool);

	rig_wait_queued(&waiter, pool, RIG_LONG_MS, 1);
	CHECK_INT(tine_pool_pause(pool, TINE_PAUSE_BLOCK, 0, NULL), ==, TINE_E_TIMEOUT);
	rig_release(conn);
	RIG_EXPECT(pool, 0, 0, 0, 1);
	CHECK(!atomic_load(&waiter.done));
	tine_pool_resume(pool);
	CHECK_INT(rig_wait_end(&waiter), ==, 0);
	CHECK_INT(rig_session(waiter.conn)->id, ==, 2);
	rig_release(waiter.conn);
	rig_close(pool);
}

static void *release_soon(void *conn)
{
	for (int i = 0; i < 20; i++)
		rig_pause();
	rig_release(conn);
	return NULL;
}

TEST(a_pause_waits_for_what_is_out)
{
	tine_pool *pool = rig_pool(2, 0);
	tine_conn *first = rig_acquire(pool), *second = rig_acquire(pool);
	pthread_t thread;
	tine_error error;

	CHECK_INT(tine_pool_pause(pool, TINE_PAUSE_BLOCK, 20, &error), ==, TINE_E_TIMEOUT);
	CHECK_CONTAINS(error.text, "2 connections are still in use");
	rig_release(first);
	thread = rig_thread(release_soon, second);
	CHECK_INT(tine_pool_pause(pool, TINE_PAUSE_BLOCK, -1, &error), ==, 0);
	rig_join(thread);
	RIG_EXPECT(pool, 0, 0, 0, 0);
	tine_pool_resume(pool);
	rig_close(pool);
}

/* A connect that ends in a pause is not kept for after it. */
TEST(a_connect_that_ends_in_a_pause_is_dropped)
{
	tine_pool *pool = rig_pool(1, 0);
	struct rig_waiter waiter = { 0 };

	fake_usual.held = true;
	rig_wait_start(&waiter, pool, RIG_LONG_MS);
	fake_session(1);
	tine_pool_pause(pool, TINE_PAUSE_BLOCK, 0, NULL);
	fake_let_through(fake_session(1));
	RIG_AWAIT(rig_stats(pool).open == 0);
	CHECK(!atomic_load(&waiter.done));
	tine_pool_resume(pool);
	fake_let_through(fake_session(2));
	CHECK_INT(rig_wait_end(&waiter), ==, 0);
	rig_release(waiter.conn);
	rig_close(pool);
}

/* Nor is one that its driver leaves in a pause: nobody could take it over. */
TEST(a_connect_that_is_left_in_a_pause_is_dropped)
{
	tine_pool *pool = rig_pool(1, 0);
	struct rig_waiter waiter = { 0 };
	int64_t began_ms;

	fake_usual.held = true;
	rig_wait_start(&waiter, pool, 100);
	fake_session(1);
	began_ms = clock_now_ms();
	CHECK_INT(tine_pool_pause(pool, TINE_PAUSE_BLOCK, RIG_LONG_MS, NULL), ==, 0);
	CHECK_INT(clock_now_ms() - began_ms, <, RIG_LONG_MS / 2);
	CHECK_INT(rig_wait_end(&waiter), ==, TINE_E_PAUSED);
	RIG_EXPECT(pool, 0, 0, 0, 0);
	rig_close(pool);
}

/* Pauses and acquires at the same time: after each pause nothing is left, and nobody is lost. */
static _Atomic bool over;

static void *use_until_over(void *arg)
{
	tine_pool *pool = arg;

	while (!atomic_load(&over)) {
		tine_conn *conn;

		if (tine_pool_acquire(pool, 5, &conn, NULL) == 0) {
			rig_own(conn);
			rig_disown(conn);
			rig_release(conn);
		}
	}
	return NULL;
}

TEST(each_pause_ends_with_an_empty_pool)
{
	tine_pool *pool = rig_pool(2, 1);
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		threads[i] = rig_thread(use_until_over, pool);
	for (int i = 0; i < rig_rounds(1000); i++) {
		int64_t began_ms = clock_now_ms();

		CHECK_INT(tine_pool_pause(pool, i % 2 ? TINE_PAUSE_FAIL : TINE_PAUSE_BLOCK,
					  RIG_LONG_MS, NULL),
			  ==, 0);
		CHECK_INT(clock_now_ms() - began_ms, <, RIG_LONG_MS / 2);
		CHECK_INT(rig_stats(pool).idle, ==, 0);
		CHECK_INT(rig_stats(pool).busy, ==, 0);
		tine_pool_resume(pool);
		rig_release(rig_acquire(pool));
	}
	atomic_store(&over, true);
	for (int i = 0; i < 4; i++)
		rig_join(threads[i]);
	CHECK_INT(rig_stats(pool).open, ==, rig_stats(pool).idle);
	rig_close(pool);
}

TEST(wrong_arguments_change_nothing)
{
	tine_pool *pool = rig_pool(1, 0);
	tine_error error;

	CHECK_INT(tine_pool_pause(pool, 7, 0, &error), ==, TINE_E_INVALID);
	CHECK_INT(tine_pool_pause(NULL, TINE_PAUSE_FAIL, 0, &error), ==, TINE_E_INVALID);
	CHECK_INT(tine_pool_resume(NULL), ==, TINE_E_INVALID);
	CHECK_INT(tine_pool_dispose(pool, 7), ==, TINE_E_INVALID);
	CHECK_INT(tine_pool_dispose(NULL, TINE_DISPOSE_CLOSE), ==, TINE_E_INVALID);
	CHECK_INT(tine_pool_resize(pool, 0, 0, &error), ==, TINE_E_INVALID);
	CHECK_CONTAINS(error.text, "pool_size");
	CHECK_INT(tine_pool_resize(pool, 1, -1, &error), ==, TINE_E_INVALID);
	CHECK_CONTAINS(error.text, "max_overflow");
	CHECK_INT(tine_pool_resize(NULL, 1, 1, &error), ==, TINE_E_INVALID);
	CHECK_INT(tine_pool_resume(pool), ==, 0);
	CHECK_INT(rig_stats(pool).pool_size, ==, 1);
	rig_release(rig_acquire(pool));
	rig_close(pool);
}

/* ---- resize --------------------------------------------------------------------------------- */

TEST(a_larger_pool_serves_who_waits)
{
	enum { COUNT = 3 };
	tine_pool *pool = rig_pool(1, 0);
	struct rig_waiter waiters[COUNT] = { 0 };
	tine_conn *conn = rig_acquire(pool);

	for (int i = 0; i < COUNT; i++)
		rig_wait_queued(&waiters[i], pool, RIG_LONG_MS, i + 1);
	CHECK_INT(tine_pool_resize(pool, 2, 2, NULL), ==, 0);
	for (int i = 0; i < COUNT; i++)
		CHECK_INT(rig_wait_end(&waiters[i]), ==, 0);
	CHECK_INT(rig_stats(pool).pool_size, ==, 2);
	CHECK_INT(rig_stats(pool).max_overflow, ==, 2);
	RIG_EXPECT(pool, 4, 0, 4, 0);
	rig_refused(pool, 10, TINE_E_TIMEOUT);
	for (int i = 0; i < COUNT; i++)
		rig_release(waiters[i].conn);
	rig_release(conn);
	RIG_EXPECT(pool, 2, 2, 0, 0);
	rig_close(pool);
}

TEST(a_smaller_pool_closes_what_is_idle_now_and_the_rest_later)
{
	tine_pool *pool = rig_pool(6, 0);
	tine_conn *conns[3];

	rig_fill(pool, 6);
	for (int i = 0; i < 3; i++)
		conns[i] = rig_acquire(pool);
	CHECK_INT(tine_pool_resize(pool, 2, 0, NULL), ==, 0);
	RIG_EXPECT(pool, 3, 0, 3, 0);
	rig_refused(pool, 10, TINE_E_TIMEOUT);
	for (int i = 0; i < 3; i++)
		rig_release(conns[i]);
	RIG_EXPECT(pool, 2, 2, 0, 0);
	rig_close(pool);
}

TEST(a_pool_can_be_resized_while_it_is_used)
{
	tine_pool *pool = rig_pool(2, 0);
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		threads[i] = rig_thread(use_until_over, pool);
	for (int i = 0; i < rig_rounds(200); i++) {
		CHECK_INT(tine_pool_resize(pool, 1 + i % 7, i % 3, NULL), ==, 0);
		clock_pass_ms(1000);
		rig_release(rig_acquire(pool));
	}
	atomic_store(&over, true);
	for (int i = 0; i < 4; i++)
		rig_join(threads[i]);
	CHECK_INT(tine_pool_resize(pool, 1, 0, NULL), ==, 0);
	CHECK_INT(rig_stats(pool).open, ==, rig_stats(pool).idle);
	CHECK_INT(rig_stats(pool).open, <=, 1);
	rig_close(pool);
}

/* ---- dispose -------------------------------------------------------------------------------- */

TEST(dispose_empties_the_pool_which_goes_on)
{
	tine_pool *pool = rig_pool(3, 0);
	tine_conn *conn;

	rig_fill(pool, 3);
	conn = rig_acquire(pool);
	CHECK_INT(tine_pool_dispose(pool, TINE_DISPOSE_CLOSE), ==, 0);
	RIG_EXPECT(pool, 1, 0, 1, 0);
	CHECK_INT(fake_exec(tine_conn_pg(conn), "SELECT 1"), ==, PGRES_TUPLES_OK);
	rig_release(conn);
	RIG_EXPECT(pool, 0, 0, 0, 0);
	CHECK_INT(rig_closed(pool, TINE_CAUSE_DISPOSED), ==, 3);
	for (int i = 1; i <= 3; i++)
		CHECK_INT(atomic_load(&fake_session(i)->goodbyes), ==, 1);
	/* What is opened afterwards is kept. */
	rig_release(rig_acquire(pool));
	RIG_EXPECT(pool, 1, 1, 0, 0);
	rig_close(pool);
}

TEST(abandon_says_nothing_to_the_server)
{
	tine_pool *pool = rig_pool(3, 0);

	rig_fill(pool, 3);
	CHECK_INT(tine_pool_dispose(pool, TINE_DISPOSE_ABANDON), ==, 0);
	RIG_EXPECT(pool, 0, 0, 0, 0);
	for (int i = 1; i <= 3; i++)
		CHECK_INT(atomic_load(&fake_session(i)->goodbyes), ==, 0);
	rig_release(rig_acquire(pool));
	rig_close(pool);
}

TEST(who_waits_does_not_get_what_was_disposed_of)
{
	tine_pool *pool = rig_pool(1, 0);
	struct rig_waiter waiter = { 0 };
	tine_conn *conn = rig_acquire(pool);

	rig_wait_queued(&waiter, pool, RIG_LONG_MS, 1);
	tine_pool_dispose(pool, TINE_DISPOSE_CLOSE);
	rig_release(conn);
	CHECK_INT(rig_wait_end(&waiter), ==, 0);
	CHECK_INT(rig_session(waiter.conn)->id, ==, 2);
	rig_release(waiter.conn);
	rig_close(pool);
}

/* ---- free ----------------------------------------------------------------------------------- */

TEST(free_closes_what_is_idle_now_and_the_rest_when_it_comes_back)
{
	tine_pool *pool = rig_pool(3, 0);
	tine_conn *conns[2];

	rig_fill(pool, 3);
	conns[0] = rig_acquire(pool);
	conns[1] = rig_acquire(pool);
	tine_pool_free(pool);
	CHECK_INT(atomic_load(&fake_count->live), ==, 2);
	CHECK_INT(fake_exec(tine_conn_pg(conns[0]), "SELECT 1"), ==, PGRES_TUPLES_OK);
	rig_release(conns[0]);
	CHECK_INT(atomic_load(&fake_count->live), ==, 1);
	tine_conn_invalidate(conns[1]);
	rig_check_nothing_left();
}

TEST(who_waits_in_a_pool_that_is_freed_is_told_so)
{
	enum { COUNT = 4 };
	tine_pool *pool = rig_pool(2, 0);
	struct rig_waiter waiters[COUNT] = { 0 };
	tine_conn *conn = rig_acquire(pool);

	/* The first of them is on its way to the server. */
	fake_usual.held = true;
	for (int i = 0; i < COUNT; i++)
		rig_wait_queued(&waiters[i], pool, RIG_LONG_MS, i + 1);
	fake_session(2);
	tine_pool_free(pool);
	for (int i = 0; i < COUNT; i++)
		CHECK_INT(rig_wait_end(&waiters[i]), ==, TINE_E_CLOSED);
	rig_release(conn);
	rig_check_nothing_left();
}

/* The last returns after the end of the pool, at the same time: one of them frees it. */
static void *release_at_once(void *conn)
{
	rig_release(conn);
	return NULL;
}

TEST(the_last_return_frees_a_pool_that_was_closed)
{
	for (int i = 0; i < rig_rounds(300); i++) {
		tine_pool *pool = rig_pool(2, 0);
		tine_conn *first = rig_acquire(pool), *second = rig_acquire(pool);
		pthread_t threads[2];

		tine_pool_free(pool);
		threads[0] = rig_thread(release_at_once, first);
		threads[1] = rig_thread(release_at_once, second);
		rig_join(threads[0]);
		rig_join(threads[1]);
		rig_check_nothing_left();
	}
}

TEST(a_pool_that_never_connected_can_be_freed)
{
	for (int i = 0; i < 100; i++)
		rig_close(rig_pool(5, 10));
}

/* Several pools do not know of each other. */
TEST(two_pools_are_two)
{
	tine_pool *first = rig_pool(1, 0), *second = rig_pool(1, 0);
	tine_conn *conns[2] = { rig_acquire(first), rig_acquire(second) };

	tine_pool_pause(first, TINE_PAUSE_FAIL, 0, NULL);
	rig_refused(second, 10, TINE_E_TIMEOUT);
	rig_release(conns[0]);
	rig_release(conns[1]);
	rig_refused(first, 10, TINE_E_PAUSED);
	rig_release(rig_acquire(second));
	tine_pool_free(first);
	rig_release(rig_acquire(second));
	rig_close(second);
}

CHECK_TABLE(T(a_pause_closes_what_is_idle_and_hands_out_nothing),
	    T(during_a_pause_that_blocks_acquires_wait_for_its_end),
	    T(a_pause_that_fails_wakes_who_waits),
	    T(a_return_during_a_pause_serves_nobody_until_its_end),
	    T(a_pause_waits_for_what_is_out), T(a_connect_that_ends_in_a_pause_is_dropped),
	    T(a_connect_that_is_left_in_a_pause_is_dropped), T(each_pause_ends_with_an_empty_pool),
	    T(wrong_arguments_change_nothing), T(a_larger_pool_serves_who_waits),
	    T(a_smaller_pool_closes_what_is_idle_now_and_the_rest_later),
	    T(a_pool_can_be_resized_while_it_is_used), T(dispose_empties_the_pool_which_goes_on),
	    T(abandon_says_nothing_to_the_server), T(who_waits_does_not_get_what_was_disposed_of),
	    T(free_closes_what_is_idle_now_and_the_rest_when_it_comes_back),
	    T(who_waits_in_a_pool_that_is_freed_is_told_so),
	    T(the_last_return_frees_a_pool_that_was_closed),
	    T(a_pool_that_never_connected_can_be_freed), T(two_pools_are_two))
