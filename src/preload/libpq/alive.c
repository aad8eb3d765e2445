/* SPDX-License-Identifier: PostgreSQL */
#include "preload/libpq/alive.h"

#include <errno.h>
#include <string.h>

#include "base/peek.h"
#include "preload/libpq/ask.h"
#include "preload/libpq/budget.h"
#include "preload/libpq/cancel.h"
#include "preload/libpq/common.h"
#include "preload/libpq/past.h"
#include "preload/libpq/reopen.h"
#include "preload/libpq/trace.h"

#define PING_TIMEOUT_NS (2 * (int64_t)TINE_NS_PER_S)
/* What is read at one look: a farewell has several records, and then the end. */
#define READS 8

static bool is_on(const struct tine_record *record, const char *name)
{
	const char *value = record->copy->real.PQparameterStatus(record->conn, name);

	return value && strcmp(value, "on") == 0;
}

/* The second is the server's word only as long as the program has not set anything. */
static bool is_read_only(const struct tine_record *record)
{
	return is_on(record, "in_hot_standby") || (!record->session.journal.settings.first &&
						   is_on(record, "default_transaction_read_only"));
}

void tine_alive_note_role(struct tine_record *record)
{
	tine_common_begin(record);
	record->session.is_read_only = is_read_only(record);
}

/* Idle as libpq sees it, in a state that can be had again, and the number still that of its socket:
 * a program that closed it itself must not have the next file taken for a connection. */
static bool may_judge(const struct tine_record *record)
{
	const struct tine_real *real = &record->copy->real;
	const PGconn *conn = record->conn;

	if (!record->session.is_open || record->session.is_unsynced ||
	    tine_journal_obstacle(&record->session.journal) != TINE_OBSTACLE_NONE ||
	    real->PQstatus(conn) != CONNECTION_OK ||
	    real->PQtransactionStatus(conn) != PQTRANS_IDLE ||
	    tine_session_in_pipeline(record) || real->PQsocket(conn) != record->session.fd)
		return false;
	if (tine_record_inherited(record))
		return tine_reopen_owns(record);
	return tine_session_holds(record);
}

/* Let libpq read what has come: notifications, parameters, a farewell. It does not interpret it
 * before it is asked for something, so a farewell's text is not shown to anybody.
 * @return 1 it goes on, and something came; 0 nothing did; -1 it is over */
static int read_what_came(struct tine_reopening *work)
{
	const struct tine_record *record = work->record;
	const struct tine_real *real = &record->copy->real;
	int seen = tine_peek(record->session.fd), came = seen;
	bool was_due = tine_past_is_due(record);

	if (seen > 0)
		tine_reopen_prepare(work);
	for (int i = 0; seen > 0 && i < READS; i++) {
		if (!real->PQconsumeInput(record->conn) ||
		    real->PQstatus(record->conn) != CONNECTION_OK)
			return -1;
		seen = tine_peek(record->session.fd);
	}
	/* The answer to a reset is a sign of life, and nothing was behind it. */
	if (was_due && !tine_past_is_due(record))
		came = 0;
	return seen < 0 ? -1 : came;
}

static bool wants_ping(const struct tine_record *record, int64_t idle_ns)
{
	int64_t learned_ns = tine_common_silence_ns(record) / 4 * 3;

	return record->session.deaths != tine_common_deaths(record) ||
	       tine_lend_is_due(record, tine_clock_coarse_ns()) ||
	       idle_ns >= (learned_ns && learned_ns < tine_level.ping_idle_ns
				   ? learned_ns
				   : tine_level.ping_idle_ns);
}

static bool answers_ping(struct tine_reopening *work, int64_t idle_ns)
{
	struct tine_record *record = work->record;
	unsigned seen = tine_common_deaths(record);

	tine_reopen_prepare(work);
	if (tine_ask(record, &(struct tine_journal_step){ .sql = "" },
		     tine_clock_ns() + PING_TIMEOUT_NS)) {
		record->session.deaths = seen;
		tine_common_answered(record, idle_ns);
		return true;
	}
	tine_common_fell_silent(record, idle_ns);
	return false;
}

/* What was lent we have closed ourselves, and told so. */
static void note_end(const struct tine_record *record, enum tine_cause cause)
{
	bool is_lent = tine_lend_is_due(record, tine_clock_coarse_ns());

	if (!record->used_ns)
		return;
	tine_budget_ended(record, is_lent ? TINE_CAUSE_IDLE : cause);
	if (!is_lent)
		tine_common_died(record);
}

static enum tine_reopen_why judge(struct tine_reopening *work)
{
	struct tine_record *record = work->record;
	int64_t idle_ns = tine_clock_ns() - record->used_ns;
	int came;

	if (tine_record_inherited(record))
		return TINE_REOPEN_INHERITED;
	came = read_what_came(work);
	if (came >= 0 && (came > 0 || wants_ping(record, idle_ns)) && !answers_ping(work, idle_ns))
		came = -1;
	if (came < 0) {
		note_end(record, TINE_CAUSE_DEAD);
		return TINE_REOPEN_DEAD;
	}
	if (record->session.is_read_only || !is_read_only(record))
		return TINE_REOPEN_NOT;
	note_end(record, TINE_CAUSE_ROLE);
	return TINE_REOPEN_DEMOTED;
}

void tine_alive_ensure(struct tine_record *record, bool is_sent)
{
	struct tine_reopening work = { .record = record };
	int saved_errno = errno;
	enum tine_reopen_why why;
	bool was_shown;

	if (may_judge(record)) {
		record->inside = true;
		tine_cancel_hold(record);
		was_shown = tine_trace_hide(record);
		/* libpq has forgotten it when it has found the connection dead. */
		work.is_nonblocking = record->copy->real.PQisnonblocking(record->conn);
		work.is_brief = is_sent || work.is_nonblocking;
		why = judge(&work);
		if (why != TINE_REOPEN_NOT)
			tine_reopen(&work, why);
		else
			tine_reopen_leave(&work);
		if (record->lending.is_told)
			tine_lend_look(record);
		if (was_shown)
			tine_trace_show(record);
		tine_cancel_let(record);
		record->inside = false;
	}
	errno = saved_errno;
}
