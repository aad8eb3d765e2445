/* SPDX-License-Identifier: PostgreSQL */
#include "preload/libpq/lend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/hot.h"
#include "base/peek.h"
#include "preload/fdtable.h"
#include "preload/libpq/alive.h"
#include "preload/libpq/ask.h"
#include "preload/libpq/budget.h"
#include "preload/libpq/foresee.h"
#include "preload/libpq/login.h"
#include "preload/libpq/watch.h"

/* As libtine's lend_after_ms. */
#define AFTER_MS 30000
#define LEAST_MS 1000
/* For who has more than its share. What is sent within three quarters of it is not preceded by a
 * question, and has the rest to arrive. */
#define SOON_MS 2000
#define LATE_MS 2000

/* A pooler has made up the process that it says the session is of. Servers before PostgreSQL 14 do
 * not know the setting. */
#define TELL                                                                                       \
	"SELECT pg_catalog.set_config(name, '%d', false) FROM pg_catalog.pg_settings WHERE name "  \
	"= 'idle_session_timeout' AND setting = '0' AND source IN ('default', 'configuration "     \
	"file') AND pg_catalog.pg_backend_pid() = %d"

#define UNTELL "SET idle_session_timeout = 0"

/* Only what we have told: the program may have set another one since. */
#define UNTELL_OURS                                                                                \
	"SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings WHERE name = " \
	"'idle_session_timeout' AND setting = '%d' AND source = 'session'"

/* What DISCARD ALL does, which cannot be sent together with anything else. */
#define RESET                                                                                      \
	"CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; DEALLOCATE ALL; UNLISTEN *; "    \
	"SELECT pg_catalog.pg_advisory_unlock_all(); DISCARD PLANS; DISCARD TEMP; DISCARD "        \
	"SEQUENCES; SET idle_session_timeout = %d"

_Atomic bool tine_lend_any TINE_HOT;

static int after_ms; /* 0: this is off */
static int soon_ms;  /* not more than that */
static char reset[sizeof(RESET) + 12], reset_soon[sizeof(RESET) + 12];

void tine_lend_start(const struct tine_settings *settings)
{
	after_ms = settings->lend_after_ms < 0 ? AFTER_MS : settings->lend_after_ms;
	if (!tine_level.revive)
		after_ms = 0;
	else if (after_ms && after_ms < LEAST_MS)
		after_ms = LEAST_MS;
	soon_ms = after_ms < SOON_MS ? after_ms : SOON_MS;
	snprintf(reset, sizeof(reset), RESET, after_ms);
	snprintf(reset_soon, sizeof(reset_soon), RESET, soon_ms);
}

static int64_t quiet_ns(int of_ms)
{
	return (of_ms / 4 < LATE_MS ? of_ms - of_ms / 4 : of_ms - LATE_MS) *
	       (int64_t)TINE_NS_PER_MS;
}

bool tine_lend_is_soon(const struct tine_record *record)
{
	return record->lending.is_told && record->lending.after_ms == soon_ms;
}

/* ---- telling -------------------------------------------------------------------------------- */

static int ask(struct tine_record *record, const char *sql)
{
	return tine_ask_between(record, &(struct tine_journal_step){ .sql = sql });
}

static bool is_replication(const struct tine_record *record)
{
	const struct tine_real *real = &record->copy->real;
	PQconninfoOption *options = real->PQconninfo(record->conn);
	bool is_it = !options || tine_files_option(options, "replication");

	real->PQconninfoFree(options);
	return is_it;
}

static bool may_tell(const struct tine_record *record)
{
	const char *version =
		record->copy->real.PQparameterStatus(record->conn, "server_version");

	/* "9.6", or "1.18.0/bouncer": no server whose number has one digit knows it. */
	return after_ms && !record->lending.is_never && tine_budget_is_limited(record) &&
	       version && version[0] >= '1' && version[0] <= '9' && version[1] >= '0' &&
	       version[1] <= '9' && (version[0] > '1' || version[1] >= '4') &&
	       !is_replication(record);
}

#define TELL_BYTES (sizeof(TELL) + 24)

static void write_tell(const struct tine_record *record, char ret_sql[TELL_BYTES])
{
	snprintf(ret_sql, TELL_BYTES, TELL, record->lending.after_ms,
		 record->copy->real.PQbackendPID(record->conn));
}

/* @return is it told now, and was not? */
static bool tell(struct tine_record *record)
{
	char sql[TELL_BYTES];

	write_tell(record, sql);
	return ask(record, sql) > 0;
}

bool tine_lend_listens(const struct tine_record *record)
{
	struct tine_journal_walk walk = { 0 };
	struct tine_journal_step step;

	while (tine_journal_next(&record->session.journal, &walk, &step))
		if (!step.name && strncasecmp(step.sql, "listen", strlen("listen")) == 0)
			return true;
	return false;
}

static void choose(struct tine_lending *lending)
{
	lending->after_ms = tine_budget_is_over_share() ? soon_ms : after_ms;
	lending->quiet_ns = quiet_ns(lending->after_ms);
	lending->heard_ns = tine_clock_coarse_ns();
}

static bool begin(struct tine_record *record)
{
	struct tine_lending *lending = &record->lending;

	*lending = (struct tine_lending){ .is_never = lending->is_never };
	if (!may_tell(record) || tine_lend_listens(record))
		return false;
	choose(lending);
	return true;
}

static void note_told(struct tine_lending *lending, bool is_told)
{
	lending->is_able = lending->is_told = is_told;
	if (is_told)
		tine_lend_any = true;
}

void tine_lend_begin(struct tine_record *record)
{
	if (begin(record))
		note_told(&record->lending, tell(record));
}

bool tine_lend_begin_in_steps(struct tine_record *record)
{
	char sql[TELL_BYTES];

	if (!begin(record))
		return false;
	write_tell(record, sql);
	record->lending.is_telling = record->copy->real.PQsendQuery(record->conn, sql);
	return record->lending.is_telling;
}

/* @return is it the last one? */
static bool read_telling(struct tine_record *record)
{
	const struct tine_real *real = &record->copy->real;
	PGresult *result;

	if (!real->PQconsumeInput(record->conn))
		return true;
	while (!real->PQisBusy(record->conn)) {
		result = real->PQgetResult(record->conn);
		if (!result)
			return true;
		record->lending.is_able |= real->PQntuples(result) > 0;
		real->PQclear(result);
	}
	return false;
}

PostgresPollingStatusType tine_lend_poll(struct tine_record *record)
{
	struct tine_lending *lending = &record->lending;

	if (record->copy->real.PQflush(record->conn) > 0)
		return PGRES_POLLING_WRITING;
	if (!read_telling(record))
		return PGRES_POLLING_READING;
	lending->is_telling = false;
	record->used_ns = lending->heard_ns = tine_clock_coarse_ns();
	note_told(lending, lending->is_able);
	return PGRES_POLLING_OK;
}

/* ---- telling otherwise ---------------------------------------------------------------------- */

static void untell(struct tine_record *record)
{
	struct tine_lending *lending = &record->lending;
	char ours[sizeof(UNTELL_OURS) + 12];

	if (tine_record_inherited(record) || !record->session.is_open)
		return;
	switch (record->copy->real.PQtransactionStatus(record->conn)) {
	case PQTRANS_IDLE:
		snprintf(ours, sizeof(ours), UNTELL_OURS, lending->after_ms);
		lending->is_told = ask(record, lending->is_unsure ? ours : UNTELL) < 0;
		lending->is_unsure = lending->is_told;
		break;
	case PQTRANS_INTRANS:
		lending->is_unsure = true;
		ask(record, UNTELL);
		break;
	default:
		lending->is_unsure = true;
		break;
	}
}

void tine_lend_before(struct tine_record *record, struct tine_statement *statement)
{
	switch (tine_foresee(&record->session.journal, statement)) {
	case TINE_FORESEEN_TIE:
		untell(record);
		break;
	case TINE_FORESEEN_RESET:
		record->lending.is_reset = true;
		break;
	case TINE_FORESEEN_NOTHING:
		break;
	}
}

void tine_lend_never(struct tine_record *record)
{
	untell(record);
}

/* The program has not asked yet what libpq has to say of its own statement. */
static void put_message_back(struct tine_record *record, char *message)
{
	if (strcmp(message, record->copy->real.PQerrorMessage(record->conn)) == 0) {
		free(message);
		return;
	}
	tine_login_put_message(record, message);
}

void tine_lend_after(struct tine_record *record)
{
	const struct tine_session *session = &record->session;
	const struct tine_real *real = &record->copy->real;
	bool is_due, is_reset = record->lending.is_reset;
	char *message;

	if (real->PQtransactionStatus(record->conn) != PQTRANS_IDLE || session->due)
		return;
	/* The second is for what was not foreseen. */
	is_due = record->lending.is_unsure ||
		 tine_journal_obstacle(&session->journal) != TINE_OBSTACLE_NONE;
	record->lending.is_reset = false;
	if (!is_due && !is_reset)
		return;
	message = strdup(real->PQerrorMessage(record->conn));
	if (is_due)
		untell(record);
	else
		tell(record);
	if (message)
		put_message_back(record, message);
}

/* ---- who looks at it while it is idle -------------------------------------------------------- */

void tine_lend_look(struct tine_record *record)
{
	if (record->lending.is_looked || !tine_fd_watched)
		return;
	record->lending.is_looked = true;
	if (!tine_watch_is_on(record->session.fd, record->session.inode))
		return;
	record->lending.is_never = true;
	untell(record);
}

void tine_lend_hear(struct tine_record *record)
{
	if (!tine_lend_is_due(record, tine_clock_coarse_ns()) || tine_record_inherited(record) ||
	    record->copy->real.PQtransactionStatus(record->conn) != PQTRANS_IDLE ||
	    !tine_session_holds(record) || tine_peek(record->session.fd) == 0)
		return;
	record->lending.is_never = true;
	tine_alive_ensure(record, true);
}

/* ---- the pool ------------------------------------------------------------------------------- */

const char *tine_lend_reset_sql(struct tine_record *record)
{
	struct tine_lending *lending = &record->lending;

	if (!lending->is_able || lending->is_never)
		return "DISCARD ALL";
	choose(lending);
	lending->is_told = true;
	lending->is_unsure = false;
	return lending->after_ms == after_ms ? reset : reset_soon;
}
