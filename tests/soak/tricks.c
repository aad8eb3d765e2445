/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a thread does now and then: administration of the pool while others use it, a pool of its
 * own, programs that are started, and forks in the middle of everything. After a fork the parent
 * goes on with what it had in its hands while the child tries to disturb it.
 *
 * Locks: none. Fork: child.c.
 */
#include "soak.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COPY_ROWS 3000

/* ---- administration ------------------------------------------------------------------------- */

static void look(void)
{
	tine_pool_stats stats;

	step("looks at the status");
	if (tine_pool_status(pool, &stats) != 0)
		fail("tine_pool_status failed");
	if (stats.open > LIMIT || stats.open < 0 || stats.busy > LIMIT)
		fail("the pool has %d connections open, %d busy, with a limit of %d", stats.open,
		     stats.busy, LIMIT);
	if (stats.waiting < 0 || stats.waiting > options.threads + 1)
		fail("%d wait, with %d threads", stats.waiting, options.threads);
}

static void sweep(void)
{
	step("sweeps");
	tine_pool_sweep(pool);
}

/* Other shares, the same limit. */
static void resize(void)
{
	int kept = 1 + (int)random_below((uint64_t)LIMIT);
	tine_error error;

	step("resizes");
	if (tine_pool_resize(pool, kept, LIMIT - kept, &error) != 0)
		fail("tine_pool_resize: %s", error.text);
}

static void pause_and_resume(void)
{
	static _Atomic pid_t pausing; /* the process whose thread does; a child inherits it */
	int how = chance(50) ? TINE_PAUSE_BLOCK : TINE_PAUSE_FAIL;
	int wait_ms = chance(50) ? -1 : (int)random_below(30);
	tine_error error = { 0 };
	int rc;

	/* One at a time: whoever resumes ends it for all. */
	if (atomic_exchange(&pausing, self.pid) == self.pid)
		return;
	step("pauses");
	atomic_store(&self.process->paused_ns, now_ns());
	rc = tine_pool_pause(pool, how, wait_ms, &error);
	if (rc != 0 && !(rc == TINE_E_TIMEOUT && wait_ms >= 0))
		fail("tine_pool_pause: %s", error.text);
	step("resumes");
	atomic_store(&self.process->paused_ns, now_ns());
	tine_pool_resume(pool);
	atomic_store(&pausing, 0);
}

static void dispose(void)
{
	step("disposes");
	tine_pool_dispose(pool, chance(50) ? TINE_DISPOSE_CLOSE : TINE_DISPOSE_ABANDON);
}

/* Freed before or after its connection came back. */
static void own_pool(void)
{
	tine_pool *own = pool_make(true);
	bool early = chance(50);
	tine_error error = { 0 };
	tine_conn *conn;
	struct held held;

	step("has a pool of its own");
	if (tine_pool_acquire(own, -1, &conn, &error) < 0) {
		refused(&error, -1);
		tine_pool_free(own);
		return;
	}
	hold(&held, conn, tine_conn_pg(conn));
	if (early)
		tine_pool_free(own);
	ask(&held);
	give(&held);
	if (!early)
		tine_pool_free(own);
}

/* ---- forks ---------------------------------------------------------------------------------- */

/* What the parent is in the middle of. */
struct middle {
	const char *name;
	enum outcome (*begin)(const struct held *held);
	enum outcome (*end)(const struct held *held);
};

static __thread char pending[SEVERAL][NONCE_BYTES];

static enum outcome nothing(const struct held *held)
{
	return ask_once(held);
}

static enum outcome begin_transaction(const struct held *held)
{
	if (run(held, "begin") == LOST)
		return LOST;
	return run(held, "insert into soak_ghost values ('forked')");
}

static enum outcome end_transaction(const struct held *held)
{
	if (ask_once(held) == LOST)
		return LOST;
	return run(held, "rollback");
}

static enum outcome begin_results(const struct held *held)
{
	return send_several(held, pending);
}

static enum outcome end_results(const struct held *held)
{
	return read_several(held, pending, SEVERAL);
}

static enum outcome begin_copy(const struct held *held)
{
	char sql[3 * NONCE_BYTES];
	enum outcome outcome = RIGHT;
	PGresult *result;

	next_nonce(pending[0]);
	snprintf(sql, sizeof(sql), "copy (select '%s' from generate_series(1, %d)) to stdout",
		 pending[0], COPY_ROWS);
	result = PQexec(held->pg, sql);
	if (PQresultStatus(result) != PGRES_COPY_OUT)
		outcome = trouble(held, result, "copy out");
	PQclear(result);
	return outcome;
}

static enum outcome end_copy(const struct held *held)
{
	size_t length = strlen(pending[0]);
	enum outcome outcome = RIGHT;
	PGresult *result;
	int rows = 0, got;
	char *row;

	while ((got = PQgetCopyData(held->pg, &row, 0)) > 0) {
		if ((size_t)got != length + 1 || memcmp(row, pending[0], length) != 0)
			fail("wrong answer on session %d: a row of a copy is '%.60s', not '%s'",
			     held->backend, row, pending[0]);
		PQfreemem(row);
		rows++;
	}
	result = PQgetResult(held->pg);
	if (got == -1 && PQresultStatus(result) == PGRES_COMMAND_OK && rows != COPY_ROWS)
		fail("wrong answer on session %d: %d rows of %d", held->backend, rows, COPY_ROWS);
	PQclear(PQgetResult(held->pg));
	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		outcome = trouble(held, result, "the end of a copy");
	PQclear(result);
	return outcome;
}

static const struct middle middles[] = {
	{ "forks with a connection", nothing, nothing },
	{ "forks in a transaction", begin_transaction, end_transaction },
	{ "forks before reading results", begin_results, end_results },
	{ "forks in a copy", begin_copy, end_copy },
};

static void fork_holding(void)
{
	const struct middle *middle = &middles[random_below(4)];
	struct held held;
	pid_t child;

	if (!take(&held, -1))
		return;
	step(middle->name);
	if (middle->begin(&held) == LOST) {
		give_back(&held);
		return;
	}
	child = child_fork(&held, NULL, NULL);
	if (middle->end(&held) == RIGHT)
		ask(&held);
	give(&held);
	child_await(child);
}

static void fork_without(void)
{
	pid_t child = child_fork(NULL, NULL, NULL);
	struct held held;

	if (take(&held, -1)) {
		ask(&held);
		give_back(&held);
	}
	child_await(child);
}

static void fork_acquiring(void)
{
	tine_error error = { 0 };
	tine_acquire *acquire;
	tine_conn *conn = NULL;
	struct held held;
	pid_t child;
	int rc;

	step("forks in an acquire");
	if (tine_pool_acquire_start(pool, -1, &acquire, &error) != 0)
		fail("tine_pool_acquire_start: %s", error.text);
	rc = tine_acquire_poll(acquire, &conn, &error);
	child = child_fork(NULL, acquire, NULL);
	while (rc == TINE_PENDING) {
		struct pollfd pollfd = { .fd = tine_acquire_fd(acquire), .events = POLLIN };

		poll(&pollfd, 1, -1);
		rc = tine_acquire_poll(acquire, &conn, &error);
		step("polls");
	}
	tine_acquire_cancel(acquire);
	if (rc == 0) {
		hold(&held, conn, tine_conn_pg(conn));
		ask(&held);
		give_back(&held);
	} else {
		refused(&error, -1);
	}
	child_await(child);
}

static void fork_in_scope(void)
{
	TINE_SCOPE(scope, pool, TINE_SCOPE_SCRIPT, "forks");
	tine_error error = { 0 };
	PGconn *pg = tine_scope_conn(scope, &error);
	struct held held;
	pid_t child;

	step("forks in a scope");
	if (!pg) {
		not_committed(&error);
		return;
	}
	hold(&held, NULL, pg);
	if (ask_once(&held) == LOST)
		return;
	child = child_fork(NULL, NULL, scope);
	ask(&held);
	child_await(child);
}

struct forking {
	pid_t child;
	bool is_child;
};

static int fork_inside(PGconn *pg, void *arg, tine_error *error)
{
	struct forking *forking = arg;
	struct held held;
	pid_t child;

	(void)error;
	hold(&held, NULL, pg);
	if (ask_once(&held) == LOST)
		return TINE_E_LOST;
	if (!forking->child) {
		child = child_fork_here();
		forking->is_child = child == 0;
		forking->child = child;
	}
	if (forking->is_child)
		return chance(50) ? 0 : 1;
	return ask(&held) == LOST ? TINE_E_LOST : 0;
}

/* The child comes out of the transaction too, and has no part in it. */
static void fork_in_transaction(void)
{
	struct forking forking = { 0 };
	tine_transact_options how;
	tine_error error = { 0 };
	int rc;

	tine_transact_options_init(&how);
	how.backoff_first_ms = 5;
	how.backoff_max_ms = 50;
	step("forks in a transaction");
	rc = tine_transact(pool, fork_inside, &forking, &how, &error);
	if (forking.is_child) {
		if (rc != TINE_E_FORKED)
			fail("in the child tine_transact returned %s", tine_status_name(rc));
		child_end();
	}
	if (rc != 0)
		not_committed(&error);
	if (forking.child > 0)
		child_await(forking.child);
}

const struct act tricks[] = {
	{ "look", 10, look, false },
	{ "sweep", 5, sweep, false },
	{ "resize", 3, resize, false },
	{ "pause", 1, pause_and_resume, false },
	{ "dispose", 1, dispose, false },
	{ "own pool", 3, own_pool, false },
	{ "fork holding", 8, fork_holding, true },
	{ "fork without", 2, fork_without, true },
	{ "fork acquiring", 3, fork_acquiring, true },
	{ "fork in scope", 2, fork_in_scope, true },
	{ "fork in transaction", 2, fork_in_transaction, true },
	{ "missed fork", 2, trick_missed_fork, true },
	{ "spawn", 3, trick_spawn, true },
	{ 0 },
};
