/* SPDX-License-Identifier: PostgreSQL */
/* What a pool tells of itself: counts, histograms, holders, leaks. */
#include "unit/pool/rig.h"

/* ---- counts --------------------------------------------------------------------------------- */

TEST(a_new_pool_has_counted_nothing)
{
	tine_pool *pool = rig_pool(5, 10);
	tine_pool_stats stats = rig_stats(pool), zero = { .pool_size = 5, .max_overflow = 10 };

	CHECK_INT(memcmp(&stats, &zero, sizeof(stats)), ==, 0);
	rig_close(pool);
}

TEST(each_state_of_a_connection_is_counted)
{
	tine_pool *pool = rig_pool(2, 2);
	struct rig_waiter waiter = { 0 };
	tine_conn *conns[3];
	tine_pool_stats stats;

	for (int i = 0; i < 3; i++)
		conns[i] = rig_acquire(pool);
	fake_usual.held = true;
	rig_wait_queued(&waiter, pool, RIG_LONG_MS, 1);
	RIG_AWAIT(rig_stats(pool).connecting == 1);
	stats = rig_stats(pool);
	CHECK_INT(stats.open, ==, 4);
	CHECK_INT(stats.busy, ==, 3);
	CHECK_INT(stats.connecting, ==, 1);
	CHECK_INT(stats.idle, ==, 0);
	CHECK_INT(stats.overflow, ==, 2);
	CHECK_INT(stats.waiting, ==, 1);
	fake_let_through(fake_session(4));
	CHECK_INT(rig_wait_end(&waiter), ==, 0);
	for (int i = 0; i < 3; i++)
		rig_release(conns[i]);
	rig_release(waiter.conn);
	stats = rig_stats(pool);
	CHECK_INT(stats.open, ==, 2);
	CHECK_INT(stats.idle, ==, 2);
	CHECK_INT(stats.overflow, ==, 0);
	CHECK_INT(stats.checkouts, ==, 4);
	CHECK_INT(stats.opened, ==, 4);
	rig_close(pool);
}

TEST(every_connection_that_was_opened_is_open_or_closed_for_a_cause)
{
	tine_pool *pool = rig_pool(2, 3);
	tine_pool_stats stats;
	uint64_t closed = 0;

	rig_fill(pool, 5);
	tine_conn_invalidate(rig_acquire(pool));
	fake_pq.finish(tine_conn_detach(rig_acquire(pool)));
	rig_fill(pool, 4);
	tine_pool_dispose(pool, TINE_DISPOSE_ABANDON);
	rig_fill(pool, 1);
	stats = rig_stats(pool);
	for (int cause = 0; cause < TINE_CAUSE_COUNT; cause++)
		closed += stats.closed[cause];
	CHECK_INT(closed + (uint64_t)stats.open, ==, stats.opened);
	CHECK_INT(stats.opened, ==, atomic_load(&fake_count->sessions));
	rig_close(pool);
}

TEST(a_failed_connect_is_counted_and_the_last_one_remembered)
{
	tine_pool *pool = rig_pool(1, 0);
	tine_pool_stats stats;

	fake_usual.refusal = "FATAL:  53300: sorry, too many clients already\n";
	rig_refused(pool, RIG_LONG_MS, TINE_E_TOO_MANY);
	stats = rig_stats(pool);
	CHECK_INT(stats.open_failed, ==, 1);
	CHECK_INT(stats.opened, ==, 0);
	CHECK_INT(stats.last_error.status, ==, TINE_E_TOO_MANY);
	CHECK_STR(stats.last_error.sqlstate, "53300");
	CHECK_INT(stats.connect.count, ==, 0);
	rig_close(pool);
}

TEST(a_program_with_an_older_or_newer_header_is_served)
{
	tine_pool *pool = rig_pool(3, 0);
	struct {
		tine_pool_stats stats;
		char more[64];
	} newer;
	tine_pool_stats older;

	rig_fill(pool, 1);
	memset(&older, 0x55, sizeof(older));
	CHECK_INT((tine_pool_status)(pool, &older, 2 * sizeof(int)), ==, 0);
	CHECK_INT(older.pool_size, ==, 3);
	CHECK_INT(older.open, ==, 0x55555555);
	memset(&newer, 0x55, sizeof(newer));
	CHECK_INT((tine_pool_status)(pool, &newer.stats, sizeof(newer)), ==, 0);
	CHECK_INT(newer.stats.open, ==, 1);
	CHECK_INT(newer.more[0], ==, 0);
	CHECK_INT(newer.more[63], ==, 0);
	CHECK_INT((tine_pool_status)(NULL, &older, sizeof(older)), ==, TINE_E_INVALID);
	CHECK_INT((tine_pool_status)(pool, NULL, sizeof(older)), ==, TINE_E_INVALID);
	rig_close(pool);
}

/* ---- histograms ----------------------------------------------------------------------------- */

static uint64_t sum(const tine_histogram *histogram)
{
	uint64_t all = 0;

	for (int i = 0; i < TINE_HISTOGRAM_BUCKETS; i++)
		all += histogram->bucket[i];
	return all;
}

TEST(histograms_count_every_checkout_once)
{
	tine_pool *pool = rig_pool(2, 0);
	struct rig_waiter waiter = { 0 };
	tine_pool_stats stats;
	tine_conn *conns[2];

	for (int i = 0; i < 50; i++)
		rig_fill(pool, 2);
	conns[0] = rig_acquire(pool);
	conns[1] = rig_acquire(pool);
	rig_wait_queued(&waiter, pool, RIG_LONG_MS, 1);
	clock_pass_ms(3000);
	rig_release(conns[0]);
	CHECK_INT(rig_wait_end(&waiter), ==, 0);
	rig_release(waiter.conn);
	rig_release(conns[1]);
	stats = rig_stats(pool);
	CHECK_INT(stats.checkouts, ==, 103);
	CHECK_INT(stats.wait.count, ==, 103);
	CHECK_INT(sum(&stats.wait), ==, 103);
	CHECK_INT(stats.hold.count, ==, 103);
	CHECK_INT(sum(&stats.hold), ==, 103);
	CHECK_INT(stats.connect.count, ==, 2);
	CHECK_INT(sum(&stats.connect), ==, 2);
	/* One waited and two were held that long. */
	CHECK_INT(stats.wait.bucket[22], ==, 1);
	CHECK_INT(stats.hold.bucket[22], ==, 2);
	CHECK_INT(stats.wait.sum_us, >=, 2900000);
	CHECK_INT(stats.hold.sum_us, >=, 5800000);
	rig_close(pool);
}

TEST(a_quantile_is_an_upper_bound)
{
	tine_histogram histogram = { 0 };

	CHECK_INT(tine_histogram_quantile_us(&histogram, 0.5), ==, 0);
	CHECK_INT(tine_histogram_quantile_us(NULL, 0.5), ==, 0);
	histogram.count = 100;
	histogram.bucket[0] = 50; /* under 1 us */
	histogram.bucket[4] = 49; /* under 16 us */
	histogram.bucket[10] = 1; /* under 1024 us */
	CHECK_INT(tine_histogram_quantile_us(&histogram, 0.0), ==, 1);
	CHECK_INT(tine_histogram_quantile_us(&histogram, 0.49), ==, 1);
	CHECK_INT(tine_histogram_quantile_us(&histogram, 0.5), ==, 16);
	CHECK_INT(tine_histogram_quantile_us(&histogram, 0.98), ==, 16);
	CHECK_INT(tine_histogram_quantile_us(&histogram, 0.99), ==, 1024);
	CHECK_INT(tine_histogram_quantile_us(&histogram, 1.0), ==, 1024);
	CHECK_INT(tine_histogram_quantile_us(&histogram, -0.1), ==, 0);
	CHECK_INT(tine_histogram_quantile_us(&histogram, 1.1), ==, 0);
	histogram.bucket[TINE_HISTOGRAM_BUCKETS - 1] = 1000;
	histogram.count = 1100;
	CHECK_INT(tine_histogram_quantile_us(&histogram, 1.0), >=, 1 << 25);
}

/* ---- holders -------------------------------------------------------------------------------- */

TEST(a_timeout_names_the_longest_holders)
{
	tine_pool *pool = rig_pool(5, 0);
	tine_conn *conns[5];
	tine_error error;
	char *first, *second;

	for (int i = 0; i < 5; i++) {
		conns[i] = rig_acquire(pool);
		clock_pass_ms(1000);
	}
	tine_conn_label(conns[1], "GET /lots");
	tine_conn_label(conns[0], "nightly report");
	tine_conn_label(conns[4], "the youngest");
	error = rig_refused(pool, 20, TINE_E_TIMEOUT);
	CHECK_CONTAINS(error.text, "5 of 5 are in use");
	first = strstr(error.text, "'nightly report'");
	second = strstr(error.text, "'GET /lots'");
	CHECK(first && second && first < second);
	CHECK_CONTAINS(first, "for 5.");
	CHECK_CONTAINS(second, "for 4.");
	/* The place in the program, too. */
	CHECK_CONTAINS(error.text, "pool_status_test");
	CHECK(!strstr(error.text, "the youngest"));
	for (int i = 0; i < 5; i++)
		rig_release(conns[i]);
	rig_close(pool);
}

TEST(a_label_goes_with_its_checkout_and_cannot_do_harm)
{
	tine_pool *pool = rig_pool(1, 0);
	tine_conn *conn = rig_acquire(pool);
	tine_error error;

	tine_conn_label(conn, "first use");
	tine_conn_label(conn, NULL);
	rig_release(conn);
	conn = rig_acquire(pool);
	error = rig_refused(pool, 10, TINE_E_TIMEOUT);
	CHECK(!strstr(error.text, "first use"));
	tine_conn_label(conn, "two\nlines\033[31m and far more than forty-seven bytes of text");
	error = rig_refused(pool, 10, TINE_E_TIMEOUT);
	CHECK_CONTAINS(error.text, "two?lines?[31m and far more");
	CHECK(!strstr(error.text, "of text"));
	CHECK(!strpbrk(error.text, "\n\033"));
	rig_release(conn);
	rig_close(pool);
}

/* ---- leaks ---------------------------------------------------------------------------------- */

static tine_pool *with_leak_after(int ms)
{
	tine_pool_config config = rig_config(3, 0);

	config.leak_after_ms = ms;
	return rig_open(&config);
}

TEST(a_checkout_that_is_too_long_is_told_once)
{
	tine_pool *pool = with_leak_after(10000);
	struct rig_events events = { 0 };
	tine_conn *conn;

	rig_listen(pool, &events);
	conn = rig_acquire(pool);
	tine_conn_label(conn, "the leak");
	clock_pass_ms(9000);
	CHECK_INT(tine_pool_sweep(pool), ==, 0);
	CHECK_INT(events.count[TINE_EVENT_LEAK], ==, 0);
	clock_pass_ms(2000);
	for (int i = 0; i < 5; i++) {
		tine_pool_sweep(pool);
		clock_pass_ms(20000);
	}
	CHECK_INT(events.count[TINE_EVENT_LEAK], ==, 1);
	CHECK_INT(events.last[TINE_EVENT_LEAK].time_us, >=, 10900000);
	CHECK_CONTAINS(events.error[TINE_EVENT_LEAK].text, "'the leak'");
	CHECK_CONTAINS(events.error[TINE_EVENT_LEAK].text, "pool_status_test");
	CHECK_INT(rig_stats(pool).leaks, ==, 1);
	/* It is told, not taken away. */
	CHECK_INT(fake_exec(tine_conn_pg(conn), "SELECT 1"), ==, PGRES_TUPLES_OK);
	rig_release(conn);
	rig_close(pool);
}

TEST(leaks_are_found_by_calls_that_come_along)
{
	tine_pool *pool = with_leak_after(5000);
	struct rig_events events = { 0 };
	tine_conn *conn;

	rig_listen(pool, &events);
	conn = rig_acquire(pool);
	rig_release(rig_acquire(pool));
	clock_pass_ms(6000);
	rig_release(rig_acquire(pool));
	CHECK_INT(events.count[TINE_EVENT_LEAK], ==, 1);
	rig_release(conn);
	/* The next checkout is counted anew. */
	conn = rig_acquire(pool);
	clock_pass_ms(6000);
	tine_pool_sweep(pool);
	CHECK_INT(events.count[TINE_EVENT_LEAK], ==, 2);
	rig_release(conn);
	rig_close(pool);
}

TEST(short_checkouts_are_no_leaks)
{
	tine_pool *pool = with_leak_after(5000);
	struct rig_events events = { 0 };

	rig_listen(pool, &events);
	for (int i = 0; i < 20; i++) {
		rig_fill(pool, 3);
		clock_pass_ms(2000);
		tine_pool_sweep(pool);
	}
	CHECK_INT(events.count[TINE_EVENT_LEAK], ==, 0);
	rig_close(pool);
	pool = with_leak_after(0);
	rig_listen(pool, &events);
	tine_conn *conn = rig_acquire(pool);
	clock_pass_ms(1000000000);
	tine_pool_sweep(pool);
	CHECK_INT(events.count[TINE_EVENT_LEAK], ==, 0);
	rig_release(conn);
	rig_close(pool);
}

/* ---- names ---------------------------------------------------------------------------------- */

TEST(every_cause_has_a_name_of_its_own)
{
	for (int i = 0; i < TINE_CAUSE_COUNT; i++)
		for (int j = 0; j < i; j++)
			CHECK(strcmp(tine_cause_name(i), tine_cause_name(j)) != 0);
	CHECK(tine_cause_name(-1) && tine_cause_name(TINE_CAUSE_COUNT));
}

CHECK_TABLE(T(a_new_pool_has_counted_nothing), T(each_state_of_a_connection_is_counted),
	    T(every_connection_that_was_opened_is_open_or_closed_for_a_cause),
	    T(a_failed_connect_is_counted_and_the_last_one_remembered),
	    T(a_program_with_an_older_or_newer_header_is_served),
	    T(histograms_count_every_checkout_once), T(a_quantile_is_an_upper_bound),
	    T(a_timeout_names_the_longest_holders),
	    T(a_label_goes_with_its_checkout_and_cannot_do_harm),
	    T(a_checkout_that_is_too_long_is_told_once),
	    T(leaks_are_found_by_calls_that_come_along), T(short_checkouts_are_no_leaks),
	    T(every_cause_has_a_name_of_its_own))
