/* SPDX-License-Identifier: PostgreSQL */
/* Acquire without waiting: every phase of it, its descriptor, and giving it up. */
#include <fcntl.h>
#include <poll.h>

#include "unit/pool/rig.h"

static tine_acquire *start(tine_pool *pool, int wait_ms)
{
	tine_acquire *acquire = NULL;
	tine_error error;

	if (tine_pool_acquire_start(pool, wait_ms, &acquire, &error) != 0)
		check_fail(__FILE__, __LINE__, "not started: %s", error.text);
	CHECK(acquire);
	CHECK_INT(tine_acquire_fd(acquire), >=, 0);
	return acquire;
}

static bool is_readable(const tine_acquire *acquire, int wait_ms)
{
	struct pollfd pollfd = { .fd = tine_acquire_fd(acquire), .events = POLLIN };
	int rc;

	do
		rc = poll(&pollfd, 1, wait_ms);
	while (rc < 0 && errno == EINTR);
	return rc > 0;
}

/* Poll it whenever it is readable, until it is over. @return its result */
static int finish(tine_acquire *acquire, tine_conn **conn, tine_error *error)
{
	int rc;

	do {
		CHECK(is_readable(acquire, RIG_LONG_MS));
		rc = tine_acquire_poll(acquire, conn, error);
	} while (rc == TINE_PENDING);
	return rc;
}

/* Poll it until there is nothing to do for now. */
static void settle(tine_acquire *acquire)
{
	tine_conn *conn = NULL;
	tine_error error;

	while (is_readable(acquire, 0))
		CHECK_INT(tine_acquire_poll(acquire, &conn, &error), ==, TINE_PENDING);
	CHECK(!conn);
}

static int open_descriptors(void)
{
	int count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* ---- done ----------------------------------------------------------------------------------- */

TEST(a_new_connection_comes_step_by_step)
{
	tine_pool *pool = rig_pool(1, 0);
	int descriptors = open_descriptors();
	tine_acquire *acquire = start(pool, RIG_LONG_MS);
	tine_conn *conn;
	tine_error error;
	int fd = tine_acquire_fd(acquire);

	fake_usual.rounds = 3;
	/* Starting does nothing yet. */
	CHECK_INT(atomic_load(&fake_count->sessions), ==, 0);
	CHECK_INT(finish(acquire, &conn, &error), ==, 0);
	CHECK_INT(tine_acquire_fd(acquire), ==, fd);
	CHECK_INT(fake_exec(tine_conn_pg(conn), "SELECT 1"), ==, PGRES_TUPLES_OK);
	CHECK_INT(tine_acquire_poll(acquire, &conn, &error), ==, TINE_E_STALE);
	tine_acquire_cancel(acquire);
	CHECK(tine_conn_pg(conn));
	rig_release(conn);
	tine_pool_dispose(pool, TINE_DISPOSE_CLOSE);
	CHECK_INT(open_descriptors(), ==, descriptors);
	rig_close(pool);
}

TEST(an_idle_connection_comes_at_the_first_poll)
{
	tine_pool *pool = rig_pool(1, 0);
	tine_acquire *acquire;
	tine_conn *conn;

	rig_fill(pool, 1);
	acquire = start(pool, 0);
	CHECK(is_readable(acquire, 0));
	CHECK_INT(tine_acquire_poll(acquire, &conn, NULL), ==, 0);
	tine_acquire_cancel(acquire);
	rig_release(conn);
	rig_close(pool);
}

TEST(a_return_makes_it_readable)
{
	tine_pool *pool = rig_pool(1, 0);
	tine_conn *conn = rig_acquire(pool), *other;
	tine_acquire *acquire = start(pool, RIG_LONG_MS);
	tine_error error;

	settle(acquire);
	RIG_EXPECT(pool, 1, 0, 1, 1);
	CHECK(!is_readable(acquire, 20));
	rig_release(conn);
	CHECK(is_readable(acquire, RIG_LONG_MS));
	CHECK_INT(finish(acquire, &other, &error), ==, 0);
	CHECK_INT(rig_session(other)->id, ==, 1);
	tine_acquire_cancel(acquire);
	rig_release(other);
	rig_close(pool);
}

TEST(it_waits_in_the_same_queue_as_threads)
{
	tine_pool *pool = rig_pool(1, 0);
	tine_conn *conn = rig_acquire(pool), *other;
	struct rig_waiter first = { 0 }, third = { 0 };
	tine_acquire *second;
	tine_error error;

	rig_wait_queued(&first, pool, RIG_LONG_MS, 1);
	second = start(pool, RIG_LONG_MS);
	settle(second);
	rig_wait_queued(&third, pool, RIG_LONG_MS, 3);
	rig_release(conn);
	CHECK_INT(rig_wait_end(&first), ==, 0);
	CHECK(!is_readable(second, 0));
	rig_release(first.conn);
	CHECK_INT(finish(second, &other, &error), ==, 0);
	tine_acquire_cancel(second);
	CHECK(!atomic_load(&third.done));
	rig_release(other);
	CHECK_INT(rig_wait_end(&third), ==, 0);
	rig_release(third.conn);
	rig_close(pool);
}

TEST(a_ping_is_no_reason_to_wait)
{
	tine_pool_config config = rig_config(1, 0);
	tine_acquire *acquire;
	tine_pool *pool;
	tine_conn *conn;
	tine_error error;

	config.ping = TINE_PING_ALWAYS;
	pool = rig_open(&config);
	rig_fill(pool, 1);
	acquire = start(pool, RIG_LONG_MS);
	CHECK_INT(finish(acquire, &conn, &error), ==, 0);
	CHECK_INT(fake_times_said(rig_session(conn), ""), ==, 1);
	tine_acquire_cancel(acquire);
	rig_release(conn);
	rig_close(pool);
}

static void hold_ping(struct fake_session *session, const char *sql, struct fake_reply *reply)
{
	(void)session;
	if (!*sql)
		reply->answer = FAKE_HELD;
}

TEST(a_ping_without_an_answer_is_given_up_in_time)
{
	tine_pool_config config = rig_config(1, 0);
	tine_acquire *acquire;
	tine_pool *pool;
	tine_conn *conn;
	tine_error error;

	config.ping = TINE_PING_ALWAYS;
	config.ping_timeout_ms = rig_is_slow() ? 2000 : 200;
	pool = rig_open(&config);
	rig_fill(pool, 1);
	fake_on_query = hold_ping;
	acquire = start(pool, RIG_LONG_MS);
	settle(acquire);
	CHECK_INT(finish(acquire, &conn, &error), ==, 0);
	CHECK_INT(rig_session(conn)->id, ==, 2);
	tine_acquire_cancel(acquire);
	rig_release(conn);
	rig_close(pool);
}

TEST(many_at_once_in_one_thread)
{
	enum { COUNT = 30 };
	tine_pool *pool = rig_pool(3, 2);
	tine_acquire *acquires[COUNT];
	int done = 0;

	for (int i = 0; i < COUNT; i++)
		acquires[i] = start(pool, RIG_LONG_MS);
	while (done < COUNT)
		for (int i = 0; i < COUNT; i++) {
			tine_conn *conn;

			if (!acquires[i] || !is_readable(acquires[i], 0) ||
			    tine_acquire_poll(acquires[i], &conn, NULL) != 0)
				continue;
			rig_own(conn);
			rig_disown(conn);
			rig_release(conn);
			tine_acquire_cancel(acquires[i]);
			acquires[i] = NULL;
			done++;
		}
	CHECK_INT(rig_stats(pool).checkouts, ==, COUNT);
	CHECK_INT(atomic_load(&fake_count->most_live), <=, 5);
	CHECK_INT(rig_stats(pool).open, ==, rig_stats(pool).idle);
	rig_close(pool);
}

/* ---- failed --------------------------------------------------------------------------------- */

TEST(the_deadline_makes_it_readable)
{
	tine_pool *pool = rig_pool(1, 0);
	tine_conn *conn = rig_acquire(pool), *other = NULL;
	tine_acquire *acquire = start(pool, 50);
	tine_error error = { 0 };

	CHECK_INT(finish(acquire, &other, &error), ==, TINE_E_TIMEOUT);
	CHECK_INT(error.status, ==, TINE_E_TIMEOUT);
	CHECK(!other);
	/* It stays failed. */
	error = (tine_error){ 0 };
	CHECK_INT(tine_acquire_poll(acquire, &other, &error), ==, TINE_E_TIMEOUT);
	CHECK_CONTAINS(error.text, "1 of 1 are in use");
	RIG_EXPECT(pool, 1, 0, 1, 0);
	tine_acquire_cancel(acquire);
	rig_release(conn);
	RIG_EXPECT(pool, 1, 1, 0, 0);
	rig_close(pool);
}

TEST(a_failed_connect_is_told)
{
	tine_pool *pool = rig_pool(1, 0);
	tine_acquire *acquire = start(pool, RIG_LONG_MS);
	tine_conn *conn;
	tine_error error;

	fake_usual.refusal = "FATAL:  28P01: password authentication failed\n";
	CHECK_INT(finish(acquire, &conn, &error), ==, TINE_E_AUTH);
	tine_acquire_cancel(acquire);
	RIG_EXPECT(pool, 0, 0, 0, 0);
	rig_close(pool);
}

TEST(a_mute_server_is_given_connect_timeout)
{
	tine_pool_config config = rig_config(1, 0);
	tine_acquire *acquire;
	tine_pool *pool;
	tine_conn *conn;
	tine_error error;

	config.connect_timeout_ms = 40;
	fake_usual.held = true;
	pool = rig_open(&config);
	acquire = start(pool, RIG_LONG_MS);
	CHECK_INT(finish(acquire, &conn, &error), ==, TINE_E_CONNECT_TIMEOUT);
	tine_acquire_cancel(acquire);
	RIG_EXPECT(pool, 0, 0, 0, 0);
	rig_close(pool);
}

TEST(wrong_arguments)
{
	tine_pool *pool = rig_pool(1, 0);
	tine_acquire *acquire;
	tine_error error;
	tine_conn *conn;

	CHECK_INT(tine_pool_acquire_start(NULL, 0, &acquire, &error), ==, TINE_E_INVALID);
	CHECK_INT(tine_pool_acquire_start(pool, 0, NULL, &error), ==, TINE_E_INVALID);
	CHECK_INT(tine_acquire_poll(NULL, &conn, &error), ==, TINE_E_INVALID);
	acquire = start(pool, 0);
	CHECK_INT(tine_acquire_poll(acquire, NULL, &error), ==, TINE_E_INVALID);
	CHECK_INT(tine_acquire_fd(NULL), ==, -1);
	tine_acquire_cancel(acquire);
	rig_close(pool);
}

/* ---- given up ------------------------------------------------------------------------------- */

TEST(cancelled_before_it_began)
{
	tine_pool *pool = rig_pool(1, 0);
	int descriptors = open_descriptors();

	tine_acquire_cancel(start(pool, RIG_LONG_MS));
	CHECK_INT(open_descriptors(), ==, descriptors);
	RIG_EXPECT(pool, 0, 0, 0, 0);
	rig_close(pool);
}

TEST(cancelled_while_it_waits)
{
	tine_pool *pool = rig_pool(1, 0);
	tine_conn *conn = rig_acquire(pool);
	struct rig_waiter behind = { 0 };
	tine_acquire *acquire = start(pool, RIG_LONG_MS);

	settle(acquire);
	rig_wait_queued(&behind, pool, RIG_LONG_MS, 2);
	tine_acquire_cancel(acquire);
	CHECK_INT(rig_stats(pool).waiting, ==, 1);
	rig_release(conn);
	CHECK_INT(rig_wait_end(&behind), ==, 0);
	rig_release(behind.conn);
	rig_close(pool);
}

TEST(cancelled_while_it_connects)
{
	tine_pool *pool = rig_pool(1, 0);
	tine_acquire *acquire;

	fake_usual.held = true;
	acquire = start(pool, RIG_LONG_MS);
	settle(acquire);
	CHECK_INT(rig_stats(pool).connecting, ==, 1);
	tine_acquire_cancel(acquire);
	/* Nobody else wants it. */
	RIG_EXPECT(pool, 0, 0, 0, 0);
	fake_usual.held = false;
	rig_release(rig_acquire(pool));
	rig_close(pool);
}

TEST(cancelled_while_it_connects_and_another_waits_for_it)
{
	tine_pool *pool = rig_pool(1, 0);
	struct rig_waiter waiter = { 0 };
	tine_acquire *acquire;

	fake_usual.held = true;
	acquire = start(pool, RIG_LONG_MS);
	settle(acquire);
	rig_wait_queued(&waiter, pool, RIG_LONG_MS, 2);
	tine_acquire_cancel(acquire);
	fake_let_through(fake_session(1));
	CHECK_INT(rig_wait_end(&waiter), ==, 0);
	CHECK_INT(rig_session(waiter.conn)->id, ==, 1);
	rig_release(waiter.conn);
	rig_close(pool);
}

TEST(cancelled_while_it_pings)
{
	tine_pool_config config = rig_config(1, 0);
	tine_acquire *acquire;
	tine_pool *pool;

	config.ping = TINE_PING_ALWAYS;
	fake_on_query = hold_ping;
	pool = rig_open(&config);
	rig_fill(pool, 1);
	acquire = start(pool, RIG_LONG_MS);
	settle(acquire);
	tine_acquire_cancel(acquire);
	/* Half-way through a talk it is of no use to anybody. */
	RIG_EXPECT(pool, 0, 0, 0, 0);
	rig_release(rig_acquire(pool));
	rig_close(pool);
}

TEST(cancelled_after_a_connection_was_granted)
{
	tine_pool *pool = rig_pool(1, 0);
	tine_conn *conn = rig_acquire(pool);
	tine_acquire *acquire = start(pool, RIG_LONG_MS);

	settle(acquire);
	rig_release(conn);
	RIG_EXPECT(pool, 1, 0, 1, 0);
	tine_acquire_cancel(acquire);
	RIG_EXPECT(pool, 1, 1, 0, 0);
	rig_release(rig_acquire(pool));
	CHECK_INT(rig_stats(pool).opened, ==, 1);
	rig_close(pool);
}

TEST(cancelled_after_a_grant_the_next_in_the_queue_gets_it)
{
	tine_pool *pool = rig_pool(1, 0);
	tine_conn *conn = rig_acquire(pool);
	tine_acquire *acquire = start(pool, RIG_LONG_MS);
	struct rig_waiter behind = { 0 };

	settle(acquire);
	rig_wait_queued(&behind, pool, RIG_LONG_MS, 2);
	rig_release(conn);
	tine_acquire_cancel(acquire);
	CHECK_INT(rig_wait_end(&behind), ==, 0);
	rig_release(behind.conn);
	CHECK_INT(rig_stats(pool).opened, ==, 1);
	rig_close(pool);
}

/* ---- pools that pause or end ---------------------------------------------------------------- */

TEST(a_pause_makes_it_readable)
{
	tine_pool *pool = rig_pool(1, 0);
	tine_conn *conn = rig_acquire(pool), *other;
	tine_acquire *acquire = start(pool, RIG_LONG_MS);
	tine_error error;

	settle(acquire);
	tine_pool_pause(pool, TINE_PAUSE_FAIL, 0, NULL);
	CHECK_INT(finish(acquire, &other, &error), ==, TINE_E_PAUSED);
	tine_acquire_cancel(acquire);
	rig_release(conn);
	tine_pool_resume(pool);
	rig_close(pool);
}

TEST(granted_and_not_fetched_it_does_not_hold_up_a_pause)
{
	tine_pool *pool = rig_pool(1, 0);
	tine_conn *conn = rig_acquire(pool);
	tine_acquire *acquire = start(pool, RIG_LONG_MS);

	settle(acquire);
	rig_release(conn);
	CHECK_INT(tine_pool_pause(pool, TINE_PAUSE_BLOCK, 0, NULL), ==, TINE_E_TIMEOUT);
	tine_acquire_cancel(acquire);
	RIG_EXPECT(pool, 0, 0, 0, 0);
	tine_pool_resume(pool);
	rig_close(pool);
}

TEST(it_outlives_its_pool)
{
	tine_pool *pool = rig_pool(1, 0);
	tine_conn *conn = rig_acquire(pool), *other;
	tine_acquire *waiting = start(pool, RIG_LONG_MS), *begun = start(pool, RIG_LONG_MS);
	tine_error error;

	settle(waiting);
	tine_pool_free(pool);
	CHECK_INT(finish(waiting, &other, &error), ==, TINE_E_CLOSED);
	CHECK_INT(finish(begun, &other, &error), ==, TINE_E_CLOSED);
	rig_release(conn);
	tine_acquire_cancel(waiting);
	tine_acquire_cancel(begun);
	rig_check_nothing_left();
}

TEST(never_polled_it_outlives_its_pool)
{
	tine_pool *pool = rig_pool(1, 0);
	tine_acquire *acquire = start(pool, RIG_LONG_MS);

	tine_pool_free(pool);
	tine_acquire_cancel(acquire);
	rig_check_nothing_left();
}

TEST(granted_and_not_fetched_it_outlives_its_pool)
{
	tine_pool *pool = rig_pool(1, 0);
	tine_conn *conn = rig_acquire(pool);
	tine_acquire *acquire = start(pool, RIG_LONG_MS);

	settle(acquire);
	rig_release(conn);
	tine_pool_free(pool);
	tine_acquire_cancel(acquire);
	rig_check_nothing_left();
}

CHECK_TABLE(T(a_new_connection_comes_step_by_step), T(an_idle_connection_comes_at_the_first_poll),
	    T(a_return_makes_it_readable), T(it_waits_in_the_same_queue_as_threads),
	    T(a_ping_is_no_reason_to_wait), T(a_ping_without_an_answer_is_given_up_in_time),
	    T(many_at_once_in_one_thread), T(the_deadline_makes_it_readable),
	    T(a_failed_connect_is_told), T(a_mute_server_is_given_connect_timeout),
	    T(wrong_arguments), T(cancelled_before_it_began), T(cancelled_while_it_waits),
	    T(cancelled_while_it_connects), T(cancelled_while_it_connects_and_another_waits_for_it),
	    T(cancelled_while_it_pings), T(cancelled_after_a_connection_was_granted),
	    T(cancelled_after_a_grant_the_next_in_the_queue_gets_it), T(a_pause_makes_it_readable),
	    T(granted_and_not_fetched_it_does_not_hold_up_a_pause), T(it_outlives_its_pool),
	    T(never_polled_it_outlives_its_pool), T(granted_and_not_fetched_it_outlives_its_pool))
