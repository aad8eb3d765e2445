/* SPDX-License-Identifier: PostgreSQL */
#include "unit/pool/rig.h"

#include <time.h>

#include "pool/pool.h"
#include "support/valgrind.h"

void rig_pause(void)
{
	struct timespec pause = { 0, 1000000 };

	nanosleep(&pause, NULL);
}

bool rig_is_valgrind(void)
{
	return check_is_valgrind();
}

bool rig_is_slow(void)
{
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
	return true;
#else
	return RUNNING_ON_VALGRIND;
#endif
}

int rig_rounds(int usual)
{
	int rounds = usual;

#ifdef __SANITIZE_THREAD__
	rounds = usual / 10;
#elif defined(__SANITIZE_ADDRESS__)
	rounds = usual / 4;
#endif
	if (RUNNING_ON_VALGRIND)
		rounds = usual / 50;
	return rounds > 2 ? rounds : 2;
}

/* ---- pools ---------------------------------------------------------------------------------- */

tine_pool_config rig_config(int pool_size, int max_overflow)
{
	tine_pool_config config;

	tine_pool_config_init(&config);
	config.conninfo = "host=/fake dbname=app user=app";
	config.pool_size = pool_size;
	config.max_overflow = max_overflow;
	/* A connect is held while threads come to wait for it, on whatever machine. */
	config.connect_timeout_ms = RIG_LONG_MS;
	return config;
}

tine_pool *rig_open(const tine_pool_config *config)
{
	tine_error error = { 0 };
	tine_pool *pool = tine_pool_new_with(&fake_pq, config, &error);

	if (!pool)
		check_fail(__FILE__, __LINE__, "no pool: %d %s", error.status, error.text);
	return pool;
}

tine_pool *rig_pool(int pool_size, int max_overflow)
{
	tine_pool_config config = rig_config(pool_size, max_overflow);

	return rig_open(&config);
}

void rig_check_nothing_left(void)
{
	CHECK_INT(atomic_load(&fake_count->live), ==, 0);
	CHECK_INT(atomic_load(&fake_count->results), ==, 0);
	CHECK_INT(memory_blocks(), ==, 0);
	CHECK_INT(fake_printed(), ==, 0);
}

void rig_close(tine_pool *pool)
{
	tine_pool_free(pool);
	rig_check_nothing_left();
}

tine_pool_stats rig_stats(tine_pool *pool)
{
	tine_pool_stats stats;

	CHECK_INT(tine_pool_status(pool, &stats), ==, 0);
	return stats;
}

uint64_t rig_closed(tine_pool *pool, int cause)
{
	return rig_stats(pool).closed[cause];
}

void rig_expect(const char *file, int line, tine_pool *pool, int open, int idle, int busy,
		int waiting)
{
	tine_pool_stats stats = rig_stats(pool);

	if (stats.open != open || stats.idle != idle || stats.busy != busy ||
	    stats.waiting != waiting)
		check_fail(file, line,
			   "open %d idle %d busy %d waiting %d connecting %d, not %d %d %d %d",
			   stats.open, stats.idle, stats.busy, stats.waiting, stats.connecting,
			   open, idle, busy, waiting);
}

/* ---- connections ---------------------------------------------------------------------------- */

static tine_conn *acquire_within(tine_pool *pool, int wait_ms)
{
	tine_error error = { 0 };
	tine_conn *conn = NULL;

	if (tine_pool_acquire(pool, wait_ms, &conn, &error) < 0)
		check_fail(__FILE__, __LINE__, "no connection: %d %s", error.status, error.text);
	CHECK(conn && tine_conn_pg(conn));
	return conn;
}

tine_conn *rig_acquire(tine_pool *pool)
{
	return acquire_within(pool, RIG_LONG_MS);
}

tine_error rig_refused(tine_pool *pool, int wait_ms, int status)
{
	tine_error error = { 0 };
	tine_conn *conn = NULL;
	int rc = tine_pool_acquire(pool, wait_ms, &conn, &error);

	if (rc != status)
		check_fail(__FILE__, __LINE__, "%s, not %s: %s", tine_status_name(rc),
			   tine_status_name(status), error.text);
	CHECK_INT(error.status, ==, status);
	CHECK(error.text[0] && !conn);
	return error;
}

void rig_release(tine_conn *conn)
{
	CHECK_INT(tine_conn_release(conn), ==, 0);
}

struct fake_session *rig_session(const tine_conn *conn)
{
	return fake_session_of(tine_conn_pg(conn));
}

void rig_fill(tine_pool *pool, int count)
{
	tine_conn *conns[64];
	/* Who has little time does not let any pass before it connects; where time stands still,
	 * none would. */
	int wait_ms = clock_is_frozen() ? 1 : RIG_LONG_MS;

	CHECK(count <= 64);
	for (int i = 0; i < count; i++)
		conns[i] = acquire_within(pool, wait_ms);
	for (int i = count - 1; i >= 0; i--)
		rig_release(conns[i]);
}

void rig_own(const tine_conn *conn)
{
	CHECK_INT(atomic_exchange(&rig_session(conn)->owner, (uintptr_t)pthread_self()), ==, 0);
}

void rig_disown(const tine_conn *conn)
{
	CHECK(atomic_exchange(&rig_session(conn)->owner, 0) == (uintptr_t)pthread_self());
}

/* ---- threads -------------------------------------------------------------------------------- */

pthread_t rig_thread(void *(*run)(void *), void *arg)
{
	pthread_t thread;

	CHECK_INT(pthread_create(&thread, NULL, run, arg), ==, 0);
	return thread;
}

void rig_join(pthread_t thread)
{
	CHECK_INT(pthread_join(thread, NULL), ==, 0);
}

static void *wait_in_thread(void *arg)
{
	struct rig_waiter *waiter = arg;

	waiter->rc =
		tine_pool_acquire(waiter->pool, waiter->wait_ms, &waiter->conn, &waiter->error);
	if (waiter->order)
		waiter->place = atomic_fetch_add(waiter->order, 1) + 1;
	atomic_store(&waiter->done, true);
	return NULL;
}

void rig_wait_start(struct rig_waiter *waiter, tine_pool *pool, int wait_ms)
{
	waiter->pool = pool;
	waiter->wait_ms = wait_ms;
	waiter->thread = rig_thread(wait_in_thread, waiter);
}

void rig_wait_queued(struct rig_waiter *waiter, tine_pool *pool, int wait_ms, int place)
{
	rig_wait_start(waiter, pool, wait_ms);
	RIG_AWAIT(rig_stats(pool).waiting == place);
}

int rig_wait_end(struct rig_waiter *waiter)
{
	RIG_AWAIT(atomic_load(&waiter->done));
	rig_join(waiter->thread);
	return waiter->rc;
}

/* ---- events --------------------------------------------------------------------------------- */

static int hear(const tine_event *event, void *user_data)
{
	struct rig_events *events = user_data;
	int kind = event->kind;

	CHECK(kind >= 0 && kind < TINE_EVENT_COUNT && event->pool);
	events->last[kind] = *event;
	events->error[kind].status = RIG_NO_ERROR;
	if (event->error)
		events->error[kind] = *event->error;
	if (kind == TINE_EVENT_CLOSE)
		atomic_fetch_add(&events->cause[event->cause], 1);
	return atomic_fetch_add(&events->count[kind], 1) < events->refuse[kind];
}

void rig_listen(tine_pool *pool, struct rig_events *events)
{
	for (int kind = 0; kind < TINE_EVENT_COUNT; kind++)
		CHECK_INT(tine_pool_on(pool, kind, hear, events), ==, 0);
}

int rig_sessions(void)
{
	return atomic_load(&fake_count->sessions);
}

void rig_expect_forgiven(tine_pool *pool)
{
	CHECK_INT(rig_sessions(), ==, RIG_MOST_TERMINATED + 1);
	CHECK_INT(rig_stats(pool).open_failed, ==, RIG_MOST_TERMINATED);
	CHECK_STR(rig_stats(pool).last_error.sqlstate, "57P01");
	RIG_EXPECT(pool, 1, 1, 0, 0);
}
