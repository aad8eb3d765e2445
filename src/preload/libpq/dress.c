/* SPDX-License-Identifier: PostgreSQL */
#include "preload/libpq/dress.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/clock.h"
#include "base/peek.h"
#include "preload/libpq/trace.h"

struct hearing {
	const struct tine_real *real;
	bool is_farewell;
};

/* What the server says to a connection that nobody has; libpq would print it. */
static void hear(void *arg, const PGresult *result)
{
	struct hearing *hearing = arg;
	const char *severity =
		hearing->real->PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);

	if (severity && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0))
		hearing->is_farewell = true;
}

void tine_dress_note(struct tine_record *record)
{
	const struct tine_real *real = &record->copy->real;
	struct tine_stay *stay = &record->stay;

	/* NULL asks without changing anything. A new connection has libpq's own, without argument.
	 */
	stay->own_receiver = real->PQsetNoticeReceiver(record->conn, NULL, NULL);
	stay->own_processor = real->PQsetNoticeProcessor(record->conn, NULL, NULL);
	tine_dress_hears(record, stay->own_receiver, NULL);
}

void tine_dress_hears(struct tine_record *record, PQnoticeReceiver receiver, void *argument)
{
	record->stay.receiver = receiver;
	record->stay.receiver_argument = argument;
}

static void drop_notifications(const struct tine_real *real, PGconn *conn)
{
	PGnotify *notify;

	while ((notify = real->PQnotifies(conn)) != NULL)
		real->PQfreemem(notify);
}

bool tine_dress_restore(struct tine_record *record)
{
	const struct tine_real *real = &record->copy->real;
	PGconn *conn = record->conn;
	struct hearing hearing = { .real = real };

	/* What libpq has read and not taken apart, PQfinish() would have thrown away. */
	real->PQsetNoticeReceiver(conn, hear, &hearing);
	drop_notifications(real, conn);
	tine_dress_hears(record, record->stay.own_receiver, NULL);
	real->PQsetNoticeReceiver(conn, record->stay.own_receiver, NULL);
	real->PQsetNoticeProcessor(conn, record->stay.own_processor, NULL);
	real->PQsetErrorVerbosity(conn, PQERRORS_DEFAULT);
	if (real->PQsetErrorContextVisibility)
		real->PQsetErrorContextVisibility(conn, PQSHOW_CONTEXT_ERRORS);
	tine_trace_end(record);
	return !hearing.is_farewell && real->PQsetnonblocking(conn, 0) == 0;
}

int tine_dress_await(const struct tine_record *record, int64_t until_ns)
{
	struct pollfd wait = { .fd = record->copy->real.PQsocket(record->conn), .events = POLLIN };
	int ready;

	do
		ready = poll(&wait, 1, tine_clock_poll_ms(until_ns, tine_clock_ns()));
	while (ready < 0 && errno == EINTR);
	return ready;
}

static bool is_good(ExecStatusType status)
{
	return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK ||
	       status == PGRES_EMPTY_QUERY;
}

/* What has come is read first: mostly it is all, and costs no poll(). */
static int read_answers(const struct tine_record *record, int64_t until_ns)
{
	const struct tine_real *real = &record->copy->real;
	PGconn *conn = record->conn;
	PGresult *result;
	int good = 1;

	for (;;) {
		while (real->PQisBusy(conn)) {
			if (!real->PQconsumeInput(conn))
				return -1;
			if (!real->PQisBusy(conn))
				break;
			if (!until_ns)
				return 0;
			if (tine_dress_await(record, until_ns) <= 0)
				return -1;
		}
		result = real->PQgetResult(conn);
		if (!result)
			break;
		if (!is_good(real->PQresultStatus(result)))
			good = -1;
		real->PQclear(result);
	}
	return real->PQstatus(conn) == CONNECTION_OK ? good : -1;
}

int tine_dress_read(struct tine_record *record, int64_t until_ns)
{
	const struct tine_real *real = &record->copy->real;
	PGconn *conn = record->conn;
	struct hearing hearing = { .real = real };
	int rc;

	real->PQsetNoticeReceiver(conn, hear, &hearing);
	rc = read_answers(record, until_ns);
	/* The program may have it already, between PQconnectStart() and PQconnectPoll(). */
	real->PQsetNoticeReceiver(conn, record->stay.receiver, record->stay.receiver_argument);
	drop_notifications(real, conn);
	return hearing.is_farewell ? -1 : rc;
}

static int peek(const struct tine_record *record)
{
	return tine_peek(record->copy->real.PQsocket(record->conn));
}

bool tine_dress_has_input(const struct tine_record *record)
{
	return peek(record) != 0;
}

bool tine_dress_is_dead(struct tine_record *record)
{
	int seen = peek(record);

	if (seen <= 0)
		return seen < 0;
	/* Parameters, notifications and TLS tickets are signs of life; after them there is nothing
	 * more, or the end. */
	return !record->copy->real.PQconsumeInput(record->conn) || tine_dress_read(record, 0) < 0 ||
	       peek(record) < 0;
}
