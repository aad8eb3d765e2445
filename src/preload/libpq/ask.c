/* SPDX-License-Identifier: PostgreSQL */
#include "preload/libpq/ask.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "preload/libpq/trace.h"

/* How often it is sent again. A statement_timeout that is too short for it ends it the same way. */
#define CANCELS_MAX 20

#define BETWEEN_NS (10 * (int64_t)TINE_NS_PER_S)

static bool wait_for(const struct tine_record *record, short events, int64_t until_ns)
{
	struct pollfd waits = { .fd = record->copy->real.PQsocket(record->conn), .events = events };
	int rc;

	do
		rc = poll(&waits, 1, tine_clock_poll_ms(until_ns, tine_clock_ns()));
	while (rc < 0 && errno == EINTR);
	return rc > 0;
}

static bool send_step(const struct tine_record *record, const struct tine_journal_step *step)
{
	const struct tine_real *real = &record->copy->real;

	return step->name ? real->PQsendPrepare(record->conn, step->name, step->sql,
						step->types_count, step->types)
			  : real->PQsendQuery(record->conn, step->sql);
}

static bool flush(const struct tine_record *record, int64_t until_ns)
{
	const struct tine_real *real = &record->copy->real;
	int left;

	while ((left = real->PQflush(record->conn)) > 0)
		if (!wait_for(record, POLLIN | POLLOUT, until_ns) ||
		    !real->PQconsumeInput(record->conn))
			return false;
	return left == 0;
}

struct answer {
	int rows;
	bool has_error;
	bool is_cancelled;
};

static bool is_cancelled(const struct tine_real *real, const PGresult *result)
{
	const char *state = real->PQresultErrorField(result, PG_DIAG_SQLSTATE);

	return state && strcmp(state, "57014") == 0;
}

/* @return 1 a result, 0 no more, -1 too late, or nothing that an answer begins with */
static int next_result(const struct tine_record *record, int64_t until_ns, struct answer *ret)
{
	const struct tine_real *real = &record->copy->real;
	ExecStatusType status;
	PGresult *result;

	while (real->PQisBusy(record->conn))
		if (!wait_for(record, POLLIN, until_ns) || !real->PQconsumeInput(record->conn))
			return -1;
	result = real->PQgetResult(record->conn);
	if (!result)
		return 0;
	status = real->PQresultStatus(result);
	ret->rows += real->PQntuples(result);
	ret->has_error |= status == PGRES_FATAL_ERROR;
	ret->is_cancelled |= is_cancelled(real, result);
	real->PQclear(result);
	return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK ||
			       status == PGRES_EMPTY_QUERY || status == PGRES_FATAL_ERROR
		       ? 1
		       : -1;
}

/* @return the answer is read to its end */
static bool ask_once(const struct tine_record *record, const struct tine_journal_step *step,
		     int64_t until_ns, struct answer *ret)
{
	int next = -1;

	*ret = (struct answer){ 0 };
	if (send_step(record, step) && flush(record, until_ns))
		while ((next = next_result(record, until_ns, ret)) > 0)
			;
	return next == 0;
}

int tine_ask_rows(struct tine_record *record, const struct tine_journal_step *step,
		  int64_t until_ns)
{
	const struct tine_real *real = &record->copy->real;
	int was_nonblocking = real->PQisnonblocking(record->conn), tries = 0;
	bool is_whole = false, was_shown = tine_trace_hide(record);
	struct answer answer;

	if (real->PQsetnonblocking(record->conn, 1) == 0)
		do
			is_whole = ask_once(record, step, until_ns, &answer);
		while (is_whole && answer.is_cancelled && ++tries < CANCELS_MAX);
	real->PQsetnonblocking(record->conn, was_nonblocking);
	if (was_shown)
		tine_trace_show(record);
	/* The server's unnamed statement does not outlive a text. */
	if (!step->name)
		tine_journal_set_owed(&record->session.journal, "", true);
	return is_whole && !answer.has_error && real->PQstatus(record->conn) == CONNECTION_OK
		       ? answer.rows
		       : -1;
}

int tine_ask_between(struct tine_record *record, const struct tine_journal_step *step)
{
	const struct tine_real *real = &record->copy->real;
	bool was_inside = record->inside;
	int rows;

	record->inside = true;
	rows = tine_ask_rows(record, step, tine_clock_ns() + BETWEEN_NS);
	record->inside = was_inside;
	if (rows < 0 && real->PQtransactionStatus(record->conn) == PQTRANS_ACTIVE)
		shutdown(real->PQsocket(record->conn), SHUT_RDWR);
	return rows;
}

bool tine_ask(struct tine_record *record, const struct tine_journal_step *step, int64_t until_ns)
{
	return tine_ask_rows(record, step, until_ns) >= 0;
}
