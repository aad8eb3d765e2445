/* SPDX-License-Identifier: PostgreSQL */
/* Many forks: nothing grows with their number, and none of them catches a lock. */
#include <sys/wait.h>

#include "unit/pool/forks.h"

/* ---- nothing grows -------------------------------------------------------------------------- */

static long resident_pages(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	long size, resident;

	CHECK(file && fscanf(file, "%ld %ld", &size, &resident) == 2);
	fclose(file);
	return resident;
}

static void use_and_free(void *pool)
{
	rig_release(rig_acquire(pool));
	forks_free(pool);
}

static void *await_the_end(void *over)
{
	RIG_AWAIT(atomic_load((_Atomic bool *)over));
	return NULL;
}

TEST(a_thousand_forks_leave_nothing_in_the_parent)
{
	int rounds = rig_rounds(1000), descriptors = 0;
	tine_pool *pool = rig_pool(4, 0);
	long blocks = 0, pages = 0;
	_Atomic bool over = false;
	pthread_t thread = rig_thread(await_the_end, &over);
	tine_conn *conn;

	rig_fill(pool, 3);
	conn = rig_acquire(pool);
	for (int i = 0; i < rounds; i++) {
		if (i == rounds / 10) {
			descriptors = forks_descriptors();
			blocks = memory_blocks();
			pages = resident_pages();
		}
		check_child(forks_child(FORKS_FORK, use_and_free, pool));
	}
	forks_check_record();
	CHECK_INT(forks_descriptors(), ==, descriptors);
	CHECK_INT(memory_blocks(), ==, blocks);
	if (!rig_is_slow())
		CHECK_INT(resident_pages() - pages, <, 64);
	CHECK_INT(fake_exec(tine_conn_pg(conn), "SELECT 1"), ==, PGRES_TUPLES_OK);
	for (int i = 1; i <= 3; i++)
		CHECK(fake_wire_is_quiet(fake_session(i)));
	rig_release(conn);
	atomic_store(&over, true);
	rig_join(thread);
	tine_pool_free(pool);
	CHECK_INT(memory_blocks(), ==, 0);
}

/* A line of processes, each the child of the one before, which ends: what is left of the ancestors
 * must not add up. The last one tells by its exit status. */
struct line {
	tine_pool *pool;
	int left, descriptors;
	long blocks;
	bool holds; /* a connection at each fork */
};

static void go_on(void *arg)
{
	struct line *line = arg;
	tine_conn *conn = NULL, *before;

	for (; line->left > 0; line->left--) {
		pid_t pid;

		rig_fill(line->pool, 3);
		before = line->holds ? rig_acquire(line->pool) : NULL;
		pid = fork();
		CHECK(pid >= 0);
		if (pid > 0) {
			check_child(pid);
			_exit(0);
		}
		conn = rig_acquire(line->pool);
		CHECK_INT(rig_session(conn)->pid, ==, getpid());
		rig_release(conn);
		CHECK_INT(tine_conn_release(before), ==, line->holds ? TINE_E_FORKED : 0);
		if (!line->descriptors) {
			line->descriptors = forks_descriptors();
			line->blocks = memory_blocks();
		}
		CHECK_INT(forks_descriptors(), ==, line->descriptors);
		if (!line->holds)
			CHECK_INT(memory_blocks(), ==, line->blocks);
	}
	tine_pool_free(line->pool);
	CHECK_INT(memory_blocks(), ==, 0);
}

static void play_line(bool holds)
{
	struct line line = { .pool = rig_pool(4, 0), .left = rig_rounds(100), .holds = holds };

	rig_fill(line.pool, 3);
	forks_run(FORKS_FORK, go_on, &line);
	tine_pool_free(line.pool);
}

TEST(nothing_adds_up_from_generation_to_generation)
{
	play_line(false);
}

TEST(handles_of_ancestors_keep_no_descriptor)
{
	play_line(true);
}

/* ---- none of them catches a lock ------------------------------------------------------------ */

/* Threads do everything that takes a lock somewhere; statements and connects take their time inside
 * libpq, so that forks find them there. */
struct crowd {
	tine_pool *pool, *null;
	_Atomic bool over;
	_Atomic int rounds;
};

static void linger(void)
{
	struct timespec pause = { 0, 20000 };

	nanosleep(&pause, NULL);
}

static void linger_in_connect(const struct fake_session *session, struct fake_plan *plan)
{
	(void)session;
	(void)plan;
	linger();
}

static void linger_in_query(struct fake_session *session, const char *sql, struct fake_reply *reply)
{
	(void)session;
	(void)sql;
	(void)reply;
	linger();
}

static void use_one(tine_pool *pool, int round)
{
	tine_conn *conn;

	if (tine_pool_acquire(pool, round % 5, &conn, NULL) < 0)
		return;
	rig_own(conn);
	CHECK_INT(fake_exec(tine_conn_pg(conn), round % 2 ? "BEGIN" : "SELECT 1"), !=,
		  PGRES_FATAL_ERROR);
	rig_disown(conn);
	if (round % 7 == 0)
		tine_conn_invalidate(conn);
	else
		rig_release(conn);
}

static void *be_in_the_crowd(void *arg)
{
	struct crowd *crowd = arg;
	tine_pool_stats stats;

	for (int round = 0; !atomic_load(&crowd->over); round++) {
		use_one(crowd->pool, round);
		use_one(crowd->null, round);
		if (round % 11 == 0)
			CHECK_INT(tine_pool_status(crowd->pool, &stats), ==, 0);
		if (round % 13 == 0) {
			tine_acquire *acquire;
			tine_conn *conn;

			CHECK_INT(tine_pool_acquire_start(crowd->pool, 1, &acquire, NULL), ==, 0);
			if (tine_acquire_poll(acquire, &conn, NULL) == 0)
				rig_release(conn);
			tine_acquire_cancel(acquire);
		}
		atomic_fetch_add(&crowd->rounds, 1);
	}
	return NULL;
}

static void leave_the_crowd(void *arg)
{
	struct crowd *crowd = arg;

	fake_on_connect = NULL;
	fake_on_query = NULL;
	use_one(crowd->pool, 5);
	use_one(crowd->null, 5);
	rig_release(rig_acquire(crowd->pool));
	CHECK_INT(rig_stats(crowd->pool).open, ==, rig_stats(crowd->pool).idle);
	forks_free(crowd->pool);
	forks_free(crowd->null);
}

static void play_crowd(enum forks_way way, int forks)
{
	tine_pool_config config = rig_config(3, 1);
	struct crowd crowd = { .pool = rig_pool(4, 2) };
	pthread_t threads[8];

	config.kind = TINE_POOL_NULL;
	crowd.null = rig_open(&config);
	fake_on_connect = linger_in_connect;
	fake_on_query = linger_in_query;
	for (int i = 0; i < 8; i++)
		threads[i] = rig_thread(be_in_the_crowd, &crowd);
	for (int i = 0; i < forks; i++)
		check_child(forks_child(way, leave_the_crowd, &crowd));
	atomic_store(&crowd.over, true);
	for (int i = 0; i < 8; i++)
		rig_join(threads[i]);
	forks_check_record();
	CHECK_INT(atomic_load(&crowd.rounds), >, 0);
	CHECK_INT(rig_stats(crowd.pool).open, ==, rig_stats(crowd.pool).idle);
	CHECK_INT(rig_stats(crowd.null).open, ==, 0);
	tine_pool_free(crowd.pool);
	tine_pool_free(crowd.null);
	CHECK_INT(memory_blocks(), ==, 0);
}

TEST(a_thousand_forks_while_eight_threads_work)
{
#ifdef __SANITIZE_ADDRESS__
	SKIP("AddressSanitizer's allocator takes its locks into the child of a threaded program");
#endif
	play_crowd(FORKS_FORK, rig_rounds(1000));
}

CHECK_TABLE(T(a_thousand_forks_leave_nothing_in_the_parent),
	    T(nothing_adds_up_from_generation_to_generation),
	    T(handles_of_ancestors_keep_no_descriptor),
	    T(a_thousand_forks_while_eight_threads_work))
