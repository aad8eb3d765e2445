/* SPDX-License-Identifier: PostgreSQL */
#include "pool/transaction.h"

#include <string.h>

#include "base/clock.h"
#include "pool/error.h"
#include "pool/liveness.h"
#include "pool/pool.h"
#include "pool/slot.h"
#include "pool/statement.h"

/* ---- begin ---------------------------------------------------------------------------------- */

/* That a transaction may have begun on a connection that is lost is of no consequence. */
static int begin_once(tine_pool *pool, int wait_ms, const char *begin, tine_conn **ret_conn,
		      tine_error *error)
{
	tine_error local;
	tine_conn *conn;
	int rc = tine_pool_acquire(pool, wait_ms, &conn, error);

	if (rc < 0)
		return rc;
	rc = tine_statement_run(conn, begin, NULL, &local);
	if (rc == 0) {
		*ret_conn = conn;
		return 0;
	}
	tine_conn_release(conn);
	if (rc == TINE_E_IN_DOUBT)
		local.status = TINE_E_LOST;
	return tine_error_copy(error, &local);
}

/* What is left of a time, at least 1: 0 would mean something else. */
static int remaining_ms(int64_t deadline_ns)
{
	int ms = tine_clock_poll_ms(deadline_ns, tine_clock_ns());

	return ms > 0 ? ms : 1;
}

static int begin_replacing(tine_pool *pool, int wait_ms, const char *begin, tine_conn **ret_conn,
			   tine_error *error)
{
	int64_t deadline_ns;
	int rc;

	if (!pool)
		return tine_error_set(error, TINE_E_INVALID, "pool is NULL");
	if (wait_ms < 0)
		wait_ms = pool->config.acquire_timeout_ms;
	deadline_ns = tine_clock_ns() + (int64_t)wait_ms * TINE_NS_PER_MS;
	rc = begin_once(pool, wait_ms, begin, ret_conn, error);
	if (rc != TINE_E_LOST)
		return rc;
	return begin_once(pool, wait_ms ? remaining_ms(deadline_ns) : 0, begin, ret_conn, error);
}

int tine_transaction_begin(tine_pool *pool, int wait_ms, const char *begin, const char *label,
			   const void *site, tine_conn **ret_conn, tine_error *error)
{
	int cancel_state, rc;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
	rc = begin_replacing(pool, wait_ms, begin, ret_conn, error);
	pthread_setcancelstate(cancel_state, NULL);
	if (rc < 0)
		return rc;
	atomic_store_explicit(&(*ret_conn)->slot->site, site, memory_order_relaxed);
	tine_conn_label(*ret_conn, label);
	return 0;
}

/* ---- loss ----------------------------------------------------------------------------------- */

int tine_transaction_tell_loss(const tine_conn *conn, tine_error *error)
{
	const struct tine_slot *slot = conn->slot;

	tine_error_set_result(error, slot->pool->pq, slot->pg, NULL);
	if (error && !error->sqlstate[0])
		memcpy(error->sqlstate, slot->last_sqlstate, sizeof(error->sqlstate));
	return TINE_E_LOST;
}

/* ---- commit --------------------------------------------------------------------------------- */

static int aborted(const struct tine_slot *slot, tine_error *error)
{
	tine_error_set(error, TINE_E_ABORTED,
		       "rolled back: a statement of the transaction had "
		       "failed%s%s",
		       slot->last_sqlstate[0] ? " with " : "", slot->last_sqlstate);
	if (error)
		memcpy(error->sqlstate, slot->last_sqlstate, sizeof(error->sqlstate));
	return TINE_E_ABORTED;
}

static int left_open(tine_conn *conn, tine_error *error, const char *what)
{
	tine_conn_invalidate(conn);
	return tine_error_set(error, TINE_E_ABORTED, "rolled back, and the connection closed: %s",
			      what);
}

/* The server has said its farewell, or the socket has ended, since the last statement: known
 * before COMMIT is sent, this leaves no doubt. */
static int found_lost(tine_conn *conn, const tine_error *cause, tine_error *error)
{
	const struct tine_slot *slot = conn->slot;

	if (slot->pool->pq->status(slot->pg) == CONNECTION_BAD) {
		tine_conn_release(conn);
	} else {
		/* libpq has not seen the end itself yet, and would go on with it. */
		tine_pool_suspect(slot->pool, false);
		tine_conn_invalidate(conn);
	}
	return tine_error_copy(error, cause);
}

static int send_commit(tine_conn *conn, tine_error *error)
{
	char command[TINE_COMMAND_BYTES];
	tine_error local = { 0 };
	int rc;

	if (!tine_liveness_peek(conn->slot, &local)) {
		local.status = TINE_E_LOST;
		return found_lost(conn, &local, error);
	}
	rc = tine_statement_run(conn, "COMMIT", command, error);
	if (rc == 0 && strcmp(command, "COMMIT") != 0)
		rc = aborted(conn->slot, error);
	tine_conn_release(conn);
	return rc;
}

static int commit(tine_conn *conn, PGconn *pg, tine_error *error)
{
	const struct tine_pq *pq = conn->slot->pool->pq;
	int rc;

	if (pq->pipeline_status(pg) != PQ_PIPELINE_OFF)
		return left_open(conn, error, "it was left in pipeline mode");
	switch (pq->transaction_status(pg)) {
	case PQTRANS_IDLE:
		tine_conn_release(conn);
		return 0;
	case PQTRANS_INTRANS:
		return send_commit(conn, error);
	case PQTRANS_INERROR:
		/* The return rolls back, and nobody has to wait for it. */
		rc = aborted(conn->slot, error);
		tine_conn_release(conn);
		return rc;
	case PQTRANS_ACTIVE:
		return left_open(conn, error,
				 "a statement's results were not read to the end, or a COPY was "
				 "not ended");
	default:
		rc = tine_transaction_tell_loss(conn, error);
		tine_conn_release(conn);
		return rc;
	}
}

int tine_transaction_commit(tine_conn *conn, tine_error *error)
{
	PGconn *pg = tine_conn_pg(conn);
	int cancel_state, rc;

	if (!pg)
		return tine_error_set(error, TINE_E_FORKED,
				      "the transaction belongs to an ancestor of this process");
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
	rc = commit(conn, pg, error);
	pthread_setcancelstate(cancel_state, NULL);
	return rc;
}
