/* SPDX-License-Identifier: PostgreSQL */
/*
 * Threads that are cancelled, or end, where it hurts. What the library promises:
 *  - inside its own functions a cancellation waits: an acquire ends as it would have, and what it
 *    acquired is the thread's
 *  - libpq is not made for cancellation: a statement may be half sent and libpq believe that there
 *    is none. The clean-up handler of such a thread calls tine_conn_invalidate()
 *  - a scope of TINE_SCOPE ends with its thread where the program is compiled with -fexceptions
 *  - tine_transact() leaves nothing behind, in the function as in a pause between attempts
 *  - a handle that a thread took with it into its end is a leak, which is told with the place of
 * the checkout; any other thread that knows the handle may release it
 */
#include "case.h"

/* The library's promises hold whether or not there was time to begin with the wait. */
static void let_it_wait(tine_pool *pool)
{
	tine_pool_stats stats;

	do {
		usleep(1000);
		tine_pool_status(pool, &stats);
	} while (!stats.waiting);
}

static void expect_idle(tine_pool *pool)
{
	tine_pool_stats stats;

	tine_pool_status(pool, &stats);
	CHECK_INT(stats.busy, ==, 0);
	CHECK_INT(stats.waiting, ==, 0);
	use(pool);
	tine_pool_free(pool);
}

static void *cancel(pthread_t thread)
{
	void *result;

	CHECK(pthread_cancel(thread) == 0);
	CHECK(pthread_join(thread, &result) == 0);
	return result;
}

/* Not released: see the head of this file. */
static void invalidate(void *conn)
{
	CHECK_INT(tine_conn_invalidate(conn), ==, 0);
}

/* The backend does not notice the end of its client and goes on: the pid tells whose it is. */
static void sleep_in_query(PGconn *pg)
{
	char query[64];

	snprintf(query, sizeof(query), "select pg_sleep(60) /* of %d */", getpid());
	PQclear(PQexec(pg, query));
}

static void use_until_cancelled(tine_conn *conn, void (*work)(PGconn *pg))
{
	pthread_cleanup_push(invalidate, conn);
	work(tine_conn_pg(conn));
	pthread_cleanup_pop(1);
}

static void wait_for_sleeper(tine_pool *pool)
{
	tine_conn *conn = take(pool);
	char query[160];

	snprintf(query, sizeof(query),
		 "select count(*) from pg_stat_activity where state = 'active' and "
		 "pid <> pg_backend_pid() and query like '%%/* of %d */'",
		 getpid());
	WAIT_FOR(number(tine_conn_pg(conn), query));
	CHECK_INT(tine_conn_release(conn), ==, 0);
}

static char waited_in_vain[] = "waited in vain", ended[] = "ended";

static void *wait_and_query(void *pool)
{
	tine_conn *conn;

	if (tine_pool_acquire(pool, 200, &conn, NULL) < 0)
		return waited_in_vain;
	use_until_cancelled(conn, sleep_in_query);
	return NULL;
}

static void *take_and_query(void *pool)
{
	use_until_cancelled(take(pool), sleep_in_query);
	return NULL;
}

/* One waits in vain, one is given what comes back. Both leave the queue as they should. */
void cancelled_while_waiting(void)
{
	tine_pool *pool = new_pool(TINE_POOL_QUEUE, 1, 0);
	tine_conn *held = take(pool);
	pthread_t thread;

	CHECK(pthread_create(&thread, NULL, wait_and_query, pool) == 0);
	let_it_wait(pool);
	CHECK(cancel(thread) == waited_in_vain);
	CHECK(pthread_create(&thread, NULL, wait_and_query, pool) == 0);
	let_it_wait(pool);
	CHECK(pthread_cancel(thread) == 0);
	CHECK_INT(tine_conn_release(held), ==, 0);
	CHECK(pthread_join(thread, NULL) == 0);
	expect_idle(pool);
}

static void cancel_at_query(tine_pool *pool, void *(*work)(void *))
{
	pthread_t thread;

	CHECK(pthread_create(&thread, NULL, work, pool) == 0);
	wait_for_sleeper(pool);
	CHECK(cancel(thread) == PTHREAD_CANCELED);
	expect_idle(pool);
}

/* The connection is in the middle of a statement: closed, not handed on. */
void cancelled_while_holding(void)
{
	cancel_at_query(new_pool(TINE_POOL_QUEUE, 2, 0), take_and_query);
}

static void *query_in_scope(void *pool)
{
	TINE_SCOPE(scope, pool, TINE_SCOPE_TASK, "cancelled");

	sleep_in_query(tine_scope_conn(scope, NULL));
	return NULL;
}

void cancelled_in_a_scope(void)
{
	cancel_at_query(new_pool(TINE_POOL_QUEUE, 2, 0), query_in_scope);
}

static int sleep_in_transaction(PGconn *pg, void *arg, tine_error *error)
{
	(void)arg;
	(void)error;
	sleep_in_query(pg);
	return 0;
}

static void *transact_asleep(void *pool)
{
	tine_transact(pool, sleep_in_transaction, NULL, NULL, NULL);
	return NULL;
}

void cancelled_in_transact(void)
{
	cancel_at_query(new_pool(TINE_POOL_QUEUE, 2, 0), transact_asleep);
}

/* ---- a statement that libpq has put into its buffer and not sent -------------------------------
 */

/* The first cancellation point in here is the system call that sends it. */
static void be_cancelled_sending(PGconn *pg)
{
	pthread_cancel(pthread_self());
	PQclear(PQexec(pg, "select 4711"));
}

static int send_in_transaction(PGconn *pg, void *arg, tine_error *error)
{
	(void)arg;
	(void)error;
	be_cancelled_sending(pg);
	return 0;
}

static void *send_in_transact(void *pool)
{
	tine_transact(pool, send_in_transaction, NULL, NULL, NULL);
	return NULL;
}

static void *send_in_scope(void *pool)
{
	TINE_SCOPE(scope, pool, TINE_SCOPE_TASK, "cancelled");

	be_cancelled_sending(tine_scope_conn(scope, NULL));
	return NULL;
}

static void *send_held(void *pool)
{
	use_until_cancelled(take(pool), be_cancelled_sending);
	return NULL;
}

void cancelled_while_sending(void)
{
	void *(*const works[])(void *) = { send_held, send_in_scope, send_in_transact };
	tine_pool *pool = new_pool(TINE_POOL_QUEUE, 1, 0);
	pthread_t thread;
	void *result;

	for (int i = 0; i < 9; i++) {
		CHECK(pthread_create(&thread, NULL, works[i % 3], pool) == 0);
		CHECK(pthread_join(thread, &result) == 0);
		CHECK(result == PTHREAD_CANCELED);
		/* Each answer belongs to its question. */
		use(pool);
		use(pool);
		use(pool);
	}
	expect_idle(pool);
}

static int fail_to_serialize(PGconn *pg, void *calls, tine_error *error)
{
	(void)error;
	PQclear(PQexec(pg, "do $$ begin raise 'again' using errcode = '40001'; end $$"));
	atomic_fetch_add((_Atomic int *)calls, 1);
	return 1;
}

static _Atomic int calls;

static void *transact_again(void *pool)
{
	tine_transact_options options;

	tine_transact_options_init(&options);
	options.backoff_first_ms = options.backoff_max_ms = 60000;
	tine_transact(pool, fail_to_serialize, &calls, &options, NULL);
	return NULL;
}

void cancelled_in_back_off(void)
{
	tine_pool *pool = new_pool(TINE_POOL_QUEUE, 2, 0);
	pthread_t thread;

	CHECK(pthread_create(&thread, NULL, transact_again, pool) == 0);
	WAIT_FOR(calls == 1);
	CHECK(cancel(thread) == PTHREAD_CANCELED);
	expect_idle(pool);
}

static int end_thread(PGconn *pg, void *arg, tine_error *error)
{
	(void)arg;
	(void)error;
	execute(pg, "create temp table left_behind (n int)");
	pthread_exit(ended);
}

static void *transact_to_the_end(void *pool)
{
	tine_transact(pool, end_thread, NULL, NULL, NULL);
	return NULL;
}

void ended_in_transact(void)
{
	tine_pool *pool = new_pool(TINE_POOL_QUEUE, 1, 0);
	tine_conn *conn;
	pthread_t thread;
	void *result;

	CHECK(pthread_create(&thread, NULL, transact_to_the_end, pool) == 0);
	CHECK(pthread_join(thread, &result) == 0);
	CHECK(result == ended);
	conn = take(pool);
	CHECK_INT(number(tine_conn_pg(conn),
			 "select count(*) from pg_class where relnamespace = pg_my_temp_schema()"),
		  ==, 0);
	CHECK_INT(tine_conn_release(conn), ==, 0);
	expect_idle(pool);
}

static char told[512];

static int tell_leak(const tine_event *event, void *user_data)
{
	(void)user_data;
	snprintf(told, sizeof(told), "%s", event->error->text);
	return 0;
}

static void *take_and_end(void *pool)
{
	tine_conn *conn = take(pool);

	tine_conn_label(conn, "a thread that ended");
	return conn;
}

void ended_while_holding(void)
{
	tine_pool_config config;
	tine_pool *pool;
	pthread_t thread;
	void *conn;

	tine_pool_config_init(&config);
	CHECK_INT(tine_pool_config_env(&config, NULL), ==, 0);
	config.leak_after_ms = 50;
	pool = tine_pool_new(&config, NULL);
	CHECK_INT(tine_pool_on(pool, TINE_EVENT_LEAK, tell_leak, NULL), ==, 0);
	CHECK(pthread_create(&thread, NULL, take_and_end, pool) == 0);
	CHECK(pthread_join(thread, &conn) == 0);
	WAIT_FOR((tine_pool_sweep(pool), told[0]));
	CHECK_CONTAINS(told, "a thread that ended");
	CHECK(answers(tine_conn_pg(conn)));
	CHECK_INT(tine_conn_release(conn), ==, 0);
	expect_idle(pool);
}
