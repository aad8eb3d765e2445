/* SPDX-License-Identifier: PostgreSQL */
/* Acquire and release: how many, which one, and what becomes of it. */
#include "unit/pool/rig.h"

/* ---- how many ------------------------------------------------------------------------------- */

TEST(a_pool_opens_nothing_by_itself)
{
	tine_pool *pool = rig_pool(5, 10);

	RIG_EXPECT(pool, 0, 0, 0, 0);
	CHECK_INT(tine_pool_sweep(pool), ==, 0);
	rig_close(pool);
	CHECK_INT(atomic_load(&fake_count->sessions), ==, 0);
}

TEST(it_grows_by_one_for_each_user_up_to_the_limit)
{
	tine_pool *pool = rig_pool(3, 2);
	tine_conn *conns[5];
	tine_error error;

	for (int i = 0; i < 5; i++) {
		RIG_EXPECT(pool, i, 0, i, 0);
		conns[i] = rig_acquire(pool);
	}
	CHECK_INT(rig_stats(pool).overflow, ==, 2);
	error = rig_refused(pool, 20, TINE_E_TIMEOUT);
	CHECK_CONTAINS(error.text, "5 of 5 are in use");
	for (int i = 0; i < 5; i++)
		rig_release(conns[i]);
	rig_close(pool);
	CHECK_INT(atomic_load(&fake_count->most_live), ==, 5);
}

TEST(overflow_is_closed_when_it_comes_back)
{
	tine_pool *pool = rig_pool(2, 2);

	rig_fill(pool, 4);
	RIG_EXPECT(pool, 2, 2, 0, 0);
	CHECK_INT(rig_closed(pool, TINE_CAUSE_OVERFLOW), ==, 2);
	CHECK_INT(atomic_load(&fake_count->live), ==, 2);
	rig_close(pool);
}

TEST(without_overflow_pool_size_is_the_limit)
{
	tine_pool *pool = rig_pool(2, 0);
	tine_conn *first = rig_acquire(pool), *second = rig_acquire(pool);

	rig_refused(pool, 20, TINE_E_TIMEOUT);
	rig_release(first);
	first = rig_acquire(pool);
	rig_refused(pool, 20, TINE_E_TIMEOUT);
	rig_release(first);
	rig_release(second);
	RIG_EXPECT(pool, 2, 2, 0, 0);
	rig_close(pool);
}

TEST(a_connection_is_used_again)
{
	tine_pool *pool = rig_pool(5, 10);

	for (int i = 0; i < 100; i++)
		rig_release(rig_acquire(pool));
	CHECK_INT(rig_stats(pool).opened, ==, 1);
	CHECK_INT(rig_stats(pool).checkouts, ==, 100);
	rig_close(pool);
}

TEST(who_does_not_wait_gets_what_is_idle_or_nothing)
{
	tine_pool *pool = rig_pool(2, 0);
	tine_conn *conn;

	rig_refused(pool, 0, TINE_E_TIMEOUT);
	CHECK_INT(atomic_load(&fake_count->sessions), ==, 0);
	rig_release(rig_acquire(pool));
	CHECK_INT(tine_pool_acquire(pool, 0, &conn, NULL), ==, 0);
	rig_refused(pool, 0, TINE_E_TIMEOUT);
	rig_release(conn);
	rig_close(pool);
}

TEST(an_acquire_without_a_pool_or_a_place_for_it_is_refused)
{
	tine_pool *pool = rig_pool(1, 0);
	tine_error error;
	tine_conn *conn;

	CHECK_INT(tine_pool_acquire(NULL, 0, &conn, &error), ==, TINE_E_INVALID);
	CHECK_CONTAINS(error.text, "pool is NULL");
	CHECK_INT(tine_pool_acquire(pool, 0, NULL, &error), ==, TINE_E_INVALID);
	CHECK_CONTAINS(error.text, "ret_conn is NULL");
	rig_close(pool);
}

/* ---- which one ------------------------------------------------------------------------------ */

TEST(lifo_hands_out_what_came_back_last)
{
	tine_pool *pool = rig_pool(3, 0);
	tine_conn *conns[3];
	int ids[3];

	for (int i = 0; i < 3; i++) {
		conns[i] = rig_acquire(pool);
		ids[i] = rig_session(conns[i])->id;
	}
	rig_release(conns[1]);
	rig_release(conns[2]);
	rig_release(conns[0]);
	conns[0] = rig_acquire(pool);
	conns[1] = rig_acquire(pool);
	conns[2] = rig_acquire(pool);
	CHECK_INT(rig_session(conns[0])->id, ==, ids[0]);
	CHECK_INT(rig_session(conns[1])->id, ==, ids[2]);
	CHECK_INT(rig_session(conns[2])->id, ==, ids[1]);
	for (int i = 0; i < 3; i++)
		rig_release(conns[i]);
	rig_close(pool);
}

TEST(fifo_hands_out_what_came_back_first_and_so_uses_all)
{
	tine_pool_config config = rig_config(3, 0);
	tine_pool *pool;
	int ids[6];

	config.lifo = false;
	pool = rig_open(&config);
	rig_fill(pool, 3);
	for (int i = 0; i < 6; i++) {
		tine_conn *conn = rig_acquire(pool);

		ids[i] = rig_session(conn)->id;
		rig_release(conn);
	}
	CHECK(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
	for (int i = 0; i < 3; i++)
		CHECK_INT(ids[i], ==, ids[i + 3]);
	rig_close(pool);
}

static void *acquire_and_release(void *pool)
{
	rig_release(rig_acquire(pool));
	return NULL;
}

TEST(a_thread_gets_the_connection_that_another_one_returned)
{
	tine_pool *pool = rig_pool(3, 0);

	rig_release(rig_acquire(pool));
	for (int i = 0; i < 3; i++)
		rig_join(rig_thread(acquire_and_release, pool));
	CHECK_INT(rig_stats(pool).opened, ==, 1);
	rig_close(pool);
}

/* ---- the null kind -------------------------------------------------------------------------- */

TEST(null_connects_at_each_acquire_and_closes_at_each_release)
{
	tine_pool_config config = rig_config(2, 1);
	tine_pool *pool;

	config.kind = TINE_POOL_NULL;
	pool = rig_open(&config);
	for (int i = 0; i < 3; i++) {
		rig_release(rig_acquire(pool));
		RIG_EXPECT(pool, 0, 0, 0, 0);
	}
	CHECK_INT(rig_stats(pool).opened, ==, 3);
	CHECK_INT(rig_closed(pool, TINE_CAUSE_OVERFLOW), ==, 3);
	CHECK_INT(atomic_load(&fake_session(1)->goodbyes), ==, 1);
	rig_close(pool);
}

TEST(null_keeps_to_the_limit_too)
{
	tine_pool_config config = rig_config(1, 1);
	struct rig_waiter waiter = { 0 };
	tine_conn *conns[2];
	tine_pool *pool;

	config.kind = TINE_POOL_NULL;
	pool = rig_open(&config);
	conns[0] = rig_acquire(pool);
	conns[1] = rig_acquire(pool);
	rig_refused(pool, 20, TINE_E_TIMEOUT);
	rig_wait_queued(&waiter, pool, RIG_LONG_MS, 1);
	rig_release(conns[0]);
	CHECK_INT(rig_wait_end(&waiter), ==, 0);
	/* A connection of its own, not the one that came back. */
	CHECK_INT(rig_session(waiter.conn)->id, ==, 3);
	rig_release(waiter.conn);
	rig_release(conns[1]);
	CHECK_INT(atomic_load(&fake_count->most_live), ==, 2);
	rig_close(pool);
}

/* ---- its end -------------------------------------------------------------------------------- */

TEST(an_old_connection_is_replaced_at_its_next_checkout)
{
	tine_pool_config config = rig_config(1, 0);
	tine_pool *pool;

	config.recycle_ms = 60000;
	config.ping = TINE_PING_NEVER;
	pool = rig_open(&config);
	rig_release(rig_acquire(pool));
	clock_pass_ms(53000); /* the limit, less a tenth */
	rig_release(rig_acquire(pool));
	CHECK_INT(rig_stats(pool).opened, ==, 1);
	clock_pass_ms(7000);
	rig_release(rig_acquire(pool));
	CHECK_INT(rig_stats(pool).opened, ==, 2);
	CHECK_INT(rig_closed(pool, TINE_CAUSE_RECYCLE), ==, 1);
	RIG_EXPECT(pool, 1, 1, 0, 0);
	rig_close(pool);
}

TEST(an_old_connection_is_not_taken_back)
{
	tine_pool_config config = rig_config(1, 0);
	tine_conn *conn;
	tine_pool *pool;

	config.recycle_ms = 60000;
	pool = rig_open(&config);
	conn = rig_acquire(pool);
	clock_pass_ms(60000);
	/* Whoever has it may keep it. */
	CHECK_INT(fake_exec(tine_conn_pg(conn), "SELECT 1"), ==, PGRES_TUPLES_OK);
	rig_release(conn);
	RIG_EXPECT(pool, 0, 0, 0, 0);
	CHECK_INT(rig_closed(pool, TINE_CAUSE_RECYCLE), ==, 1);
	rig_close(pool);
}

/* Connections that were opened together end one after the other, and all before the limit. */
TEST(the_age_limit_is_spread)
{
	tine_pool_config config = rig_config(40, 0);
	int closed_at_once, all = 0, most = 0;
	tine_pool *pool;

	config.recycle_ms = 1000000;
	config.idle_timeout_ms = 0;
	pool = rig_open(&config);
	rig_fill(pool, 40);
	clock_pass_ms(899000);
	CHECK_INT(tine_pool_sweep(pool), ==, 0);
	for (int i = 0; i < 101; i++) {
		clock_pass_ms(1000);
		closed_at_once = tine_pool_sweep(pool);
		all += closed_at_once;
		if (closed_at_once > most)
			most = closed_at_once;
	}
	CHECK_INT(all, ==, 40);
	CHECK_INT(most, <, 10);
	rig_close(pool);
}

TEST(a_connection_is_replaced_after_max_uses)
{
	tine_pool_config config = rig_config(1, 0);
	tine_pool *pool;

	config.max_uses = 3;
	pool = rig_open(&config);
	for (int i = 0; i < 9; i++)
		rig_release(rig_acquire(pool));
	CHECK_INT(rig_stats(pool).opened, ==, 3);
	CHECK_INT(rig_closed(pool, TINE_CAUSE_RECYCLE), ==, 3);
	rig_close(pool);
}

static void large(struct fake_session *session, const char *sql, struct fake_reply *reply)
{
	(void)session;
	if (strcmp(sql, "SELECT everything") == 0)
		reply->bytes = 100000;
}

TEST(a_connection_that_carried_a_large_result_is_replaced)
{
	tine_pool_config config = rig_config(1, 0);
	tine_conn *conn;
	tine_pool *pool;

	config.max_result_bytes = 50000;
	fake_on_query = large;
	pool = rig_open(&config);
	conn = rig_acquire(pool);
	fake_exec(tine_conn_pg(conn), "SELECT 1");
	rig_release(conn);
	RIG_EXPECT(pool, 1, 1, 0, 0);
	conn = rig_acquire(pool);
	fake_exec(tine_conn_pg(conn), "SELECT everything");
	rig_release(conn);
	RIG_EXPECT(pool, 0, 0, 0, 0);
	CHECK_INT(rig_closed(pool, TINE_CAUSE_SIZE), ==, 1);
	rig_close(pool);
}

TEST(an_invalidated_connection_is_closed_and_its_place_is_free)
{
	tine_pool *pool = rig_pool(1, 0);
	tine_conn *conn = rig_acquire(pool);
	int id = rig_session(conn)->id;

	CHECK_INT(tine_conn_invalidate(conn), ==, 0);
	RIG_EXPECT(pool, 0, 0, 0, 0);
	CHECK_INT(rig_closed(pool, TINE_CAUSE_INVALIDATED), ==, 1);
	conn = rig_acquire(pool);
	CHECK(rig_session(conn)->id != id);
	rig_release(conn);
	rig_close(pool);
}

TEST(a_detached_connection_is_the_programs)
{
	tine_pool *pool = rig_pool(1, 0);
	tine_conn *conn = rig_acquire(pool);
	PGconn *pg = tine_conn_detach(conn);

	CHECK(pg);
	RIG_EXPECT(pool, 0, 0, 0, 0);
	CHECK_INT(rig_closed(pool, TINE_CAUSE_DETACHED), ==, 1);
	CHECK_INT(fake_exec(pg, "SELECT 1"), ==, PGRES_TUPLES_OK);
	CHECK_INT(tine_conn_release(conn), ==, TINE_E_STALE);
	/* There is room for another, and the detached one outlives the pool. */
	rig_release(rig_acquire(pool));
	CHECK_INT(atomic_load(&fake_count->live), ==, 2);
	tine_pool_free(pool);
	CHECK_INT(fake_exec(pg, "SELECT 1"), ==, PGRES_TUPLES_OK);
	fake_pq.finish(pg);
	rig_check_nothing_left();
}

/* ---- handles that are not out --------------------------------------------------------------- */

TEST(a_handle_is_returned_once)
{
	tine_pool *pool = rig_pool(2, 0);
	tine_conn *conn = rig_acquire(pool);

	rig_release(conn);
	CHECK_INT(tine_conn_release(conn), ==, TINE_E_STALE);
	CHECK_INT(tine_conn_invalidate(conn), ==, TINE_E_STALE);
	CHECK(!tine_conn_detach(conn));
	CHECK(!tine_conn_pg(conn));
	tine_conn_label(conn, "nothing");
	RIG_EXPECT(pool, 1, 1, 0, 0);
	rig_close(pool);
}

TEST(an_old_handle_does_not_reach_the_next_users_connection)
{
	tine_pool *pool = rig_pool(1, 0);
	tine_conn *old = rig_acquire(pool), *conn;

	rig_release(old);
	for (int i = 0; i < 15; i++) {
		conn = rig_acquire(pool);
		CHECK(conn != old);
		CHECK_INT(tine_conn_release(old), ==, TINE_E_STALE);
		CHECK(!tine_conn_pg(old));
		CHECK(tine_conn_pg(conn));
		rig_release(conn);
	}
	rig_close(pool);
}

TEST(nothing_is_a_handle_too)
{
	CHECK_INT(tine_conn_release(NULL), ==, 0);
	CHECK_INT(tine_conn_invalidate(NULL), ==, 0);
	CHECK(!tine_conn_detach(NULL));
	CHECK(!tine_conn_pg(NULL));
	tine_conn_label(NULL, "nothing");
	tine_pool_free(NULL);
	tine_acquire_cancel(NULL);
	tine_scope_end(NULL);
}

CHECK_TABLE(T(a_pool_opens_nothing_by_itself), T(it_grows_by_one_for_each_user_up_to_the_limit),
	    T(overflow_is_closed_when_it_comes_back), T(without_overflow_pool_size_is_the_limit),
	    T(a_connection_is_used_again), T(who_does_not_wait_gets_what_is_idle_or_nothing),
	    T(an_acquire_without_a_pool_or_a_place_for_it_is_refused),
	    T(lifo_hands_out_what_came_back_last),
	    T(fifo_hands_out_what_came_back_first_and_so_uses_all),
	    T(a_thread_gets_the_connection_that_another_one_returned),
	    T(null_connects_at_each_acquire_and_closes_at_each_release),
	    T(null_keeps_to_the_limit_too), T(an_old_connection_is_replaced_at_its_next_checkout),
	    T(an_old_connection_is_not_taken_back), T(the_age_limit_is_spread),
	    T(a_connection_is_replaced_after_max_uses),
	    T(a_connection_that_carried_a_large_result_is_replaced),
	    T(an_invalidated_connection_is_closed_and_its_place_is_free),
	    T(a_detached_connection_is_the_programs), T(a_handle_is_returned_once),
	    T(an_old_handle_does_not_reach_the_next_users_connection), T(nothing_is_a_handle_too))
