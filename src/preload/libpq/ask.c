/* SPDX-License-Identifier: PostgreSQL */
#include "preload/libpq/ask.h"

#include <errno.h>
#include <poll.h>

#include "base/clock.h"

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
};

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
	real->PQclear(result);
	return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK ||
			       status == PGRES_EMPTY_QUERY || status == PGRES_FATAL_ERROR
		       ? 1
		       : -1;
}

int tine_ask_rows(struct tine_record *record, const struct tine_journal_step *step,
		  int64_t until_ns)
{
	const struct tine_real *real = &record->copy->real;
	int was_nonblocking = real->PQisnonblocking(record->conn), next = -1;
	struct answer answer = { 0 };

	if (real->PQsetnonblocking(record->conn, 1) == 0 && send_step(record, step) &&
	    flush(record, until_ns))
		while ((next = next_result(record, until_ns, &answer)) > 0)
			;
	real->PQsetnonblocking(record->conn, was_nonblocking);
	return next == 0 && !answer.has_error && real->PQstatus(record->conn) == CONNECTION_OK
		       ? answer.rows
		       : -1;
}

bool tine_ask(struct tine_record *record, const struct tine_journal_step *step, int64_t until_ns)
{
	return tine_ask_rows(record, step, until_ns) >= 0;
}
