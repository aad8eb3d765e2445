/* SPDX-License-Identifier: PostgreSQL */
/* Forks at the worst moments. A child that hangs is ended by its alarm, which fails the case. */
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>

#include "case.h"

#define BUSY_FORKS 120
#define CONNECTING_FORKS 60
#define SPAWNS 300

extern char **environ;

static void sleep_a_little(tine_pool *pool)
{
	tine_conn *conn = take(pool);

	CHECK_INT(number(tine_conn_pg(conn), "select 1 from pg_sleep(0.01)"), ==, 1);
	CHECK(answers(tine_conn_pg(conn)));
	CHECK_INT(tine_conn_release(conn), ==, 0);
}

/* What a child does with a pool that other threads of its parent were inside of. */
static _Noreturn void be_child(tine_pool *pool)
{
	tine_pool_stats stats;

	alarm(CHILD_SECONDS);
	use(pool);
	use(pool);
	tine_pool_status(pool, &stats);
	CHECK_INT(stats.open, ==, 1);
	CHECK_INT(stats.checkouts, ==, 2);
	tine_pool_free(pool);
	_exit(0);
}

static void fork_once(tine_pool *pool)
{
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (!pid)
		be_child(pool);
	check_child(pid);
}

/* Eight threads inside queries, acquire and release; forks from outside and from one of them. */
void fork_while_busy(void)
{
	tine_pool *pool = new_pool(TINE_POOL_QUEUE, 5, 0);
	struct crew busy, forking;
	tine_pool_stats stats;

	crew_start(&busy, pool, 8, sleep_a_little);
	crew_start(&forking, pool, 1, fork_once);
	for (int i = 0; i < BUSY_FORKS / 2; i++)
		fork_once(pool);
	WAIT_FOR(forking.rounds >= BUSY_FORKS / 2);
	crew_stop(&forking);
	crew_stop(&busy);
	tine_pool_status(pool, &stats);
	CHECK_INT(stats.opened, <=, 5);
	CHECK_INT(stats.busy, ==, 0);
	CHECK_INT(busy.rounds, >, BUSY_FORKS / 10);
	tine_pool_free(pool);
}

/* Threads inside connect and close all the time, TLS and SCRAM included. */
void fork_while_connecting(void)
{
	tine_pool *pool = new_pool(TINE_POOL_NULL, 4, 0);
	struct crew connecting;

	crew_start(&connecting, pool, 4, use);
	for (int i = 0; i < CONNECTING_FORKS; i++) {
		pid_t pid = fork();

		CHECK(pid >= 0);
		if (!pid) {
			alarm(CHILD_SECONDS);
			use(pool);
			_exit(0);
		}
		check_child(pid);
	}
	crew_stop(&connecting);
	CHECK_INT(connecting.rounds, >, 0);
	tine_pool_free(pool);
}

/* ---- forks that run no handlers ------------------------------------------------------------- */

static pid_t by_clone(void)
{
	return (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

static pid_t by_clone3(void)
{
	struct clone_args args = { .exit_signal = SIGCHLD };

	return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

/* The parent has one connection idle and one in a transaction. The child's first call of the
 * library is another one in each round. */
static _Noreturn void be_unnoticed_child(tine_pool *pool, tine_conn *held, int first)
{
	alarm(CHILD_SECONDS);
	if (first == 0)
		CHECK(tine_conn_pg(held) == NULL);
	if (first == 1)
		CHECK_INT(tine_conn_release(held), ==, TINE_E_FORKED);
	use(pool);
	CHECK(tine_conn_pg(held) == NULL);
	CHECK_INT(tine_conn_release(held), ==, TINE_E_FORKED);
	tine_pool_free(pool);
	_exit(0);
}

void fork_without_handlers(void)
{
	pid_t (*const kinds[])(void) = { _Fork, by_clone, by_clone3 };
	tine_pool *pool = new_pool(TINE_POOL_QUEUE, 2, 0);
	tine_conn *idle = take(pool), *held = take(pool);
	PGconn *pg = tine_conn_pg(held);
	int idle_pid = PQbackendPID(tine_conn_pg(idle));
	int rounds = (int)(sizeof(kinds) / sizeof(kinds[0])) * 3;

	CHECK_INT(tine_conn_release(idle), ==, 0);
	execute(pg, "begin; create temp table mine (n int)");
	for (int i = 0; i < rounds; i++) {
		pid_t pid = kinds[i / 3]();

		CHECK(pid >= 0);
		if (!pid)
			be_unnoticed_child(pool, held, i % 3);
		check_child(pid);
		execute(pg, "insert into mine values (1)");
		idle = take(pool);
		CHECK_INT(number(tine_conn_pg(idle), "select pg_backend_pid()"), ==, idle_pid);
		CHECK_INT(tine_conn_release(idle), ==, 0);
	}
	CHECK_INT(number(pg, "select count(*) from mine"), ==, rounds);
	CHECK_INT(tine_conn_release(held), ==, 0);
	tine_pool_free(pool);
}

/* ---- the end of a child --------------------------------------------------------------------- */

static tine_pool *global_pool;
static tine_conn *global_conn;

/* As a destructor of a C++ program would. */
static void clean_up(void)
{
	tine_conn_release(global_conn);
	tine_pool_free(global_pool);
}

void exit_of_a_child(void)
{
	PGconn *pg;
	pid_t pid;

	global_pool = new_pool(TINE_POOL_QUEUE, 2, 0);
	use(global_pool);
	global_conn = take(global_pool);
	pg = tine_conn_pg(global_conn);
	execute(pg, "begin; create temp table mine (n int)");
	pid = fork();
	if (!pid) {
		alarm(CHILD_SECONDS);
		atexit(clean_up);
		exit(0);
	}
	check_child(pid);
	execute(pg, "insert into mine values (1); commit");
	CHECK_INT(number(pg, "select count(*) from mine"), ==, 1);
	clean_up();
}

/* ---- children that share our memory --------------------------------------------------------- */

static char *const nothing[] = { (char *)"true", NULL };

static __attribute__((noinline)) pid_t spawn_by_vfork(void)
{
	pid_t pid = vfork();

	if (!pid) {
		execv("/bin/true", nothing);
		_exit(127);
	}
	return pid;
}

static pid_t spawn_by_posix_spawn(void)
{
	pid_t pid;

	return posix_spawn(&pid, "/bin/true", NULL, NULL, nothing, environ) ? -1 : pid;
}

void spawn_in_traffic(void)
{
	tine_pool *pool = new_pool(TINE_POOL_QUEUE, 3, 0);
	tine_pool_stats stats;
	struct crew crew;

	crew_start(&crew, pool, 3, use);
	for (int i = 0; i < SPAWNS; i++) {
		pid_t pid = i % 2 ? spawn_by_vfork() : spawn_by_posix_spawn();

		CHECK(pid > 0);
		check_child(pid);
		if (i % 10 == 0)
			CHECK_INT(system("exit 0"), ==, 0);
	}
	crew_stop(&crew);
	tine_pool_status(pool, &stats);
	CHECK_INT(stats.opened, <=, 3);
	for (int cause = 0; cause < TINE_CAUSE_COUNT; cause++)
		CHECK_INT(stats.closed[cause], ==, 0);
	tine_pool_free(pool);
}
