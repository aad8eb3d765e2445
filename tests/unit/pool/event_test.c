/* SPDX-License-Identifier: PostgreSQL */
/* Events: which come when, and functions that refuse. */
#include "unit/pool/rig.h"

static int seen(const struct rig_events *events, int kind)
{
	return atomic_load(&events->count[kind]);
}

/* ---- the life of a connection --------------------------------------------------------------- */

TEST(a_connection_is_told_of_from_its_birth_to_its_end)
{
	tine_pool *pool = rig_pool(1, 0);
	struct rig_events events = { 0 };
	tine_conn *conn;
	PGconn *pg;

	rig_listen(pool, &events);
	conn = rig_acquire(pool);
	pg = tine_conn_pg(conn);
	CHECK_INT(seen(&events, TINE_EVENT_FIRST_CONNECT), ==, 1);
	CHECK_INT(seen(&events, TINE_EVENT_CONNECT), ==, 1);
	CHECK(events.last[TINE_EVENT_CONNECT].pg == pg);
	CHECK_INT(seen(&events, TINE_EVENT_CHECKOUT), ==, 1);
	CHECK(events.last[TINE_EVENT_CHECKOUT].pg == pg);
	CHECK_INT(seen(&events, TINE_EVENT_CHECKIN), ==, 0);
	rig_release(conn);
	CHECK_INT(seen(&events, TINE_EVENT_CHECKIN), ==, 1);
	CHECK_INT(seen(&events, TINE_EVENT_RESET), ==, 1);
	CHECK(events.last[TINE_EVENT_RESET].pg == pg);
	CHECK_INT(seen(&events, TINE_EVENT_CLOSE), ==, 0);
	rig_close(pool);
	CHECK_INT(seen(&events, TINE_EVENT_CLOSE), ==, 1);
	CHECK(events.last[TINE_EVENT_CLOSE].pg == pg);
	CHECK_INT(events.last[TINE_EVENT_CLOSE].cause, ==, TINE_CAUSE_DISPOSED);
	CHECK_INT(seen(&events, TINE_EVENT_INVALIDATE), ==, 0);
}

TEST(first_connect_comes_once_and_before_connect)
{
	tine_pool *pool = rig_pool(3, 0);
	struct rig_events events = { 0 };

	rig_listen(pool, &events);
	rig_fill(pool, 3);
	tine_pool_dispose(pool, TINE_DISPOSE_CLOSE);
	rig_fill(pool, 3);
	CHECK_INT(seen(&events, TINE_EVENT_FIRST_CONNECT), ==, 1);
	CHECK_INT(seen(&events, TINE_EVENT_CONNECT), ==, 6);
	CHECK_INT(seen(&events, TINE_EVENT_CHECKOUT), ==, 6);
	CHECK_INT(seen(&events, TINE_EVENT_CHECKIN), ==, 6);
	rig_close(pool);
	CHECK_INT(seen(&events, TINE_EVENT_CLOSE), ==, 6);
}

/* Nobody gets the first connection before its function is done. */
static _Atomic(PGconn *) first;
static _Atomic bool first_is_done;

static int prepare(const tine_event *event, void *unused)
{
	(void)unused;
	atomic_store(&first, event->pg);
	for (int i = 0; i < 20; i++)
		rig_pause();
	CHECK_INT(fake_exec(event->pg, "SELECT 1"), ==, PGRES_TUPLES_OK);
	atomic_store(&first_is_done, true);
	return 0;
}

static int after_the_first(const tine_event *event, void *unused)
{
	(void)unused;
	if (event->pg == atomic_load(&first))
		CHECK(atomic_load(&first_is_done));
	return 0;
}

static void *once(void *pool)
{
	rig_release(rig_acquire(pool));
	return NULL;
}

TEST(the_first_connection_is_prepared_before_it_is_handed_out)
{
	tine_pool *pool = rig_pool(5, 0);
	pthread_t threads[5];

	CHECK_INT(tine_pool_on(pool, TINE_EVENT_FIRST_CONNECT, prepare, NULL), ==, 0);
	CHECK_INT(tine_pool_on(pool, TINE_EVENT_CHECKOUT, after_the_first, NULL), ==, 0);
	for (int i = 0; i < 5; i++)
		threads[i] = rig_thread(once, pool);
	for (int i = 0; i < 5; i++)
		rig_join(threads[i]);
	CHECK(atomic_load(&first_is_done));
	rig_close(pool);
}

TEST(invalidate_and_detach_are_told)
{
	tine_pool *pool = rig_pool(1, 0);
	struct rig_events events = { 0 };
	tine_conn *conn;
	PGconn *pg;

	rig_listen(pool, &events);
	conn = rig_acquire(pool);
	pg = tine_conn_pg(conn);
	tine_conn_invalidate(conn);
	CHECK_INT(seen(&events, TINE_EVENT_INVALIDATE), ==, 1);
	CHECK(events.last[TINE_EVENT_INVALIDATE].pg == pg);
	CHECK_INT(events.cause[TINE_CAUSE_INVALIDATED], ==, 1);
	CHECK_INT(seen(&events, TINE_EVENT_CHECKIN), ==, 0);
	pg = tine_conn_detach(rig_acquire(pool));
	CHECK_INT(events.cause[TINE_CAUSE_DETACHED], ==, 1);
	fake_pq.finish(pg);
	rig_close(pool);
}

TEST(close_has_an_error_only_where_there_is_a_reason)
{
	tine_pool_config config = rig_config(1, 0);
	struct rig_events events = { 0 };
	tine_pool *pool;

	config.recycle_ms = 10000;
	pool = rig_open(&config);
	rig_listen(pool, &events);
	rig_fill(pool, 1);
	clock_pass_ms(10000);
	rig_fill(pool, 1);
	CHECK_INT(events.cause[TINE_CAUSE_RECYCLE], ==, 1);
	CHECK_INT(events.error[TINE_EVENT_CLOSE].status, ==, RIG_NO_ERROR);
	fake_hang_up(fake_session(2));
	clock_pass_ms(1000);
	rig_fill(pool, 1);
	CHECK_INT(events.cause[TINE_CAUSE_DEAD], ==, 1);
	CHECK_INT(events.error[TINE_EVENT_CLOSE].status, ==, TINE_E_LOST);
	tine_pool_dispose(pool, TINE_DISPOSE_CLOSE);
	CHECK_INT(events.error[TINE_EVENT_CLOSE].status, ==, RIG_NO_ERROR);
	rig_close(pool);
}

TEST(a_failed_connect_is_no_close)
{
	tine_pool *pool = rig_pool(1, 0);
	struct rig_events events = { 0 };

	rig_listen(pool, &events);
	fake_usual.refusal = "Connection refused\n";
	rig_refused(pool, RIG_LONG_MS, TINE_E_CONNECT);
	CHECK_INT(seen(&events, TINE_EVENT_CONNECT), ==, 0);
	CHECK_INT(seen(&events, TINE_EVENT_CLOSE), ==, 0);
	rig_close(pool);
}

TEST(connect_and_checkin_tell_how_long_it_took)
{
	tine_pool *pool = rig_pool(1, 0);
	struct rig_events events = { 0 };
	tine_conn *conn;

	rig_listen(pool, &events);
	conn = rig_acquire(pool);
	clock_pass_ms(7000);
	rig_release(conn);
	CHECK_INT(events.last[TINE_EVENT_CHECKIN].time_us, >=, 6900000);
	CHECK_INT(events.last[TINE_EVENT_CHECKIN].time_us, <, 60000000);
	CHECK_INT(events.last[TINE_EVENT_CONNECT].time_us, ==, rig_stats(pool).connect.sum_us);
	rig_close(pool);
}

TEST(wait_and_timeout_tell_of_the_queue)
{
	tine_pool *pool = rig_pool(1, 0);
	struct rig_events events = { 0 };
	struct rig_waiter waiter = { 0 };
	tine_conn *conn;

	conn = rig_acquire(pool);
	rig_listen(pool, &events);
	rig_wait_queued(&waiter, pool, RIG_LONG_MS, 1);
	RIG_AWAIT(seen(&events, TINE_EVENT_WAIT) == 1);
	rig_refused(pool, 30, TINE_E_TIMEOUT);
	CHECK_INT(seen(&events, TINE_EVENT_WAIT), ==, 2);
	CHECK_INT(events.last[TINE_EVENT_WAIT].count, ==, 2);
	CHECK_INT(seen(&events, TINE_EVENT_TIMEOUT), ==, 1);
	CHECK_INT(events.last[TINE_EVENT_TIMEOUT].time_us, >=, 30000);
	CHECK_INT(events.error[TINE_EVENT_TIMEOUT].status, ==, TINE_E_TIMEOUT);
	rig_release(conn);
	CHECK_INT(rig_wait_end(&waiter), ==, 0);
	rig_release(waiter.conn);
	rig_close(pool);
}

/* ---- functions that refuse ------------------------------------------------------------------ */

TEST(a_refused_connect_fails_the_acquire_and_closes_the_connection)
{
	tine_pool *pool = rig_pool(1, 0);
	struct rig_events events = { .refuse = { [TINE_EVENT_CONNECT] = 1 } };

	rig_listen(pool, &events);
	rig_refused(pool, RIG_LONG_MS, TINE_E_REFUSED);
	RIG_EXPECT(pool, 0, 0, 0, 0);
	CHECK_INT(events.cause[TINE_CAUSE_REFUSED], ==, 1);
	CHECK_INT(atomic_load(&fake_session(1)->goodbyes), ==, 1);
	rig_release(rig_acquire(pool));
	rig_close(pool);
}

TEST(a_refused_first_connect_fails_the_acquire)
{
	tine_pool *pool = rig_pool(1, 0);
	struct rig_events events = { .refuse = { [TINE_EVENT_FIRST_CONNECT] = 1 } };

	rig_listen(pool, &events);
	rig_refused(pool, RIG_LONG_MS, TINE_E_REFUSED);
	CHECK_INT(seen(&events, TINE_EVENT_CONNECT), ==, 0);
	RIG_EXPECT(pool, 0, 0, 0, 0);
	rig_release(rig_acquire(pool));
	rig_close(pool);
}

TEST(a_refused_checkout_takes_the_next_connection)
{
	tine_pool *pool = rig_pool(2, 0);
	struct rig_events events = { .refuse = { [TINE_EVENT_CHECKOUT] = 1 } };
	tine_conn *conn;

	rig_fill(pool, 2);
	rig_listen(pool, &events);
	conn = rig_acquire(pool);
	CHECK_INT(events.cause[TINE_CAUSE_REFUSED], ==, 1);
	RIG_EXPECT(pool, 1, 0, 1, 0);
	CHECK_INT(rig_stats(pool).opened, ==, 2);
	rig_release(conn);
	rig_close(pool);
}

TEST(who_refuses_everything_is_told_so)
{
	tine_pool *pool = rig_pool(2, 0);
	struct rig_events events = { .refuse = { [TINE_EVENT_CHECKOUT] = 1000 } };

	rig_listen(pool, &events);
	for (int i = 0; i < 3; i++)
		rig_refused(pool, RIG_LONG_MS, TINE_E_REFUSED);
	RIG_EXPECT(pool, 0, 0, 0, 0);
	CHECK_INT(rig_stats(pool).checkouts, ==, 0);
	rig_close(pool);
}

TEST(a_refused_reset_closes_the_connection)
{
	tine_pool *pool = rig_pool(2, 0);
	struct rig_events events = { .refuse = { [TINE_EVENT_RESET] = 1 } };

	rig_listen(pool, &events);
	rig_release(rig_acquire(pool));
	RIG_EXPECT(pool, 0, 0, 0, 0);
	CHECK_INT(events.cause[TINE_CAUSE_RESET], ==, 1);
	rig_release(rig_acquire(pool));
	RIG_EXPECT(pool, 1, 1, 0, 0);
	rig_close(pool);
}

TEST(who_waits_gets_a_connection_though_one_was_refused)
{
	tine_pool *pool = rig_pool(1, 0);
	struct rig_events events = { 0 };
	struct rig_waiter waiter = { 0 };
	tine_conn *conn = rig_acquire(pool);

	events.refuse[TINE_EVENT_CHECKOUT] = 1;
	rig_listen(pool, &events);
	rig_wait_queued(&waiter, pool, RIG_LONG_MS, 1);
	rig_release(conn);
	CHECK_INT(rig_wait_end(&waiter), ==, 0);
	CHECK_INT(rig_session(waiter.conn)->id, ==, 2);
	rig_release(waiter.conn);
	rig_close(pool);
}

/* ---- several functions, and what they may do ------------------------------------------------ */

static char order[16];

static int note(const tine_event *event, void *letter)
{
	(void)event;
	strncat(order, letter, 1);
	return *(const char *)letter == 'x';
}

TEST(functions_are_called_in_their_order_until_one_refuses)
{
	tine_pool *pool = rig_pool(1, 0);

	tine_pool_on(pool, TINE_EVENT_CHECKIN, note, (char[]){ "a" });
	tine_pool_on(pool, TINE_EVENT_CHECKIN, note, (char[]){ "b" });
	rig_release(rig_acquire(pool));
	CHECK_STR(order, "ab");
	tine_pool_on(pool, TINE_EVENT_RESET, note, (char[]){ "c" });
	tine_pool_on(pool, TINE_EVENT_RESET, note, (char[]){ "x" });
	tine_pool_on(pool, TINE_EVENT_RESET, note, (char[]){ "d" });
	rig_release(rig_acquire(pool));
	CHECK_STR(order, "ababcx");
	rig_close(pool);
}

TEST(there_is_room_for_8_functions_of_a_kind)
{
	tine_pool *pool = rig_pool(1, 0);
	char letter[] = "a";

	for (int i = 0; i < 8; i++)
		CHECK_INT(tine_pool_on(pool, TINE_EVENT_CHECKIN, note, letter), ==, 0);
	CHECK_INT(tine_pool_on(pool, TINE_EVENT_CHECKIN, note, letter), ==, TINE_E_INVALID);
	CHECK_INT(tine_pool_on(pool, TINE_EVENT_CHECKOUT, note, letter), ==, 0);
	CHECK_INT(tine_pool_on(pool, -1, note, letter), ==, TINE_E_INVALID);
	CHECK_INT(tine_pool_on(pool, TINE_EVENT_COUNT, note, letter), ==, TINE_E_INVALID);
	CHECK_INT(tine_pool_on(pool, TINE_EVENT_CLOSE, NULL, letter), ==, TINE_E_INVALID);
	CHECK_INT(tine_pool_on(NULL, TINE_EVENT_CLOSE, note, letter), ==, TINE_E_INVALID);
	rig_release(rig_acquire(pool));
	CHECK_STR(order, "aaaaaaaaa");
	rig_close(pool);
}

/* No lock is held: a function may use the connection, and the pool too. */
static int use_the_pool(const tine_event *event, void *depth)
{
	tine_pool_stats stats;
	int *level = depth;

	CHECK_INT(tine_pool_status(event->pool, &stats), ==, 0);
	if (event->pg && event->kind != TINE_EVENT_CLOSE)
		CHECK_INT(fake_exec(event->pg, "SELECT 1"), ==, PGRES_TUPLES_OK);
	if (++*level == 1)
		rig_release(rig_acquire(event->pool));
	--*level;
	return 0;
}

TEST(a_function_may_use_the_connection_and_the_pool)
{
	tine_pool *pool = rig_pool(8, 0);
	int depth = 0;

	for (int kind = 0; kind < TINE_EVENT_COUNT; kind++)
		tine_pool_on(pool, kind, use_the_pool, &depth);
	rig_release(rig_acquire(pool));
	tine_conn_invalidate(rig_acquire(pool));
	CHECK_INT(rig_stats(pool).busy, ==, 0);
	CHECK_INT(tine_pool_dispose(pool, TINE_DISPOSE_CLOSE), ==, 0);
	depth = 1; /* nobody acquires from a pool that is being freed */
	rig_close(pool);
}

CHECK_TABLE(T(a_connection_is_told_of_from_its_birth_to_its_end),
	    T(first_connect_comes_once_and_before_connect),
	    T(the_first_connection_is_prepared_before_it_is_handed_out),
	    T(invalidate_and_detach_are_told), T(close_has_an_error_only_where_there_is_a_reason),
	    T(a_failed_connect_is_no_close), T(connect_and_checkin_tell_how_long_it_took),
	    T(wait_and_timeout_tell_of_the_queue),
	    T(a_refused_connect_fails_the_acquire_and_closes_the_connection),
	    T(a_refused_first_connect_fails_the_acquire),
	    T(a_refused_checkout_takes_the_next_connection), T(who_refuses_everything_is_told_so),
	    T(a_refused_reset_closes_the_connection),
	    T(who_waits_gets_a_connection_though_one_was_refused),
	    T(functions_are_called_in_their_order_until_one_refuses),
	    T(there_is_room_for_8_functions_of_a_kind),
	    T(a_function_may_use_the_connection_and_the_pool))
