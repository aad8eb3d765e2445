/* SPDX-License-Identifier: PostgreSQL */
#include "preload/libpq/use.h"

#include "base/clock.h"
#include "base/hot.h"
#include "preload/libpq/alive.h"
#include "preload/libpq/budget.h"
#include "preload/libpq/common.h"
#include "preload/libpq/lend.h"
#include "preload/libpq/login.h"
#include "preload/libpq/park.h"
#include "preload/libpq/reopen.h"
#include "preload/libpq/wrap.h"

/* What a statement looks at of a record comes from memory while other things are done. */
TINE_HOT_CODE
static struct tine_record *find_soon(const PGconn *conn)
{
	struct tine_record *record = tine_record_find(conn);

	if (record) {
		__builtin_prefetch(record);
		__builtin_prefetch(&record->session);
		__builtin_prefetch(&record->session.journal.bytes);
	}
	return record;
}

/* @param is_sent  the program goes on meanwhile, and fetches the answer later */
TINE_HOT_CODE
static struct tine_record *begin(const struct tine_copy *copy, PGconn *conn, bool is_sent)
{
	struct tine_record *record;

	tine_guard_enter();
	record = find_soon(conn);
	if (!record || record->copy != copy || record->inside)
		return NULL;
	/* A reset or a revive that was refused left the connection as it was. */
	if (record->refusal && record->session.is_open)
		tine_login_refuse(record, NULL);
	if (record->session.due)
		tine_session_settle(record);
	if (tine_level.revive && !tine_alive_is_fresh(record))
		tine_alive_ensure(record, is_sent);
	if (record->lending.is_told)
		record->lending.heard_ns = tine_clock_coarse_ns();
	if (record->seat)
		tine_budget_say_busy(record);
	return record;
}

struct tine_record *tine_use_begin(const struct tine_copy *copy, PGconn *conn)
{
	return begin(copy, conn, false);
}

TINE_HOT_CODE
static struct tine_record *use_statement(const struct tine_copy *copy, PGconn *conn,
					 struct tine_statement *statement, bool is_sent)
{
	struct tine_record *record = begin(copy, conn, is_sent);

	if (record)
		tine_park_make_way(statement);
	if (record && record->lending.is_told)
		tine_lend_before(record, statement);
	if (record && record->session.journal.owes &&
	    (statement->kind == TINE_EXECUTE || statement->kind == TINE_OTHER))
		tine_reopen_prepare_owed(record, statement->name);
	return record;
}

/* There is no session to send it to, and there may be one the next time. */
static bool is_refused(const struct tine_record *record)
{
	return record && record->refusal;
}

TINE_HOT_CODE
void tine_use_sent(struct tine_record *record, const struct tine_statement *statement, bool sent)
{
	if (record && sent)
		tine_session_sent(record, statement);
}

void tine_use_asked(struct tine_record *record, const struct tine_statement *statement,
		    const PGresult *result)
{
	if (record) {
		tine_session_asked(record, statement, result);
		tine_use_end(record);
	}
}

/* Its use has found it lost, so the older ones of the same server may be. */
static void note_loss(struct tine_record *record)
{
	if (record->session.is_open && !record->session.is_lost && !tine_record_inherited(record)) {
		tine_budget_ended(record, TINE_CAUSE_LOST);
		tine_common_died(record);
	}
	record->session.is_lost = true;
}

TINE_HOT_CODE
void tine_use_end(struct tine_record *record)
{
	if (!record)
		return;
	record->used_ns = tine_clock_coarse_ns();
	if (record->copy->real.PQstatus(record->conn) != CONNECTION_OK)
		note_loss(record);
	if (record->lending.is_told)
		tine_lend_after(record);
	if (record->seat)
		tine_budget_used(record);
}

/* A program may ask for answers where none is due, before it begins something: that is no use, and
 * no sign of life. */
TINE_HOT_CODE
static void use_answer(struct tine_record *record, const PGresult *result)
{
	bool was_due = record->session.due || !record->session.is_open;

	tine_session_result(record, result);
	if (!result && was_due)
		tine_use_end(record);
}

#define WRAPPED(type, name, parameters, arguments)

#define BEGINS(type, name, parameters, arguments, refused)                                         \
	type tine_wrap_##name(struct tine_copy *copy, TINE_UNPACK parameters)                      \
	{                                                                                          \
		struct tine_record *record = tine_use_begin(copy, conn);                           \
		type value;                                                                        \
                                                                                                   \
		if (is_refused(record))                                                            \
			return refused;                                                            \
		value = copy->real.name arguments;                                                 \
		tine_use_end(record);                                                              \
		return value;                                                                      \
	}

#define SENDS(type, name, parameters, arguments, ...)                                              \
	TINE_HOT_CODE										   \
	type tine_wrap_##name(struct tine_copy *copy, TINE_UNPACK parameters)                      \
	{                                                                                          \
		struct tine_statement statement = { __VA_ARGS__ };                                 \
		struct tine_record *record = use_statement(copy, conn, &statement, true);          \
		type sent;                                                                         \
                                                                                                   \
		if (is_refused(record))                                                            \
			return 0;                                                                  \
		sent = copy->real.name arguments;                                                  \
		tine_use_sent(record, &statement, sent);                                           \
		return sent;                                                                       \
	}

#define ASKS(type, name, parameters, arguments, ...)                                               \
	TINE_HOT_CODE										   \
	type tine_wrap_##name(struct tine_copy *copy, TINE_UNPACK parameters)                      \
	{                                                                                          \
		struct tine_statement statement = { __VA_ARGS__ };                                 \
		struct tine_record *record = use_statement(copy, conn, &statement, false);         \
		type answer;                                                                       \
                                                                                                   \
		if (is_refused(record))                                                            \
			return NULL;                                                               \
		answer = copy->real.name arguments;                                                \
		tine_use_asked(record, &statement, answer);                                        \
		return answer;                                                                     \
	}

#include "preload/libpq/functions.inc"

static void note_sync(const struct tine_copy *copy, const PGconn *conn, int sent)
{
	struct tine_record *record = sent ? tine_record_find(conn) : NULL;

	if (record && record->copy == copy && !record->inside)
		tine_session_sync_sent(record);
}

int tine_wrap_PQpipelineSync(struct tine_copy *copy, PGconn *conn)
{
	int sent = copy->real.PQpipelineSync(conn);

	note_sync(copy, conn, sent);
	return sent;
}

int tine_wrap_PQsendPipelineSync(struct tine_copy *copy, PGconn *conn)
{
	int sent = copy->real.PQsendPipelineSync(conn);

	note_sync(copy, conn, sent);
	return sent;
}

TINE_HOT_CODE
PGresult *tine_wrap_PQgetResult(struct tine_copy *copy, PGconn *conn)
{
	struct tine_record *record = find_soon(conn);
	PGresult *result = copy->real.PQgetResult(conn);

	if (record && record->copy == copy && !record->inside)
		use_answer(record, result);
	return result;
}

static void hear(const struct tine_copy *copy, const PGconn *conn)
{
	struct tine_record *record = tine_record_find(conn);

	if (record && record->copy == copy && !record->inside && record->lending.is_told) {
		tine_guard_enter();
		tine_lend_hear(record);
	}
}

TINE_HOT_CODE
int tine_wrap_PQconsumeInput(struct tine_copy *copy, PGconn *conn)
{
	if (tine_lend_any)
		hear(copy, conn);
	return copy->real.PQconsumeInput(conn);
}

int tine_wrap_PQenterPipelineMode(struct tine_copy *copy, PGconn *conn)
{
	struct tine_record *record = tine_use_begin(copy, conn);
	int rc;

	if (is_refused(record))
		return 0;
	if (record && record->lending.is_told)
		tine_lend_never(record);
	if (record && record->session.journal.owes)
		tine_reopen_prepare_all_owed(record);
	rc = copy->real.PQenterPipelineMode(conn);
	tine_use_end(record);
	return rc;
}

int tine_wrap_PQsetClientEncoding(struct tine_copy *copy, PGconn *conn, const char *encoding)
{
	struct tine_record *record = tine_use_begin(copy, conn);
	int rc;

	if (is_refused(record))
		return -1;
	rc = copy->real.PQsetClientEncoding(conn, encoding);
	if (record && record->session.is_open && rc == 0)
		tine_journal_encoded(&record->session.journal, encoding);
	tine_use_end(record);
	return rc;
}
