/* SPDX-License-Identifier: PostgreSQL */
/*
 * Forks from inside a thread while others are at work, and what such a child does: it tries what
 * its parent has in its hands, uses the pool that it inherited, and ends in some way.
 *
 * Locks: none, so the child finds none of ours taken. Fork: what this is about.
 */
#include "soak.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define TURNS_MAX 4

/* ---- what the parent has in its hands ------------------------------------------------------- */

static void expect_forked(int rc, const char *what)
{
	if (rc != TINE_E_FORKED)
		fail("in the child %s returned %s", what, tine_status_name(rc));
}

/* Past the pool, as a program does that kept the pointer. */
static void try_raw(PGconn *pg)
{
	PGresult *result;

	step("tries the parent's PGconn");
	result = PQexec(pg, "select 'stolen', pg_backend_pid()");
	if (PQresultStatus(result) == PGRES_TUPLES_OK)
		fail("wrong answer: the child used its parent's session %s",
		     PQgetvalue(result, 0, 1));
	PQclear(result);
	if (PQstatus(pg) != CONNECTION_BAD)
		fail("in the child the parent's PGconn is said to be alive");
}

static void try_held(const struct held *held)
{
	if (chance(60))
		try_raw(held->pg);
	step("tries the parent's handle");
	if (tine_conn_pg(held->conn))
		fail("in the child tine_conn_pg gives the parent's connection");
	if (chance(30) && tine_conn_detach(held->conn))
		fail("in the child tine_conn_detach gives the parent's connection");
	if (chance(70))
		expect_forked(tine_conn_release(held->conn), "tine_conn_release");
	if (chance(30))
		expect_forked(tine_conn_invalidate(held->conn), "tine_conn_invalidate");
}

static void try_acquire(tine_acquire *acquire)
{
	tine_error error = { 0 };
	tine_conn *conn;

	step("tries the parent's acquire");
	if (tine_acquire_fd(acquire) != -1)
		fail("in the child tine_acquire_fd returned %d", tine_acquire_fd(acquire));
	expect_forked(tine_acquire_poll(acquire, &conn, &error), "tine_acquire_poll");
	tine_acquire_cancel(acquire);
}

static void try_scope(tine_scope *scope)
{
	tine_error error = { 0 };

	step("tries the parent's scope");
	if (tine_scope_conn(scope, &error))
		fail("in the child tine_scope_conn gives the parent's connection");
	expect_forked(error.status, "tine_scope_conn");
	if (chance(50))
		expect_forked(tine_scope_commit(scope, &error), "tine_scope_commit");
	tine_scope_end(scope);
}

/* ---- its own life --------------------------------------------------------------------------- */

static void use_pool(void)
{
	/* At the fork another thread may have paused it, who is not here to end that. */
	tine_pool_resume(pool);
	for (uint64_t left = random_below(TURNS_MAX + 1); left > 0; left--)
		turn();
}

static _Noreturn void live(const struct held *held, tine_acquire *acquire, tine_scope *scope)
{
	if (chance(30))
		use_pool();
	if (held)
		try_held(held);
	if (acquire)
		try_acquire(acquire);
	if (scope)
		try_scope(scope);
	child_end();
}

static void kill_self(void)
{
	atomic_store(&self.process->doomed, true);
	raise(SIGKILL);
}

static void fork_again(void)
{
	pid_t child = self.depth < DEPTH_MAX ? child_fork(NULL, NULL, NULL) : 0;

	/* Else it outlives us. */
	if (chance(50))
		child_await(child);
}

void child_end(void)
{
	if (chance(80))
		use_pool();
	step("ends");
	switch (random_below(6)) {
	case 0:
		_exit(0);
	case 1:
		exit(0);
	case 2:
		tine_pool_free(pool);
		exit(0);
	case 3:
		kill_self();
		break;
	case 4:
		excuse(true);
		execl("/bin/true", "true", (char *)NULL);
		break;
	default:
		fork_again();
		_exit(0);
	}
	fail("the child goes on after its end");
}

/* ---- its parent ----------------------------------------------------------------------------- */

pid_t child_fork_here(void)
{
	struct process *place = process_claim(CHILD, self.process->number);
	pid_t claimer = self.pid, pid, claimed = -1;

	if (!place)
		return -1;
	step("forks");
	pid = fork();
	if (pid < 0)
		fail("fork: errno %d", errno);
	if (pid > 0) {
		count(FORKS);
		atomic_compare_exchange_strong(&place->pid, &claimed, pid);
		return pid;
	}
	if (!process_enter(place, claimer))
		_exit(0);
	self.depth++;
	self_become(place, 0);
	return 0;
}

pid_t child_fork(const struct held *held, tine_acquire *acquire, tine_scope *scope)
{
	pid_t pid = child_fork_here();

	if (pid == 0)
		live(held, acquire, scope);
	return pid > 0 ? pid : 0;
}

static int await(pid_t pid)
{
	int status = 0;
	pid_t got;

	do
		got = waitpid(pid, &status, 0);
	while (got < 0 && errno == EINTR);
	if (got != pid)
		fail("waitpid: errno %d", errno);
	return status;
}

void child_await(pid_t pid)
{
	struct process *process;
	int status;

	if (pid <= 0)
		return;
	step("waits for its child");
	excuse(true);
	status = await(pid);
	excuse(false);
	process = process_find(pid);
	process_judge(process, pid, status);
	if (process)
		process_free(process);
}

/* ---- without fork handlers ------------------------------------------------------------------ */

static void expect_exit(pid_t pid, const char *what)
{
	int status = await(pid);

	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		fail("%s ended with status %#x", what, (unsigned)status);
}

/* Such a child may find any lock of libc taken, so it asks one thing and is gone. */
void trick_missed_fork(void)
{
	struct held held;
	pid_t pid;

	if (!take(&held, -1))
		return;
	step("forks without handlers");
	pid = _Fork();
	if (pid < 0)
		fail("_Fork: errno %d", errno);
	if (pid == 0)
		_exit(tine_conn_pg(held.conn) ? 9 : 0);
	count(FORKS);
	ask(&held);
	give(&held);
	expect_exit(pid, "a child without fork handlers");
}

void trick_spawn(void)
{
	static char name[] = "true";
	static char *const words[] = { name, NULL };
	static char *const environment[] = { NULL };
	struct held held;
	pid_t pid;

	if (!take(&held, -1))
		return;
	step("starts a program");
	count(SPAWNS);
	if (chance(50)) {
		if (posix_spawn(&pid, "/bin/true", NULL, NULL, words, environment) != 0)
			fail("posix_spawn failed");
		ask(&held);
		expect_exit(pid, "/bin/true");
	} else if (system("exit 3") != 3 << 8) {
		fail("system() did not return the status of its command");
	}
	ask(&held);
	give(&held);
}
