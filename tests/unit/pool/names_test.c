/* SPDX-License-Identifier: PostgreSQL */
/* Hosts by name: a server of names that is slow, and an address that changes. */
#include "unit/pool/names.h"
#include "unit/pool/rig.h"

static _Atomic(const char *) address = "127.0.0.1";
static _Atomic bool slow;
static _Atomic int held; /* look-ups that wait */

static const char *look_up(const char *name)
{
	CHECK_STR(name, "db.example.org");
	if (!atomic_load(&slow))
		return atomic_load(&address);
	atomic_fetch_add(&held, 1);
	RIG_AWAIT(!atomic_load(&slow));
	atomic_fetch_sub(&held, 1);
	return atomic_load(&address);
}

static tine_pool *pool_by_name(int pool_size, int recycle_ms)
{
	tine_pool_config config = rig_config(pool_size, 0);

	names_on_lookup = look_up;
	config.conninfo = "host=db.example.org dbname=app user=app";
	config.recycle_ms = recycle_ms;
	return rig_open(&config);
}

/* It is first in the queue, and cannot use what it is given. */
static void wait_in_lookup(struct rig_waiter *waiter, tine_pool *pool)
{
	atomic_store(&slow, true);
	rig_wait_start(waiter, pool, RIG_LONG_MS);
	RIG_AWAIT(atomic_load(&held) == 1);
}

TEST(who_looks_up_a_name_holds_up_nobody)
{
	tine_pool *pool = pool_by_name(2, 0);
	tine_conn *conn = rig_acquire(pool);
	struct rig_waiter first = { 0 }, others[2] = { 0 };

	wait_in_lookup(&first, pool);
	for (int i = 0; i < 2; i++)
		rig_wait_queued(&others[i], pool, RIG_LONG_MS, i + 2);
	for (int i = 0; i < 2; i++) {
		rig_release(conn);
		CHECK_INT(rig_wait_end(&others[i]), ==, 0);
		conn = others[i].conn;
		CHECK(!atomic_load(&first.done));
	}
	atomic_store(&slow, false);
	CHECK_INT(rig_wait_end(&first), ==, 0);
	CHECK(tine_conn_pg(first.conn) != tine_conn_pg(conn));
	rig_release(first.conn);
	rig_release(conn);
	rig_close(pool);
}

/* Who comes then takes what is idle: nobody who could use it was there before. */
TEST(who_looks_up_a_name_keeps_nothing_from_who_comes)
{
	tine_pool *pool = pool_by_name(2, 0);
	tine_conn *conn = rig_acquire(pool);
	struct rig_waiter first = { 0 };

	wait_in_lookup(&first, pool);
	for (int i = 0; i < 3; i++) {
		rig_release(conn);
		conn = rig_acquire(pool);
	}
	CHECK(!atomic_load(&first.done));
	atomic_store(&slow, false);
	CHECK_INT(rig_wait_end(&first), ==, 0);
	rig_release(first.conn);
	rig_release(conn);
	rig_close(pool);
}

static void hold(const struct fake_session *session, struct fake_plan *plan)
{
	(void)session;
	plan->held = true;
}

/* What came back while nobody else wanted it is there when the name is known. */
TEST(what_came_back_during_a_lookup_is_taken_after_it)
{
	tine_pool *pool = pool_by_name(2, 0);
	tine_conn *conn = rig_acquire(pool);
	struct rig_waiter first = { 0 };

	fake_on_connect = hold;
	wait_in_lookup(&first, pool);
	rig_release(conn);
	CHECK(!atomic_load(&first.done));
	atomic_store(&slow, false);
	CHECK_INT(rig_wait_end(&first), ==, 0);
	CHECK_INT(rig_stats(pool).opened, ==, 1);
	rig_release(first.conn);
	rig_close(pool);
}

TEST(a_name_that_fails_late_is_not_missed)
{
	tine_pool *pool = pool_by_name(2, 0);
	tine_conn *conn = rig_acquire(pool);
	struct rig_waiter first = { 0 };

	atomic_store(&address, NULL);
	wait_in_lookup(&first, pool);
	rig_release(conn);
	atomic_store(&slow, false);
	/* It has the one that came back. */
	CHECK_INT(rig_wait_end(&first), ==, 0);
	CHECK_INT(rig_stats(pool).open_failed, ==, 1);
	rig_release(first.conn);
	RIG_EXPECT(pool, 1, 1, 0, 0);
	rig_close(pool);
}

/* A failover by DNS: connections of before stay until their age limit, and no longer. */
TEST(an_address_that_changed_is_used_after_recycle_ms)
{
	enum { RECYCLE_MS = 60000 };
	tine_pool *pool = pool_by_name(1, RECYCLE_MS);
	tine_conn *conn = rig_acquire(pool);
	const struct fake_session *old = rig_session(conn);

	CHECK_STR(old->hostaddr, "127.0.0.1");
	rig_release(conn);
	atomic_store(&address, "127.0.0.2");
	clock_pass_ms(RECYCLE_MS / 2);
	conn = rig_acquire(pool);
	CHECK(rig_session(conn) == old);
	rig_release(conn);
	clock_pass_ms(RECYCLE_MS / 2);
	conn = rig_acquire(pool);
	CHECK(!atomic_load(&old->open));
	CHECK_STR(rig_session(conn)->host, "db.example.org");
	CHECK_STR(rig_session(conn)->hostaddr, "127.0.0.2");
	CHECK_INT(rig_closed(pool, TINE_CAUSE_RECYCLE), ==, 1);
	rig_release(conn);
	rig_close(pool);
}

CHECK_TABLE(T(who_looks_up_a_name_holds_up_nobody),
	    T(who_looks_up_a_name_keeps_nothing_from_who_comes),
	    T(what_came_back_during_a_lookup_is_taken_after_it),
	    T(a_name_that_fails_late_is_not_missed),
	    T(an_address_that_changed_is_used_after_recycle_ms))
