/* SPDX-License-Identifier: PostgreSQL */
/*
 * Many threads at once: no connection has two users, there are never too many, and in the end the
 * counts agree to the last one.
 */
#include "pool/pool.h"
#include "unit/pool/rig.h"

#define THREADS 32

struct crowd {
	tine_pool *pool;
	int rounds, limit;
	_Atomic bool over;
	_Atomic uint64_t got, returned, invalidated, detached, timeouts;
};

/* ---- users ---------------------------------------------------------------------------------- */

static void use(struct crowd *crowd, tine_conn *conn, int round)
{
	PGconn *pg = tine_conn_pg(conn);

	atomic_fetch_add(&crowd->got, 1);
	CHECK(pg);
	rig_own(conn);
	CHECK_INT(atomic_load(&crowd->pool->open), <=, crowd->limit);
	if (round % 4 == 0)
		CHECK_INT(fake_exec(pg, "SELECT 1"), ==, PGRES_TUPLES_OK);
	if (round % 16 == 0)
		sched_yield();
	rig_disown(conn);
	if (round % 101 == 0) {
		atomic_fetch_add(&crowd->invalidated, 1);
		CHECK_INT(tine_conn_invalidate(conn), ==, 0);
	} else if (round % 307 == 0) {
		atomic_fetch_add(&crowd->detached, 1);
		CHECK(tine_conn_detach(conn) == pg);
		fake_pq.finish(pg);
	} else {
		atomic_fetch_add(&crowd->returned, 1);
		CHECK_INT(tine_conn_release(conn), ==, 0);
	}
}

static int acquire_polling(tine_pool *pool, tine_conn **conn)
{
	tine_acquire *acquire;
	int rc;

	CHECK_INT(tine_pool_acquire_start(pool, RIG_LONG_MS, &acquire, NULL), ==, 0);
	do
		rc = tine_acquire_poll(acquire, conn, NULL);
	while (rc == TINE_PENDING);
	tine_acquire_cancel(acquire);
	return rc;
}

static void *work(void *arg)
{
	struct crowd *crowd = arg;

	for (int round = 1; round <= crowd->rounds; round++) {
		tine_conn *conn = NULL;
		int rc;

		if (round % 53 == 0)
			rc = acquire_polling(crowd->pool, &conn);
		else
			rc = tine_pool_acquire(crowd->pool, round % 17 ? RIG_LONG_MS : round % 3,
					       &conn, NULL);
		if (rc == 0) {
			use(crowd, conn, round);
		} else {
			CHECK(rc == TINE_E_TIMEOUT || rc == TINE_E_CONNECT_TIMEOUT);
			atomic_fetch_add(&crowd->timeouts, 1);
		}
	}
	return NULL;
}

/* ---- the accounts --------------------------------------------------------------------------- */

static uint64_t all_closed(const tine_pool_stats *stats)
{
	uint64_t closed = 0;

	for (int cause = 0; cause < TINE_CAUSE_COUNT; cause++)
		closed += stats->closed[cause];
	return closed;
}

static void settle_accounts(struct crowd *crowd)
{
	tine_pool_stats stats = rig_stats(crowd->pool);

	CHECK_INT(stats.checkouts, ==, crowd->got);
	CHECK_INT(crowd->got, ==, crowd->returned + crowd->invalidated + crowd->detached);
	CHECK_INT(stats.timeouts, ==, crowd->timeouts);
	CHECK_INT(stats.wait.count, ==, stats.checkouts);
	CHECK_INT(stats.hold.count, ==, stats.checkouts);
	CHECK_INT(stats.busy, ==, 0);
	CHECK_INT(stats.waiting, ==, 0);
	CHECK_INT(stats.connecting, ==, 0);
	CHECK_INT(stats.open, ==, stats.idle);
	CHECK_INT(stats.opened, ==, all_closed(&stats) + (uint64_t)stats.open);
	CHECK_INT(stats.closed[TINE_CAUSE_INVALIDATED], ==, crowd->invalidated);
	CHECK_INT(stats.closed[TINE_CAUSE_DETACHED], ==, crowd->detached);
	CHECK_INT(stats.open, ==, atomic_load(&fake_count->live));
	CHECK_INT(stats.open, <=, stats.pool_size);
}

static void play(const tine_pool_config *config, int rounds)
{
	struct crowd crowd = { .rounds = rig_rounds(rounds),
			       .limit = config->pool_size + config->max_overflow };
	pthread_t threads[THREADS];

	crowd.pool = rig_open(config);
	for (int i = 0; i < THREADS; i++)
		threads[i] = rig_thread(work, &crowd);
	for (int i = 0; i < THREADS; i++)
		rig_join(threads[i]);
	CHECK_INT(crowd.got, >, 0);
	settle_accounts(&crowd);
	/* Detached ones are no longer the pool's when they end. */
	CHECK_INT(atomic_load(&fake_count->most_live), <=, crowd.limit + (int)crowd.detached);
	rig_close(crowd.pool);
}

TEST(a_connection_for_each_of_32_threads)
{
	tine_pool_config config = rig_config(THREADS, 0);

	play(&config, 5000);
}

TEST(few_connections_for_32_threads)
{
	tine_pool_config config = rig_config(4, 2);

	play(&config, 500);
}

TEST(one_connection_for_32_threads)
{
	tine_pool_config config = rig_config(1, 0);

	play(&config, 100);
}

TEST(the_null_kind_for_32_threads)
{
	tine_pool_config config = rig_config(6, 6);

	config.kind = TINE_POOL_NULL;
	config.connect_parallel = 4;
	play(&config, 300);
}

TEST(fifo_with_a_ping_each_time_for_32_threads)
{
	tine_pool_config config = rig_config(5, 1);

	config.lifo = false;
	config.ping = TINE_PING_ALWAYS;
	play(&config, 300);
}

TEST(full_resets_and_short_lives_for_32_threads)
{
	tine_pool_config config = rig_config(5, 3);

	config.reset = TINE_RESET_FULL;
	config.max_uses = 20;
	config.on_connect_sql = "SET x = 1";
	play(&config, 300);
}

/* ---- a server that is unwell ---------------------------------------------------------------- */

static _Atomic unsigned seed;

static bool one_in(unsigned many)
{
	return atomic_fetch_add(&seed, 2654435761U) / 65536 % many == 0;
}

static void connect_badly(const struct fake_session *session, struct fake_plan *plan)
{
	(void)session;
	if (one_in(10))
		plan->refusal = "FATAL:  57P03: the database system is starting up\n";
	plan->rounds = 1 + (int)(atomic_load(&seed) % 3);
}

static void answer_badly(struct fake_session *session, const char *sql, struct fake_reply *reply)
{
	(void)session;
	(void)sql;
	if (one_in(20))
		reply->answer = one_in(2) ? FAKE_DIES_BEFORE : FAKE_DIES_AFTER;
	else if (one_in(20))
		strcpy(reply->sqlstate, "57014");
}

static void *suffer(void *arg)
{
	struct crowd *crowd = arg;

	for (int round = 1; round <= crowd->rounds;) {
		tine_conn *conn = NULL;
		tine_error error = { 0 };
		int rc = tine_pool_acquire(crowd->pool, 50, &conn, &error);

		CHECK_INT(rc, ==, error.status);
		if (rc < 0) {
			CHECK(rc == TINE_E_TIMEOUT || rc == TINE_E_CONNECT_TIMEOUT ||
			      rc == TINE_E_STARTING);
			rig_pause();
			continue;
		}
		atomic_fetch_add(&crowd->got, 1);
		rig_own(conn);
		CHECK_INT(atomic_load(&crowd->pool->open), <=, crowd->limit);
		fake_exec(tine_conn_pg(conn), round++ % 3 ? "SELECT 1" : "BEGIN");
		if (round % 31 == 0)
			fake_hang_up(rig_session(conn));
		rig_disown(conn);
		CHECK_INT(tine_conn_release(conn), ==, 0);
		atomic_fetch_add(&crowd->returned, 1);
	}
	return NULL;
}

static void *disturb(void *arg)
{
	struct crowd *crowd = arg;

	for (int i = 0; !atomic_load(&crowd->over); i++) {
		tine_pool_stats stats;

		CHECK_INT(tine_pool_status(crowd->pool, &stats), ==, 0);
		CHECK_INT(stats.open, <=, crowd->limit);
		CHECK_INT(stats.open, ==, stats.idle + stats.busy + stats.connecting);
		clock_pass_ms(700);
		tine_pool_sweep(crowd->pool);
		if (i % 10 == 0)
			tine_pool_dispose(crowd->pool,
					  i % 20 ? TINE_DISPOSE_CLOSE : TINE_DISPOSE_ABANDON);
		rig_pause();
	}
	return NULL;
}

TEST(nothing_is_lost_though_the_server_is_unwell)
{
	tine_pool_config config = rig_config(5, 3);
	struct crowd crowd = { .rounds = rig_rounds(400), .limit = 8 };
	pthread_t threads[16], other;

	fake_on_connect = connect_badly;
	fake_on_query = answer_badly;
	config.acquire_timeout_ms = 50;
	crowd.pool = rig_open(&config);
	for (int i = 0; i < 16; i++)
		threads[i] = rig_thread(suffer, &crowd);
	other = rig_thread(disturb, &crowd);
	for (int i = 0; i < 16; i++)
		rig_join(threads[i]);
	atomic_store(&crowd.over, true);
	rig_join(other);
	CHECK_INT(crowd.got, ==, 16 * crowd.rounds);
	CHECK_INT(crowd.got, ==, crowd.returned);
	CHECK_INT(rig_stats(crowd.pool).checkouts, ==, crowd.got);
	/* A connect that its driver left may still be on its way. */
	tine_pool_dispose(crowd.pool, TINE_DISPOSE_CLOSE);
	RIG_EXPECT(crowd.pool, 0, 0, 0, 0);
	CHECK_INT(atomic_load(&fake_count->most_live), <=, 8);
	rig_close(crowd.pool);
}

CHECK_TABLE(T(a_connection_for_each_of_32_threads), T(few_connections_for_32_threads),
	    T(one_connection_for_32_threads), T(the_null_kind_for_32_threads),
	    T(fifo_with_a_ping_each_time_for_32_threads),
	    T(full_resets_and_short_lives_for_32_threads),
	    T(nothing_is_lost_though_the_server_is_unwell))
