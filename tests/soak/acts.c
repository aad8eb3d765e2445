/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a thread does in its turns: ways to get a connection, and ways to give it back, from the
 * orderly to the careless. Rarer things are in tricks.c.
 *
 * Rows that are written in transactions are the oracle of their ends: of soak_ghost none may ever
 * be committed, and each of soak_kept whose commit succeeded must be there.
 *
 * Locks: none. Fork: in a child's turns those acts are left out that start processes.
 */
#include "soak.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool take(struct held *held, int wait_ms)
{
	tine_error error = { 0 };
	tine_conn *conn = NULL;

	step(wait_ms < 0 ? "acquires" : "acquires in a hurry");
	if (tine_pool_acquire(pool, wait_ms, &conn, &error) < 0) {
		refused(&error, wait_ms);
		return false;
	}
	hold(held, conn, tine_conn_pg(conn));
	if (chance(10))
		tine_conn_label(conn, "soak");
	return true;
}

static void expect_ok(int rc, const char *what)
{
	if (rc != 0)
		fail("%s returned %s", what, tine_status_name(rc));
}

void give_back(struct held *held)
{
	step("releases");
	expect_ok(tine_conn_release(held->conn), "tine_conn_release");
}

static void invalidate(struct held *held)
{
	step("invalidates");
	expect_ok(tine_conn_invalidate(held->conn), "tine_conn_invalidate");
}

static void detach(struct held *held)
{
	PGconn *pg;

	step("detaches");
	pg = tine_conn_detach(held->conn);
	if (pg != held->pg)
		fail("tine_conn_detach gave another PGconn than tine_conn_pg");
	if (PQstatus(pg) == CONNECTION_OK && PQtransactionStatus(pg) == PQTRANS_IDLE)
		ask_once(held);
	PQfinish(pg);
}

/* However the connection is: mostly released. */
void give(struct held *held)
{
	uint64_t at = random_below(100);

	if (at < 94)
		give_back(held);
	else if (at < 98)
		invalidate(held);
	else
		detach(held);
}

/* ---- with a connection of the pool ---------------------------------------------------------- */

static void plain(void)
{
	struct held held;

	for (uint64_t left = 1 + random_below(8); left > 0 && take(&held, -1); left--) {
		ask(&held);
		give_back(&held);
	}
}

static void hurried(void)
{
	struct held held;

	if (!take(&held, (int)random_below(40)))
		return;
	ask(&held);
	give_back(&held);
}

static void closing(void)
{
	struct held held;

	if (!take(&held, -1))
		return;
	ask(&held);
	if (chance(70))
		invalidate(&held);
	else
		detach(&held);
}

static enum outcome insert(const struct held *held, const char *table, const char *nonce)
{
	char sql[4 * NONCE_BYTES];

	snprintf(sql, sizeof(sql), "insert into %s values ('%s')", table, nonce);
	return run(held, sql);
}

/* A row that nobody may ever see. */
static enum outcome write_ghost(const struct held *held)
{
	char nonce[NONCE_BYTES];

	next_nonce(nonce);
	return insert(held, "soak_ghost", nonce);
}

static void open_transaction(void)
{
	struct held held;

	if (!take(&held, -1))
		return;
	step("leaves a transaction open");
	if (run(&held, "begin") == RIGHT && write_ghost(&held) == RIGHT)
		ask(&held);
	give(&held);
}

static void failed_transaction(void)
{
	struct held held;
	PGresult *result;

	if (!take(&held, -1))
		return;
	step("leaves a failed transaction");
	if (run(&held, "begin") == RIGHT && write_ghost(&held) == RIGHT) {
		const char *state;

		result = PQexec(held.pg, "select 1 / 0");
		state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
		if (!state || strcmp(state, "22012") != 0)
			trouble(&held, result, "a division by zero");
		PQclear(result);
	}
	give(&held);
}

static void unread_results(void)
{
	char sql[3 * NONCE_BYTES];
	struct held held;

	if (!take(&held, -1))
		return;
	step("leaves results unread");
	snprintf(sql, sizeof(sql), "select 'unread'; select repeat('unread', %d); select 'unread'",
		 (int)random_below(20000));
	if (!PQsendQuery(held.pg, sql))
		trouble(&held, NULL, "sending");
	else if (chance(50))
		PQclear(PQgetResult(held.pg));
	give(&held);
}

/* With a reset of the session nothing that its last user left may be found. */
static void session_state(void)
{
	struct held held;
	PGresult *result;

	if (options.reset == TINE_RESET_ROLLBACK || !take(&held, -1))
		return;
	step("leaves state in the session");
	result = PQexec(held.pg, "select coalesce(current_setting('soak.mark', true), '')");
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		trouble(&held, result, "current_setting");
	else if (*PQgetvalue(result, 0, 0))
		fail("the session %d still has a setting of its last user", held.backend);
	/* The last two fail where their objects exist. */
	else if (run(&held, "set soak.mark to 'left'") == RIGHT &&
		 run(&held, "prepare soak as select 1") == RIGHT && chance(20))
		run(&held, "create temporary table soak (number int)");
	PQclear(result);
	give(&held);
}

static void open_pipeline(void)
{
	struct held held;

	if (!take(&held, -1))
		return;
	step("leaves a pipeline open");
	if (!PQenterPipelineMode(held.pg) ||
	    !PQsendQueryParams(held.pg, "select 'unread'", 0, NULL, NULL, NULL, NULL, 0) ||
	    !PQpipelineSync(held.pg))
		trouble(&held, NULL, "sending a pipeline");
	give(&held);
}

static void copy_out(const struct held *held)
{
	PGresult *result =
		PQexec(held->pg, "copy (select 'unread' from generate_series(1, 5000)) to stdout");
	char *row = NULL;

	if (PQresultStatus(result) != PGRES_COPY_OUT)
		trouble(held, result, "copy out");
	else if (PQgetCopyData(held->pg, &row, 0) > 0)
		PQfreemem(row);
	PQclear(result);
}

static void copy_in(const struct held *held)
{
	PGresult *result = PQexec(held->pg, "copy soak_ghost from stdin");

	if (PQresultStatus(result) != PGRES_COPY_IN)
		trouble(held, result, "copy in");
	else
		PQputCopyData(held->pg, "ghost\n", 6);
	PQclear(result);
}

static void unfinished_copy(void)
{
	struct held held;

	if (!take(&held, -1))
		return;
	step("leaves a copy unfinished");
	if (chance(50))
		copy_out(&held);
	else
		copy_in(&held);
	give(&held);
}

/* ---- without waiting ------------------------------------------------------------------------ */

static void wait_for_news(const tine_acquire *acquire)
{
	struct pollfd pollfd = { .fd = tine_acquire_fd(acquire), .events = POLLIN };

	if (pollfd.fd < 0)
		fail("tine_acquire_fd returned %d", pollfd.fd);
	poll(&pollfd, 1, -1);
}

/* @param patience  after so many polls that give nothing it is cancelled
 * @return false when it was refused or cancelled */
static bool take_polling(struct held *held, uint64_t patience)
{
	tine_error error = { 0 };
	tine_conn *conn = NULL;
	tine_acquire *acquire;
	int rc;

	step("begins an acquire");
	expect_ok(tine_pool_acquire_start(pool, -1, &acquire, &error), "tine_pool_acquire_start");
	while ((rc = tine_acquire_poll(acquire, &conn, &error)) == TINE_PENDING && patience-- > 0) {
		wait_for_news(acquire);
		step("polls");
	}
	if (rc == 0)
		hold(held, conn, tine_conn_pg(conn));
	else if (rc < 0)
		refused(&error, -1);
	else
		count(CANCELS);
	step("cancels or ends the acquire");
	tine_acquire_cancel(acquire);
	return rc == 0;
}

static void polling(void)
{
	struct held held;

	if (!take_polling(&held, UINT64_MAX))
		return;
	ask(&held);
	give(&held);
}

static void cancelling(void)
{
	struct held held;

	if (!take_polling(&held, random_below(6)))
		return;
	ask(&held);
	give(&held);
}

/* ---- scopes and transactions ---------------------------------------------------------------- */

/* After a commit that succeeded the row is there; it is taken out again. */
static void expect_kept(const char *nonce, int rows)
{
	char sql[4 * NONCE_BYTES];
	struct held held;
	PGresult *result;

	if (!take(&held, -1))
		return;
	step("looks for the committed row");
	snprintf(sql, sizeof(sql), "delete from soak_kept where nonce = '%s'", nonce);
	result = PQexec(held.pg, sql);
	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		trouble(&held, result, "delete");
	else if (atoi(PQcmdTuples(result)) != rows)
		fail("%s rows of a transaction are there, not %d", PQcmdTuples(result), rows);
	PQclear(result);
	give_back(&held);
}

void not_committed(const tine_error *error)
{
	if (error->status != TINE_E_LOST && error->status != TINE_E_IN_DOUBT) {
		refused(error, -1);
		return;
	}
	atomic_fetch_add(&board->refused[-error->status], 1);
	if (!lately_explained())
		fail("not committed: %s %s: %s", tine_status_name(error->status), error->sqlstate,
		     error->text);
}

static void end_scope(tine_scope *scope, const char *nonce)
{
	tine_error error = { 0 };

	if (chance(50)) {
		step("ends a scope without commit");
		tine_scope_end(scope);
		expect_kept(nonce, 0);
		return;
	}
	step("commits a scope");
	if (tine_scope_commit(scope, &error) < 0) {
		not_committed(&error);
		tine_scope_end(scope);
		if (error.status != TINE_E_IN_DOUBT)
			expect_kept(nonce, 0);
		return;
	}
	count(COMMITS);
	tine_scope_end(scope);
	expect_kept(nonce, 1);
}

static void scoped(void)
{
	tine_scope *scope = tine_scope_begin(pool, TINE_SCOPE_REQUEST, "soak");
	tine_error error = { 0 };
	char nonce[NONCE_BYTES];
	struct held held;
	PGconn *pg;

	step("asks a scope for its connection");
	pg = tine_scope_conn(scope, &error);
	if (!pg) {
		not_committed(&error);
		tine_scope_end(scope);
		return;
	}
	hold(&held, NULL, pg);
	next_nonce(nonce);
	if (insert(&held, "soak_kept", nonce) == RIGHT && ask(&held) == RIGHT)
		end_scope(scope, nonce);
	else
		tine_scope_end(scope);
}

static void empty_scope(void)
{
	TINE_SCOPE(scope, pool, TINE_SCOPE_TASK, NULL);

	step("has a scope that needs nothing");
	expect_ok(tine_scope_commit(scope, NULL), "the commit of a scope without a connection");
}

struct deed {
	char nonce[NONCE_BYTES];
	bool commit;
};

static int do_deed(PGconn *pg, void *arg, tine_error *error)
{
	struct deed *deed = arg;
	struct held held;

	(void)error;
	step("is inside a transaction");
	hold(&held, NULL, pg);
	/* Each attempt writes a row of its own. */
	next_nonce(deed->nonce);
	if (insert(&held, deed->commit ? "soak_kept" : "soak_ghost", deed->nonce) == LOST ||
	    ask(&held) == LOST)
		return TINE_E_LOST;
	return deed->commit ? 0 : 1;
}

static void transaction(void)
{
	struct deed deed = { .commit = chance(70) };
	tine_transact_options how;
	tine_error error = { 0 };
	int rc;

	tine_transact_options_init(&how);
	how.backoff_first_ms = 5;
	how.backoff_max_ms = 50;
	step("transacts");
	rc = tine_transact(pool, do_deed, &deed, &how, &error);
	if (rc == 0 && !deed.commit)
		fail("a transaction was committed that was to be rolled back");
	if (rc == 0) {
		count(COMMITS);
		expect_kept(deed.nonce, 1);
	} else if (deed.commit || rc != TINE_E_ABORTED) {
		not_committed(&error);
	}
}

const struct act acts[] = {
	{ "plain", 600, plain, false },
	{ "hurried", 60, hurried, false },
	{ "polling", 80, polling, false },
	{ "cancelling", 30, cancelling, false },
	{ "closing", 12, closing, false },
	{ "open transaction", 30, open_transaction, false },
	{ "failed transaction", 12, failed_transaction, false },
	{ "unread results", 12, unread_results, false },
	{ "open pipeline", 6, open_pipeline, false },
	{ "session state", 20, session_state, false },
	{ "unfinished copy", 8, unfinished_copy, false },
	{ "scoped", 50, scoped, false },
	{ "empty scope", 10, empty_scope, false },
	{ "transaction", 50, transaction, false },
	{ 0 },
};

static bool may_do(const struct act *act)
{
	return !act->forks ||
	       (options.forks && self.depth < DEPTH_MAX && self.process->role != MASTER);
}

static unsigned weigh(const struct act *table)
{
	unsigned sum = 0;

	for (const struct act *act = table; act->name; act++)
		sum += may_do(act) ? act->weight : 0;
	return sum;
}

static const struct act *pick(const struct act *table, uint64_t at)
{
	const struct act *act = table;

	while (!may_do(act) || at >= act->weight) {
		at -= may_do(act) ? act->weight : 0;
		act++;
	}
	return act;
}

void turn(void)
{
	unsigned usual = weigh(acts), rare = weigh(tricks);
	uint64_t at = random_below(usual + rare);

	count(TURNS);
	if (options.bare)
		bare_turn();
	else if (at < usual)
		pick(acts, at)->run();
	else
		pick(tricks, at - usual)->run();
	if (options.breaks)
		defect_turn();
}
