/* SPDX-License-Identifier: PostgreSQL */
/*
 * Every failure, one after the other: for each scenario the first allocation fails, then the
 * second, and so on until the scenario runs through without reaching the one that is to fail; and
 * the same with the calls of libpq that can fail. After each run nothing is lost, and the pool
 * works.
 */
#include "pool/pool.h"
#include "unit/pool/forks.h"

enum what {
	ALLOCATIONS,
	CALLS,
};

#define MOST 500 /* steps of a scenario; more would mean that it never runs through */

/* Whoever has to be waited for is late on a slow machine. */
#define WAIT_MS (rig_is_slow() ? 300 : 100)

static enum what failing;
static bool thorough; /* the settings with which most things happen */

static void arm(long n)
{
	if (failing == ALLOCATIONS)
		memory_fail_at(n);
	else
		fake_fail_at(n);
}

static bool was_hit(void)
{
	return failing == ALLOCATIONS ? memory_has_failed() : fake_has_failed();
}

/* Nothing fails any more, and what was learned of an outage is old. */
static void calm_down(void)
{
	arm(0);
	clock_pass_ms(20000);
}

static tine_pool_config settings(void)
{
	tine_pool_config config = rig_config(2, 1);

	config.conninfo = "host=/fake,/fake port=1,2 dbname=app user=app password=secret";
	config.acquire_timeout_ms = WAIT_MS;
	if (!thorough)
		return config;
	config.reset = TINE_RESET_FULL;
	config.ping = TINE_PING_ALWAYS;
	config.on_connect_sql = "SET x = 1";
	return config;
}

/* A failure is told truly: memory, or a connection that could not be made or was lost. */
static void check_error(int rc, const tine_error *error)
{
	CHECK_INT(rc, ==, error->status);
	CHECK(error->text[0]);
	switch (rc) {
	case TINE_E_NOMEM:
		return;
	case TINE_E_CONNECT:
	case TINE_E_LOST:
	case TINE_E_IN_DOUBT:
		CHECK_INT(failing, ==, CALLS);
		return;
	case TINE_E_CONNECT_TIMEOUT:
		CHECK(rig_is_slow()); /* a connect can take longer there than an acquire waits */
		return;
	default:
		check_fail(__FILE__, __LINE__, "%s: %s", tine_status_name(rc), error->text);
	}
}

/* ---- pieces --------------------------------------------------------------------------------- */

static tine_conn *try_acquire(tine_pool *pool)
{
	tine_conn *conn = NULL;
	tine_error error = { 0 };
	int rc = tine_pool_acquire(pool, WAIT_MS, &conn, &error);

	CHECK((rc == 0) == (conn != NULL));
	if (rc < 0)
		check_error(rc, &error);
	return conn;
}

static void use(const tine_conn *conn, const char *sql)
{
	if (conn)
		fake_exec(tine_conn_pg(conn), sql);
}

static void give_back(tine_conn *conn)
{
	CHECK_INT(tine_conn_release(conn), ==, 0);
}

/* ---- scenarios ------------------------------------------------------------------------------ */

static void acquire(tine_pool *pool)
{
	tine_conn *conn = try_acquire(pool);

	use(conn, "SELECT 1");
	give_back(conn);
	conn = try_acquire(pool);
	use(conn, "SELECT 1");
	give_back(conn);
}

static void overflow(tine_pool *pool)
{
	tine_conn *conns[3];

	for (int i = 0; i < 3; i++)
		conns[i] = try_acquire(pool);
	for (int i = 0; i < 3; i++)
		give_back(conns[i]);
}

static void wait_for_one(tine_pool *pool)
{
	tine_conn *conns[3];
	struct rig_waiter waiter = { 0 };

	for (int i = 0; i < 3; i++)
		conns[i] = try_acquire(pool);
	rig_wait_start(&waiter, pool, 10 * WAIT_MS);
	RIG_AWAIT(atomic_load(&waiter.done) || rig_stats(pool).waiting > 0);
	for (int i = 0; i < 3; i++)
		give_back(conns[i]);
	if (rig_wait_end(&waiter) < 0)
		check_error(waiter.rc, &waiter.error);
	give_back(waiter.conn);
}

static void ping(tine_pool *pool)
{
	give_back(try_acquire(pool));
	clock_pass_ms(60000);
	give_back(try_acquire(pool));
}

static void die_and_replace(tine_pool *pool)
{
	tine_conn *conn = try_acquire(pool);

	if (conn)
		fake_hang_up(rig_session(conn));
	give_back(conn);
	clock_pass_ms(1000);
	give_back(try_acquire(pool));
}

static void reset(tine_pool *pool)
{
	tine_conn *conn = try_acquire(pool);

	use(conn, "BEGIN");
	use(conn, "SET y = 1");
	if (conn)
		fake_notify(rig_session(conn));
	give_back(conn);
	give_back(try_acquire(pool));
}

static void invalidate_and_detach(tine_pool *pool)
{
	tine_conn *conn = try_acquire(pool);
	PGconn *pg;

	CHECK_INT(tine_conn_invalidate(conn), ==, 0);
	conn = try_acquire(pool);
	pg = tine_conn_detach(conn);
	CHECK((pg != NULL) == (conn != NULL));
	if (pg)
		fake_pq.finish(pg);
}

static void scope(tine_pool *pool)
{
	for (int i = 0; i < 2; i++) {
		tine_scope *scope = tine_scope_begin(pool, TINE_SCOPE_TASK, "a scope");
		tine_error error = { 0 };
		PGconn *pg = tine_scope_conn(scope, &error);
		int rc;

		if (!pg)
			check_error(error.status, &error);
		else
			fake_exec(pg, "INSERT 1");
		error = (tine_error){ 0 };
		rc = i ? 0 : tine_scope_commit(scope, &error);
		if (rc < 0)
			check_error(rc, &error);
		tine_scope_end(scope);
	}
}

static int insert(PGconn *pg, void *unused, tine_error *error)
{
	(void)unused;
	(void)error;
	return fake_exec(pg, "INSERT 1") == PGRES_FATAL_ERROR ? TINE_E_LOST : 0;
}

static void transact(tine_pool *pool)
{
	tine_error error = { 0 };
	int before = 0, after = 0, rc;

	for (int i = 1; i <= atomic_load(&fake_count->sessions); i++)
		before += atomic_load(&fake_session(i)->commits);
	rc = tine_transact(pool, insert, NULL, NULL, &error);
	for (int i = 1; i <= atomic_load(&fake_count->sessions); i++)
		after += atomic_load(&fake_session(i)->commits);
	if (rc < 0)
		check_error(rc, &error);
	/* Once, or not at all, or nobody knows. */
	CHECK_INT(after - before, <=, 1);
	if (rc != TINE_E_IN_DOUBT)
		CHECK_INT(after - before, ==, rc == 0);
}

static void poll_for_one(tine_pool *pool, bool cancel)
{
	tine_acquire *acquire = NULL;
	tine_error error = { 0 };
	tine_conn *conn = NULL;
	int rc = tine_pool_acquire_start(pool, WAIT_MS, &acquire, &error);

	if (rc < 0) {
		CHECK(!acquire);
		check_error(rc, &error);
		return;
	}
	rc = tine_acquire_poll(acquire, &conn, &error);
	while (rc == TINE_PENDING && !cancel) {
		rig_pause();
		rc = tine_acquire_poll(acquire, &conn, &error);
	}
	if (rc < 0)
		check_error(rc, &error);
	tine_acquire_cancel(acquire);
	give_back(conn);
}

static void async(tine_pool *pool)
{
	poll_for_one(pool, false);
	poll_for_one(pool, false);
	tine_pool_dispose(pool, TINE_DISPOSE_ABANDON);
	poll_for_one(pool, true);
}

static void resize(tine_pool *pool)
{
	tine_error error = { 0 };
	tine_conn *conns[3];
	int rc;

	for (int i = 0; i < 3; i++)
		conns[i] = try_acquire(pool);
	rc = tine_pool_resize(pool, 4, 1, &error);
	if (rc < 0)
		check_error(rc, &error);
	CHECK_INT(rig_stats(pool).pool_size, ==, rc < 0 ? 2 : 4);
	if (rc == 0)
		give_back(try_acquire(pool));
	for (int i = 0; i < 3; i++)
		give_back(conns[i]);
	rc = tine_pool_resize(pool, 1, 1, &error);
	CHECK_INT(rc, ==, 0);
	CHECK_INT(tine_pool_resize(pool, 2, 1, NULL), ==, 0);
}

static void dispose(tine_pool *pool)
{
	tine_conn *conn = try_acquire(pool);

	give_back(try_acquire(pool));
	CHECK_INT(tine_pool_dispose(pool, TINE_DISPOSE_CLOSE), ==, 0);
	give_back(conn);
	give_back(try_acquire(pool));
	CHECK_INT(tine_pool_dispose(pool, TINE_DISPOSE_ABANDON), ==, 0);
	give_back(try_acquire(pool));
	CHECK_INT(tine_pool_pause(pool, TINE_PAUSE_BLOCK, RIG_LONG_MS, NULL), ==, 0);
	CHECK_INT(tine_pool_resume(pool), ==, 0);
}

/* ---- the sweep ------------------------------------------------------------------------------ */

static void check_pool(tine_pool *pool)
{
	tine_pool_stats stats;

	tine_pool_sweep(pool);
	stats = rig_stats(pool);
	CHECK_INT(stats.open, ==, stats.idle);
	CHECK_INT(stats.busy, ==, 0);
	CHECK_INT(stats.waiting, ==, 0);
	CHECK_INT(stats.open, <=, 2);
	CHECK_INT(stats.open, ==, atomic_load(&fake_count->live));
	rig_fill(pool, 3);
	rig_close(pool);
}

/* @return false when nothing was left that could fail */
static bool run_one(void (*scenario)(tine_pool *), long n)
{
	tine_pool_config config = settings();
	tine_pool *pool = rig_open(&config);
	bool hit;

	arm(n);
	scenario(pool);
	hit = was_hit();
	calm_down();
	check_pool(pool);
	return hit;
}

static long sweep_once(void (*scenario)(tine_pool *))
{
	long n = 1;

	while (run_one(scenario, n)) {
		n++;
		CHECK_INT(n, <, MOST);
	}
	return n - 1;
}

static void sweep(void (*scenario)(tine_pool *))
{
	clock_nap();
	for (int settings_too = 0; settings_too < 2; settings_too++) {
		thorough = settings_too;
		failing = ALLOCATIONS;
		CHECK_INT(sweep_once(scenario), >, 0);
		failing = CALLS;
		CHECK_INT(sweep_once(scenario), >, 0);
	}
}

TEST(sweep_acquire)
{
	sweep(acquire);
}

TEST(sweep_overflow)
{
	sweep(overflow);
}

TEST(sweep_wait_for_one)
{
	sweep(wait_for_one);
}

TEST(sweep_ping)
{
	sweep(ping);
}

TEST(sweep_die_and_replace)
{
	sweep(die_and_replace);
}

TEST(sweep_reset)
{
	sweep(reset);
}

TEST(sweep_invalidate_and_detach)
{
	sweep(invalidate_and_detach);
}

TEST(sweep_scope)
{
	sweep(scope);
}

TEST(sweep_transact)
{
	sweep(transact);
}

TEST(sweep_async)
{
	sweep(async);
}

TEST(sweep_resize)
{
	sweep(resize);
}

TEST(sweep_dispose)
{
	sweep(dispose);
}

/* ---- making a pool -------------------------------------------------------------------------- */

static bool create_one(long n)
{
	tine_pool_config config = settings();
	tine_error error = { 0 };
	tine_pool *pool;
	bool hit;

	arm(n);
	pool = tine_pool_new_with(&fake_pq, &config, &error);
	hit = was_hit();
	calm_down();
	if (pool) {
		check_pool(pool);
		return hit;
	}
	CHECK(hit);
	check_error(error.status, &error);
	CHECK_INT(error.status, ==, TINE_E_NOMEM);
	rig_check_nothing_left();
	return true;
}

TEST(sweep_create)
{
	for (int what = ALLOCATIONS; what <= CALLS; what++) {
		long n = 1;

		failing = (enum what)what;
		thorough = true;
		while (create_one(n++))
			CHECK_INT(n, <, MOST);
		CHECK_INT(n, >, 3);
	}
}

/* ---- in the child of a fork ----------------------------------------------------------------- */

struct child {
	tine_pool *pool;
	tine_conn *conn;
	long n;
};

/* Told to the parent, in the memory that they share. */
static _Atomic uintptr_t *hit_word(void)
{
	return &fake_session(1)->owner;
}

static void be_the_child(void *arg)
{
	struct child *child = arg;

	arm(child->n);
	acquire(child->pool);
	CHECK_INT(tine_conn_release(child->conn), ==, TINE_E_FORKED);
	scope(child->pool);
	atomic_store(hit_word(), was_hit());
	calm_down();
	tine_pool_sweep(child->pool);
	CHECK_INT(rig_stats(child->pool).open, ==, rig_stats(child->pool).idle);
	rig_release(rig_acquire(child->pool));
	tine_pool_free(child->pool);
	CHECK_INT(memory_blocks(), ==, 0);
}

static void sweep_the_child(void)
{
	tine_pool_config config = settings();
	struct child child = { .pool = rig_open(&config), .n = 0 };
	bool hit = true;

	rig_fill(child.pool, 2);
	child.conn = rig_acquire(child.pool);
	while (hit) {
		child.n++;
		CHECK_INT(child.n, <, MOST);
		forks_run(FORKS_FORK, be_the_child, &child);
		hit = atomic_load(hit_word());
		CHECK(fake_wire_is_quiet(fake_session_of(tine_conn_pg(child.conn))));
	}
	CHECK_INT(child.n, >, 1);
	rig_release(child.conn);
	RIG_EXPECT(child.pool, 2, 2, 0, 0);
	tine_pool_free(child.pool);
	CHECK_INT(memory_blocks(), ==, 0);
}

TEST(sweep_fork_child)
{
	for (int what = ALLOCATIONS; what <= CALLS; what++) {
		failing = (enum what)what;
		sweep_the_child();
	}
}

CHECK_TABLE(T(sweep_create), T(sweep_acquire), T(sweep_overflow), T(sweep_wait_for_one),
	    T(sweep_ping), T(sweep_die_and_replace), T(sweep_reset), T(sweep_invalidate_and_detach),
	    T(sweep_scope), T(sweep_transact), T(sweep_async), T(sweep_resize), T(sweep_dispose),
	    T(sweep_fork_child))
