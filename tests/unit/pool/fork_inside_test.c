/* SPDX-License-Identifier: PostgreSQL */
/* Forks while libpq is at work, and in functions of the program's. */
#include "unit/pool/forks.h"

static void use_and_free(void *pool)
{
	tine_conn *conn = rig_acquire(pool);

	CHECK_INT(rig_session(conn)->pid, ==, getpid());
	CHECK_INT(fake_exec(tine_conn_pg(conn), "SELECT 1"), ==, PGRES_TUPLES_OK);
	rig_release(conn);
	RIG_EXPECT((tine_pool *)pool, 1, 1, 0, 0);
	forks_free(pool);
}

/* ---- in the middle of libpq ----------------------------------------------------------------- */

static _Atomic bool inside, let_go;

static void stay_inside(struct fake_session *session, const char *sql, struct fake_reply *reply)
{
	(void)session;
	(void)reply;
	if (strcmp(sql, "SELECT for ever") != 0)
		return;
	atomic_store(&inside, true);
	RIG_AWAIT(atomic_load(&let_go));
}

static void *send_for_ever(void *conn)
{
	CHECK_INT(fake_exec(tine_conn_pg(conn), "SELECT for ever"), ==, PGRES_TUPLES_OK);
	return NULL;
}

TEST(what_another_thread_is_inside_of_is_never_touched)
{
	tine_pool *pool = rig_pool(2, 0);
	tine_conn *conn = rig_acquire(pool);
	pthread_t thread;

	fake_on_query = stay_inside;
	thread = rig_thread(send_for_ever, conn);
	RIG_AWAIT(atomic_load(&inside));
	forks_run(FORKS_FORK, use_and_free, pool);
	CHECK_INT(forks_foreign_calls(1), ==, 0);
	atomic_store(&let_go, true);
	rig_join(thread);
	rig_release(conn);
	tine_pool_free(pool);
}

/* The program has put another socket in the place of the one that the pool knew. */
static void show_the_handle(void *arg)
{
	tine_conn *conn = *(tine_conn **)arg;

	CHECK(!tine_conn_pg(conn));
	CHECK_INT(tine_conn_release(conn), ==, TINE_E_FORKED);
}

TEST(a_connection_that_the_program_reset_is_severed_too)
{
	tine_pool *pool = rig_pool(2, 0);
	tine_conn *conn = rig_acquire(pool);

	fake_reset(tine_conn_pg(conn));
	forks_run(FORKS_FORK, show_the_handle, &conn);
	CHECK_INT(rig_session(conn)->id, ==, 2);
	CHECK(fake_wire_is_quiet(rig_session(conn)));
	CHECK_INT(fake_exec(tine_conn_pg(conn), "SELECT 1"), ==, PGRES_TUPLES_OK);
	rig_release(conn);
	tine_pool_free(pool);
}

/* No fork while libpq makes or ends a connection: its locks are free in the child. */
static _Atomic bool has_forked;

static int stay_in; /* this call */

static void stay_inside_once(int session, int call)
{
	if (session > 1 || call != stay_in || atomic_exchange(&inside, true))
		return;
	/* Long enough for a fork that does not wait. */
	for (int i = 0; i < 50; i++)
		rig_pause();
	CHECK(!atomic_load(&has_forked));
}

static void *acquire_one(void *pool)
{
	rig_release(rig_acquire(pool));
	return NULL;
}

static void fork_in_the_middle_of(int call)
{
	tine_pool *pool = rig_pool(2, 0);
	pthread_t thread;
	pid_t child;

	stay_in = call;
	fake_on_call = stay_inside_once;
	thread = rig_thread(acquire_one, pool);
	RIG_AWAIT(atomic_load(&inside));
	child = forks_child(FORKS_FORK, use_and_free, pool);
	atomic_store(&has_forked, true);
	check_child(child);
	forks_check_record();
	rig_join(thread);
	RIG_EXPECT(pool, 1, 1, 0, 0);
	tine_pool_free(pool);
}

TEST(a_fork_waits_until_libpq_is_done_with_a_connect)
{
	fork_in_the_middle_of(FAKE_connect_poll);
}

TEST(a_fork_waits_until_a_new_connection_is_set_up)
{
	fork_in_the_middle_of(FAKE_watch);
}

/* ---- in a function of the program's --------------------------------------------------------- */

static _Atomic int forks_at;

static int fork_inside(const tine_event *event, void *unused)
{
	int kind = event->kind;

	(void)unused;
	if (atomic_compare_exchange_strong(&forks_at, &kind, -1))
		forks_run(FORKS_FORK, use_and_free, event->pool);
	return 0;
}

TEST(a_function_of_the_programs_may_fork)
{
	for (int kind = 0; kind < TINE_EVENT_COUNT; kind++) {
		tine_pool *pool = rig_pool(1, 0);
		struct rig_waiter waiter = { 0 };
		tine_conn *conn;

		for (int each = 0; each < TINE_EVENT_COUNT; each++)
			tine_pool_on(pool, each, fork_inside, NULL);
		forks_at = kind;
		conn = rig_acquire(pool);
		rig_refused(pool, 10, TINE_E_TIMEOUT);
		rig_wait_queued(&waiter, pool, RIG_LONG_MS, 1);
		rig_release(conn);
		CHECK_INT(rig_wait_end(&waiter), ==, 0);
		tine_conn_invalidate(waiter.conn);
		forks_at = -1;
		tine_pool_free(pool);
	}
	CHECK_INT(memory_blocks(), ==, 0);
}

CHECK_TABLE(T(a_connection_that_the_program_reset_is_severed_too),
	    T(what_another_thread_is_inside_of_is_never_touched),
	    T(a_fork_waits_until_libpq_is_done_with_a_connect),
	    T(a_fork_waits_until_a_new_connection_is_set_up),
	    T(a_function_of_the_programs_may_fork))
