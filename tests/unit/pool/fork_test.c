/* SPDX-License-Identifier: PostgreSQL */
/*
 * Forks, in every state of a pool: the child begins empty and opens connections of its own, and
 * calls nothing on its parent's but finish() where that is safe; the parent notices nothing.
 */
#include "unit/pool/forks.h"

/* Pools with something of everything, and who has it. */
struct scene {
	/* Two are idle, one of them with the answer to a ROLLBACK to read; three are this thread's,
	 * one of them in the middle of a statement, one a scope's; one is another thread's. */
	tine_pool *calm;
	struct rig_events events;
	tine_conn *mine, *unread, *others;
	tine_scope *scope, *empty;
	pthread_t holder;
	_Atomic bool held, over;
	/* A thread and an acquire that is polled connect, another thread waits. */
	tine_pool *rushed;
	struct rig_waiter connecting, waiting;
	tine_acquire *polled, *begun;
	tine_pool *unused;
	bool spoke; /* the child has used the calm pool before its handles */
};

enum {
	CALM = 6,   /* sessions 1 to 6 */
	RUSHED = 2, /* 7 and 8 */
};

static void *hold_one(void *arg)
{
	struct scene *scene = arg;

	scene->others = rig_acquire(scene->calm);
	atomic_store(&scene->held, true);
	RIG_AWAIT(atomic_load(&scene->over));
	CHECK_INT(fake_exec(tine_conn_pg(scene->others), "SELECT 1"), ==, PGRES_TUPLES_OK);
	rig_release(scene->others);
	return NULL;
}

static void set_up_calm(struct scene *scene)
{
	tine_conn *idle[2];

	scene->calm = rig_pool(7, 1);
	rig_listen(scene->calm, &scene->events);
	scene->mine = rig_acquire(scene->calm);
	fake_exec(tine_conn_pg(scene->mine), "BEGIN");
	scene->unread = rig_acquire(scene->calm);
	fake_send(tine_conn_pg(scene->unread), "SELECT 1");
	scene->scope = tine_scope_begin(scene->calm, TINE_SCOPE_TASK, "before the fork");
	CHECK(tine_scope_conn(scene->scope, NULL));
	scene->empty = tine_scope_begin(scene->calm, TINE_SCOPE_TASK, "before the fork too");
	scene->holder = rig_thread(hold_one, scene);
	RIG_AWAIT(atomic_load(&scene->held));
	idle[0] = rig_acquire(scene->calm);
	idle[1] = rig_acquire(scene->calm);
	fake_exec(tine_conn_pg(idle[0]), "BEGIN");
	rig_release(idle[0]);
	rig_release(idle[1]);
	RIG_EXPECT(scene->calm, CALM, 2, 4, 0);
}

static void set_up_rushed(struct scene *scene)
{
	tine_conn *unused;

	scene->rushed = rig_pool(RUSHED, 0);
	fake_usual.held = true;
	rig_wait_queued(&scene->connecting, scene->rushed, RIG_LONG_MS, 1);
	fake_session(CALM + 1);
	CHECK_INT(tine_pool_acquire_start(scene->rushed, RIG_LONG_MS, &scene->polled, NULL), ==, 0);
	CHECK_INT(tine_acquire_poll(scene->polled, &unused, NULL), ==, TINE_PENDING);
	fake_session(CALM + 2);
	rig_wait_queued(&scene->waiting, scene->rushed, RIG_LONG_MS, 3);
	CHECK_INT(tine_pool_acquire_start(scene->rushed, RIG_LONG_MS, &scene->begun, NULL), ==, 0);
	CHECK_INT(rig_stats(scene->rushed).connecting, ==, RUSHED);
}

static void set_up(struct scene *scene)
{
	set_up_calm(scene);
	set_up_rushed(scene);
	scene->unused = rig_pool(1, 0);
	CHECK_INT(atomic_load(&fake_count->sessions), ==, CALM + RUSHED);
}

/* ---- the child ------------------------------------------------------------------------------ */

/* Handles of the parent's say so, as often as they are asked, and take nothing. */
static void check_handle(tine_conn *conn)
{
	CHECK(!tine_conn_pg(conn));
	tine_conn_label(conn, "not mine");
	CHECK(!tine_conn_detach(conn));
	for (int i = 0; i < 2; i++) {
		CHECK_INT(tine_conn_release(conn), ==, TINE_E_FORKED);
		CHECK_INT(tine_conn_invalidate(conn), ==, TINE_E_FORKED);
	}
	CHECK(!tine_conn_pg(conn));
}

static void check_acquire(tine_acquire *acquire)
{
	tine_error error;
	tine_conn *conn;

	CHECK_INT(tine_acquire_fd(acquire), ==, -1);
	for (int i = 0; i < 2; i++) {
		CHECK_INT(tine_acquire_poll(acquire, &conn, &error), ==, TINE_E_FORKED);
		CHECK_INT(error.status, ==, TINE_E_FORKED);
	}
	tine_acquire_cancel(acquire);
}

static void check_scopes(struct scene *scene)
{
	tine_error error;

	CHECK(!tine_scope_conn(scene->scope, &error));
	CHECK_INT(error.status, ==, TINE_E_FORKED);
	CHECK_INT(tine_scope_commit(scene->scope, &error), ==, TINE_E_FORKED);
	tine_scope_end(scene->scope);
	/* One without a connection is as good here as there. */
	CHECK(tine_scope_conn(scene->empty, &error));
	CHECK_INT(tine_scope_commit(scene->empty, &error), ==, 0);
	tine_scope_end(scene->empty);
}

static void check_own(tine_pool *pool)
{
	tine_conn *conn = rig_acquire(pool);

	CHECK_INT(rig_session(conn)->pid, ==, getpid());
	CHECK_INT(fake_exec(tine_conn_pg(conn), "SELECT 1"), ==, PGRES_TUPLES_OK);
	rig_release(conn);
	RIG_EXPECT(pool, 1, 1, 0, 0);
	CHECK_INT(rig_stats(pool).opened, ==, 1);
}

static void check_empty(tine_pool *pool, int left)
{
	tine_pool_stats stats = rig_stats(pool);

	CHECK_INT(stats.open + stats.idle + stats.busy + stats.connecting + stats.waiting, ==, 0);
	CHECK_INT(stats.checkouts, ==, 0);
	CHECK_INT(stats.opened, ==, 0);
	CHECK_INT(stats.hold.count, ==, 0);
	CHECK_INT(stats.wait.count, ==, 0);
	CHECK_INT(stats.closed[TINE_CAUSE_FORKED], ==, left);
}

static void be_the_child(void *arg)
{
	struct scene *scene = arg;
	int forks = scene->events.count[TINE_EVENT_FORK];

	fake_usual.held = false;
	if (scene->spoke) {
		check_empty(scene->calm, CALM);
		CHECK_INT(scene->events.count[TINE_EVENT_FORK], ==, forks + 1);
		CHECK_INT(scene->events.last[TINE_EVENT_FORK].count, ==, CALM);
	}
	check_handle(scene->mine);
	check_handle(scene->unread);
	check_handle(scene->others);
	check_acquire(scene->polled);
	check_acquire(scene->begun);
	check_own(scene->calm);
	check_scopes(scene);
	check_empty(scene->rushed, RUSHED);
	check_own(scene->rushed);
	check_empty(scene->unused, 0);
	check_own(scene->unused);
	CHECK_INT(scene->events.count[TINE_EVENT_FORK], ==, forks + 1);
	forks_free(scene->calm);
	forks_free(scene->rushed);
	forks_free(scene->unused);
}

/* ---- the parent ----------------------------------------------------------------------------- */

/* Everything is where it was, and goes on. */
static void check_parent(struct scene *scene)
{
	for (int i = 1; i <= CALM + RUSHED; i++) {
		CHECK(atomic_load(&fake_session(i)->open));
		CHECK(fake_wire_is_quiet(fake_session(i)));
		CHECK_INT(atomic_load(&fake_session(i)->goodbyes), ==, 0);
	}
	RIG_EXPECT(scene->calm, CALM, 2, 4, 0);
	CHECK_INT(rig_stats(scene->rushed).connecting, ==, RUSHED);
	CHECK_INT(rig_stats(scene->rushed).waiting, ==, 3);
	CHECK_INT(scene->events.count[TINE_EVENT_FORK], ==, 0);
	CHECK_INT(fake_pq.transaction_status(tine_conn_pg(scene->mine)), ==, PQTRANS_INTRANS);
}

static void finish_polling(tine_acquire *acquire)
{
	tine_conn *conn;

	RIG_AWAIT(tine_acquire_poll(acquire, &conn, NULL) == 0);
	tine_acquire_cancel(acquire);
	rig_release(conn);
}

/* In the order in which they came. */
static void serve_the_rushed(struct scene *scene)
{
	fake_let_through(fake_session(CALM + 1));
	fake_let_through(fake_session(CALM + 2));
	CHECK_INT(rig_wait_end(&scene->connecting), ==, 0);
	rig_release(scene->connecting.conn);
	finish_polling(scene->polled);
	CHECK_INT(rig_wait_end(&scene->waiting), ==, 0);
	rig_release(scene->waiting.conn);
	finish_polling(scene->begun);
}

static void clear_away(struct scene *scene)
{
	PGresult *result;

	CHECK_INT(fake_exec(tine_conn_pg(scene->mine), "COMMIT"), ==, PGRES_COMMAND_OK);
	rig_release(scene->mine);
	result = fake_pq.get_result(tine_conn_pg(scene->unread));
	CHECK_INT(fake_pq.result_status(result), ==, PGRES_TUPLES_OK);
	fake_pq.clear(result);
	CHECK(!fake_pq.get_result(tine_conn_pg(scene->unread)));
	rig_release(scene->unread);
	CHECK_INT(tine_scope_commit(scene->scope, NULL), ==, 0);
	tine_scope_end(scene->scope);
	tine_scope_end(scene->empty);
	atomic_store(&scene->over, true);
	rig_join(scene->holder);
	RIG_EXPECT(scene->calm, CALM, CALM, 0, 0);
	serve_the_rushed(scene);
	CHECK_INT(atomic_load(&fake_count->results), ==, 0);
	tine_pool_free(scene->calm);
	tine_pool_free(scene->rushed);
	tine_pool_free(scene->unused);
	CHECK_INT(memory_blocks(), ==, 0);
}

static void play(enum forks_way way, bool spoke)
{
	struct scene scene = { .spoke = spoke };

	if (way != FORKS_FORK && !forks_may_skip_handlers())
		SKIP("a sanitizer's runtime needs its fork handlers");
	set_up(&scene);
	for (int i = 0; i < 3; i++) {
		forks_run(way, be_the_child, &scene);
		check_parent(&scene);
	}
	clear_away(&scene);
}

TEST(a_child_of_fork_begins_empty)
{
	play(FORKS_FORK, true);
}

TEST(a_child_of_fork_shows_its_handles_first)
{
	play(FORKS_FORK, false);
}

TEST(a_child_without_fork_handlers_begins_empty)
{
	play(FORKS__FORK, true);
}

TEST(a_child_without_fork_handlers_shows_its_handles_first)
{
	play(FORKS__FORK, false);
}

TEST(a_child_of_the_bare_system_call_begins_empty)
{
	play(FORKS_CLONE, true);
}

TEST(a_child_of_the_bare_system_call_shows_its_handles_first)
{
	play(FORKS_CLONE, false);
}

/* ---- children that do little ---------------------------------------------------------------- */

static void do_nothing(void *unused)
{
	(void)unused;
}

static void free_at_once(void *pool)
{
	tine_pool_free(pool);
}

static void dispose_at_once(void *pool)
{
	CHECK_INT(tine_pool_dispose(pool, TINE_DISPOSE_CLOSE), ==, 0);
	RIG_EXPECT((tine_pool *)pool, 0, 0, 0, 0);
}

static void pause_at_once(void *pool)
{
	CHECK_INT(tine_pool_pause(pool, TINE_PAUSE_BLOCK, RIG_LONG_MS, NULL), ==, 0);
}

static void resize_at_once(void *pool)
{
	CHECK_INT(tine_pool_resize(pool, 1, 0, NULL), ==, 0);
	check_own(pool);
}

static void sweep_at_once(void *pool)
{
	clock_pass_ms(3600000);
	CHECK_INT(tine_pool_sweep(pool), ==, 0);
	check_own(pool);
}

static void start_at_once(void *arg)
{
	tine_pool *pool = arg;
	tine_acquire *acquire;
	tine_conn *conn;

	CHECK_INT(tine_pool_acquire_start(pool, RIG_LONG_MS, &acquire, NULL), ==, 0);
	RIG_AWAIT(tine_acquire_poll(acquire, &conn, NULL) == 0);
	CHECK_INT(rig_session(conn)->pid, ==, getpid());
	tine_acquire_cancel(acquire);
	rig_release(conn);
}

static int insert(PGconn *pg, void *unused, tine_error *error)
{
	(void)unused;
	(void)error;
	return fake_exec(pg, "INSERT 1") == PGRES_FATAL_ERROR;
}

static void transact_at_once(void *pool)
{
	CHECK_INT(tine_transact(pool, insert, NULL, NULL, NULL), ==, 0);
}

TEST(whatever_a_child_does_first_does_not_reach_its_parent)
{
	static void (*const acts[])(void *) = {
		do_nothing,     free_at_once,  dispose_at_once, pause_at_once,
		resize_at_once, sweep_at_once, start_at_once,   transact_at_once,
	};
	tine_pool *pool = rig_pool(3, 0);
	tine_conn *conn;

	rig_fill(pool, 3);
	conn = rig_acquire(pool);
	for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++)
		for (int way = 0; way < FORKS_WAYS; way++) {
			if (way != FORKS_FORK && !forks_may_skip_handlers())
				continue;
			forks_run((enum forks_way)way, acts[i], pool);
			for (int j = 1; j <= 3; j++)
				CHECK(fake_wire_is_quiet(fake_session(j)));
			RIG_EXPECT(pool, 3, 2, 1, 0);
		}
	CHECK_INT(fake_exec(tine_conn_pg(conn), "SELECT 1"), ==, PGRES_TUPLES_OK);
	rig_release(conn);
	rig_fill(pool, 3);
	CHECK_INT(rig_stats(pool).opened, ==, 3);
	tine_pool_free(pool);
	CHECK_INT(memory_blocks(), ==, 0);
}

/* A pool that was made in the child is the child's; one that was freed in the parent is gone. */
static void make_its_own(void *unused)
{
	tine_pool *pool = rig_pool(2, 0);

	(void)unused;
	check_own(pool);
	tine_pool_free(pool);
}

TEST(a_child_may_have_pools_of_its_own)
{
	tine_pool *pool = rig_pool(1, 0);

	rig_fill(pool, 1);
	forks_run(FORKS_FORK, make_its_own, NULL);
	rig_close(pool);
	forks_run(FORKS_FORK, make_its_own, NULL);
}

/* ---- grandchildren -------------------------------------------------------------------------- */

struct line {
	tine_pool *pool;
	tine_conn *conn;
	int generation;
	enum forks_way way;
	bool uses; /* each generation uses the pool before it forks */
};

static void be_the_next(void *arg)
{
	struct line *line = arg;
	tine_conn *conn = NULL;

	line->generation++;
	if (line->uses) {
		conn = rig_acquire(line->pool);
		CHECK_INT(rig_session(conn)->pid, ==, getpid());
		CHECK_INT(rig_stats(line->pool).opened, ==, 1);
	}
	if (line->generation < 5) {
		struct line below = *line;

		forks_run(line->way, be_the_next, &below);
	}
	CHECK_INT(tine_conn_release(line->conn), ==, TINE_E_FORKED);
	if (!conn)
		conn = rig_acquire(line->pool);
	CHECK_INT(fake_exec(tine_conn_pg(conn), "SELECT 1"), ==, PGRES_TUPLES_OK);
	CHECK_INT(rig_session(conn)->pid, ==, getpid());
	rig_release(conn);
	CHECK_INT(rig_stats(line->pool).opened, ==, 1);
	tine_pool_free(line->pool);
}

static void play_line(enum forks_way way, bool uses)
{
	struct line line = { .pool = rig_pool(2, 0), .way = way, .uses = uses };

	if (way != FORKS_FORK && !forks_may_skip_handlers())
		SKIP("a sanitizer's runtime needs its fork handlers");
	rig_fill(line.pool, 2);
	line.conn = rig_acquire(line.pool);
	forks_run(way, be_the_next, &line);
	CHECK_INT(fake_exec(tine_conn_pg(line.conn), "SELECT 1"), ==, PGRES_TUPLES_OK);
	rig_release(line.conn);
	RIG_EXPECT(line.pool, 2, 2, 0, 0);
	rig_close(line.pool);
}

TEST(each_generation_has_its_own)
{
	play_line(FORKS_FORK, true);
}

TEST(generations_that_did_not_use_the_pool_make_no_difference)
{
	play_line(FORKS_FORK, false);
}

TEST(each_generation_has_its_own_without_fork_handlers)
{
	play_line(FORKS__FORK, true);
}

TEST(generations_without_fork_handlers_that_did_not_use_the_pool)
{
	play_line(FORKS__FORK, false);
}

CHECK_TABLE(T(a_child_of_fork_begins_empty), T(a_child_of_fork_shows_its_handles_first),
	    T(a_child_without_fork_handlers_begins_empty),
	    T(a_child_without_fork_handlers_shows_its_handles_first),
	    T(a_child_of_the_bare_system_call_begins_empty),
	    T(a_child_of_the_bare_system_call_shows_its_handles_first),
	    T(whatever_a_child_does_first_does_not_reach_its_parent),
	    T(a_child_may_have_pools_of_its_own), T(each_generation_has_its_own),
	    T(generations_that_did_not_use_the_pool_make_no_difference),
	    T(each_generation_has_its_own_without_fork_handlers),
	    T(generations_without_fork_handlers_that_did_not_use_the_pool))
