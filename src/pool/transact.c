/* SPDX-License-Identifier: PostgreSQL */
/*
 * tine_transact(): a function in a transaction, tried again where the server asks for it and where
 * that is known to be safe.
 *
 * What was not committed can be tried again; what may have been is not: after COMMIT was sent only
 * an ERROR of the server says that it did not happen. A transaction that the function has ended
 * itself is not tried again either.
 *
 * Locks: the pool's, for a moment at the beginning and the end: a pool that is freed meanwhile
 * stays until this has left it. Threads: one that is cancelled, or ends, inside the function or
 * between two attempts leaves nothing behind. Fork: a child that comes out of the function has no
 * part in the transaction, and gets TINE_E_FORKED.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/random.h"
#include "fork/origin.h"
#include "pool/error.h"
#include "pool/pool.h"
#include "pool/transaction.h"

#define MOST_ATTEMPTS 100
#define LONGEST_MS (24 * 60 * 60 * 1000)
#define SIZE_MAX_BYTES 4096 /* no struct of that name will be larger */
#define BEGIN_BYTES 64

#define SERIALIZATION_FAILURE "40001"
#define DEADLOCK "40P01"

/* ---- options -------------------------------------------------------------------------------- */

/* The name of the function is also that of a macro. */
void(tine_transact_options_init)(tine_transact_options *options, size_t size_bytes)
{
	const tine_transact_options initial = {
		.size = size_bytes,
		.max_attempts = 5,
		.backoff_first_ms = 1000,
		.backoff_max_ms = 10000,
		.wait_ms = -1,
	};

	memset(options, 0, size_bytes);
	memcpy(options, &initial, size_bytes < sizeof(initial) ? size_bytes : sizeof(initial));
}

static int check_range(const char *name, int value, int least, int most, tine_error *error)
{
	if (value >= least && value <= most)
		return 0;
	return tine_error_set(error, TINE_E_INVALID, "%s: %d is not a number from %d to %d", name,
			      value, least, most);
}

static int check_values(const tine_transact_options *options, tine_error *error)
{
	int rc = check_range("max_attempts", options->max_attempts, 1, MOST_ATTEMPTS, error);

	if (rc == 0)
		rc = check_range("backoff_first_ms", options->backoff_first_ms, 0, LONGEST_MS,
				 error);
	if (rc == 0)
		rc = check_range("backoff_max_ms", options->backoff_max_ms, 0, LONGEST_MS, error);
	if (rc == 0)
		rc = check_range("wait_ms", options->wait_ms, -1, LONGEST_MS, error);
	if (rc == 0)
		rc = check_range("isolation", options->isolation, TINE_ISOLATION_DEFAULT,
				 TINE_ISOLATION_SERIALIZABLE, error);
	if (rc == 0 && options->backoff_max_ms < options->backoff_first_ms)
		rc = tine_error_set(error, TINE_E_INVALID,
				    "backoff_max_ms: %d is less than backoff_first_ms, %d",
				    options->backoff_max_ms, options->backoff_first_ms);
	return rc;
}

/* The program's struct may be of an older header or a newer one than this library. */
static int take_options(const tine_transact_options *options, tine_transact_options *ret_full,
			tine_error *error)
{
	tine_transact_options_init(ret_full);
	if (!options)
		return 0;
	if (options->size <= offsetof(tine_transact_options, max_attempts) ||
	    options->size > SIZE_MAX_BYTES)
		return tine_error_set(error, TINE_E_INVALID,
				      "the options were not initialised with "
				      "tine_transact_options_init()");
	for (size_t i = sizeof(*options); i < options->size; i++)
		if (((const char *)options)[i])
			return tine_error_set(error, TINE_E_INVALID,
					      "an option is not known to this version of libtine, "
					      "which is older than its header");
	memcpy(ret_full, options,
	       options->size < sizeof(*ret_full) ? options->size : sizeof(*ret_full));
	return check_values(ret_full, error);
}

static void write_begin(const tine_transact_options *options, char begin[BEGIN_BYTES])
{
	static const char *const isolation[] = {
		[TINE_ISOLATION_DEFAULT] = "",
		[TINE_ISOLATION_READ_COMMITTED] = " ISOLATION LEVEL READ COMMITTED",
		[TINE_ISOLATION_REPEATABLE_READ] = " ISOLATION LEVEL REPEATABLE READ",
		[TINE_ISOLATION_SERIALIZABLE] = " ISOLATION LEVEL SERIALIZABLE",
	};

	snprintf(begin, BEGIN_BYTES, "BEGIN%s%s", isolation[options->isolation],
		 options->read_only ? " READ ONLY" : "");
}

/* ---- one attempt ---------------------------------------------------------------------------- */

struct run {
	tine_pool *pool;
	uint32_t generation; /* of the pool when it began: another one is that of a child */
	tine_conn *conn;     /* while an attempt has one */
	tine_transact_fn fn;
	void *arg;
	const void *site;
	tine_transact_options options;
	char begin[BEGIN_BYTES];
	int attempt;      /* from 1 */
	tine_error error; /* of the last attempt */
};

static bool is_retry_state(const char *sqlstate)
{
	return strcmp(sqlstate, SERIALIZATION_FAILURE) == 0 || strcmp(sqlstate, DEADLOCK) == 0;
}

/* Has nothing been committed, for certain, and is there hope that it will be? */
static bool is_worth_another(const tine_error *error)
{
	switch (error->status) {
	case TINE_E_LOST:
	case TINE_E_CONNECT:
	case TINE_E_CONNECT_TIMEOUT:
	case TINE_E_STARTING:
	case TINE_E_TOO_MANY:
		return true;
	case TINE_E_SQL:
	case TINE_E_ABORTED:
		return is_retry_state(error->sqlstate);
	default:
		return false;
	}
}

/* The function's own words come first, libpq's where it said nothing. */
static void tell_failure(struct run *run, int status)
{
	const struct tine_slot *slot = run->conn->slot;
	const char *sqlstate = slot->last_sqlstate;
	tine_error said = run->error;

	if (said.text[0])
		tine_error_set(&run->error, status, "%s", said.text);
	else
		tine_error_set_message(&run->error, status,
				       slot->pool->pq->error_message(slot->pg));
	if (!run->error.text[0])
		tine_error_set(&run->error, status, "the function of the transaction failed%s%s",
			       *sqlstate ? " after an error of the server, " : "", sqlstate);
	memcpy(run->error.sqlstate, sqlstate, sizeof(run->error.sqlstate));
	run->error.os_errno = said.os_errno;
}

/* The function did not want a commit: because of the server, or for a reason of its own, which is
 * final. What it has ended itself may be committed. @return true when it is worth another attempt
 */
static bool explain_failure(struct run *run, int rc)
{
	const struct tine_slot *slot = run->conn->slot;
	const struct tine_pq *pq = slot->pool->pq;
	bool lost = pq->status(slot->pg) == CONNECTION_BAD;
	bool asked = is_retry_state(slot->last_sqlstate) &&
		     pq->transaction_status(slot->pg) != PQTRANS_IDLE;

	if (lost)
		tell_failure(run, TINE_E_LOST);
	else if (asked)
		tell_failure(run, TINE_E_SQL);
	else
		tell_failure(run, rc < 0 ? rc : TINE_E_ABORTED);
	return lost || asked;
}

/* Commit what the function wants committed, else roll back; in a child of the function's neither.
 * @return true when it is worth another attempt */
static bool finish(struct run *run, int rc)
{
	tine_conn *conn = run->conn;
	bool again;

	if (rc != 0 && tine_conn_pg(conn)) {
		again = explain_failure(run, rc);
		run->conn = NULL;
		tine_conn_release(conn);
		return again;
	}
	run->error = (tine_error){ 0 };
	run->conn = NULL;
	if (tine_transaction_commit(conn, &run->error) == TINE_E_FORKED)
		tine_conn_release(conn);
	return is_worth_another(&run->error);
}

/* @return true when it is worth another */
static bool attempt(struct run *run)
{
	const tine_transact_options *options = &run->options;

	run->error = (tine_error){ 0 };
	if (tine_transaction_begin(run->pool, options->wait_ms, run->begin, options->name,
				   run->site, &run->conn, &run->error) < 0)
		return is_worth_another(&run->error);
	return finish(run, run->fn(tine_conn_pg(run->conn), run->arg, &run->error));
}

/* ---- all of them ---------------------------------------------------------------------------- */

/* Twice as long each time, less up to half at random, so that those who failed together do not come
 * back together. */
static int64_t pause_ns(const struct run *run)
{
	int64_t pause_ms = run->options.backoff_first_ms;

	for (int i = 1; i < run->attempt && pause_ms < run->options.backoff_max_ms; i++)
		pause_ms *= 2;
	if (pause_ms > run->options.backoff_max_ms)
		pause_ms = run->options.backoff_max_ms;
	pause_ms *= TINE_NS_PER_MS;
	return pause_ms - (int64_t)tine_random((uint64_t)pause_ms / 2 + 1);
}

static void back_off(const struct run *run)
{
	int64_t until_ns = tine_clock_ns() + pause_ns(run);
	struct timespec until = { until_ns / TINE_NS_PER_S, until_ns % TINE_NS_PER_S };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
		continue;
}

static void try_until_over(struct run *run)
{
	for (run->attempt = 1; attempt(run) && run->attempt < run->options.max_attempts;
	     run->attempt++)
		back_off(run);
}

static void enter(struct run *run)
{
	tine_pool_enter(run->pool);
	tine_pool_lock(run->pool);
	run->generation = atomic_load(&run->pool->generation);
	run->pool->calls++;
	tine_pool_unlock(run->pool);
}

/* On every way out. A thread that ends in the function may have been inside libpq, whose state then
 * says nothing. A child counts its own calls only. */
static void leave(void *arg)
{
	struct run *run = arg;

	tine_conn_invalidate(run->conn);
	if (!tine_origin_changed() && atomic_load(&run->pool->generation) == run->generation)
		tine_pool_leave(run->pool);
}

static int report(const struct run *run, tine_error *error)
{
	const tine_error *last = &run->error;
	tine_error whole;

	if (run->attempt == 1 || last->status == 0)
		return last->status ? tine_error_copy(error, last) : 0;
	tine_error_set(&whole, last->status, "attempt %d of %d: %s", run->attempt,
		       run->options.max_attempts, last->text);
	whole.os_errno = last->os_errno;
	memcpy(whole.sqlstate, last->sqlstate, sizeof(whole.sqlstate));
	return tine_error_copy(error, &whole);
}

int tine_transact(tine_pool *pool, tine_transact_fn fn, void *arg,
		  const tine_transact_options *options, tine_error *error)
{
	struct run run = {
		.pool = pool, .fn = fn, .arg = arg, .site = __builtin_return_address(0)
	};
	int rc;

	if (!pool || !fn)
		return tine_error_set(error, TINE_E_INVALID, "tine_transact: %s is NULL",
				      pool ? "fn" : "pool");
	rc = take_options(options, &run.options, error);
	if (rc < 0)
		return rc;
	write_begin(&run.options, run.begin);
	enter(&run);
	pthread_cleanup_push(leave, &run);
	try_until_over(&run);
	pthread_cleanup_pop(1);
	return report(&run, error);
}
