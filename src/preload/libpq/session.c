/* SPDX-License-Identifier: PostgreSQL */
#include "preload/libpq/session.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/hot.h"
#include "preload/fdtable.h"
#include "preload/libpq/alive.h"
#include "preload/libpq/fill.h"
#include "preload/track.h"

bool tine_session_in_pipeline(const struct tine_record *record)
{
	const struct tine_real *real = &record->copy->real;

	return real->PQpipelineStatus && real->PQpipelineStatus(record->conn) != PQ_PIPELINE_OFF;
}

TINE_HOT_CODE
static char transaction(const struct tine_record *record)
{
	switch (record->copy->real.PQtransactionStatus(record->conn)) {
	case PQTRANS_IDLE:
		return 'I';
	case PQTRANS_INTRANS:
		return 'T';
	case PQTRANS_INERROR:
		return 'E';
	default:
		return 'A';
	}
}

void tine_session_note_socket(struct tine_record *record)
{
	struct tine_session *session = &record->session;
	struct stat st = { 0 };

	session->fd = record->copy->real.PQsocket(record->conn);
	if (fstat(session->fd, &st) < 0)
		st.st_ino = 0;
	session->device = st.st_dev;
	session->inode = st.st_ino;
	tine_track_leave(session->fd);
}

bool tine_session_holds(const struct tine_record *record)
{
	const struct tine_session *session = &record->session;
	struct stat st;

	return session->fd >= 0 && record->copy->real.PQsocket(record->conn) == session->fd &&
	       fstat(session->fd, &st) == 0 && st.st_ino == session->inode &&
	       st.st_dev == session->device;
}

bool tine_session_is_untouched(const struct tine_record *record)
{
	const struct tine_session *session = &record->session;
	uint64_t word = tine_fd_word(session->fd);

	return record->copy->real.PQsocket(record->conn) == session->fd &&
	       (word & TINE_FD_STATE_MASK) == TINE_FD_POSTGRES &&
	       word >> TINE_FD_INODE_SHIFT == session->inode;
}

void tine_session_say_transaction(const struct tine_record *record)
{
	const struct tine_session *session = &record->session;
	uint64_t transaction = TINE_FD_TX_IDLE;

	if (!session->is_open || tine_record_inherited(record))
		return;
	if (record->stay.place == TINE_STAY_PARKED)
		transaction = TINE_FD_TX_KEPT;
	else if (session->due || session->is_unsynced)
		transaction = TINE_FD_TX_BUSY;
	else if (session->journal.in_block)
		transaction = TINE_FD_TX_OPEN;
	tine_track_say(session->fd, session->inode, transaction);
}

/* ---- syncs ---------------------------------------------------------------------------------- */

static bool make_room(struct tine_syncs *syncs)
{
	unsigned room = syncs->room ? syncs->room * 2 : 16;
	unsigned *before;

	if (syncs->end < syncs->room)
		return true;
	before = realloc(syncs->before, room * sizeof(*before));
	if (!before)
		return false;
	syncs->before = before;
	syncs->room = room;
	return true;
}

void tine_session_sync_sent(struct tine_record *record)
{
	struct tine_session *session = &record->session;
	struct tine_syncs *syncs = &session->syncs;

	if (!session->is_open)
		return;
	if (!make_room(syncs)) {
		tine_journal_confuse(&session->journal);
		return;
	}
	syncs->before[syncs->end++] = syncs->behind;
	syncs->behind = 0;
	session->is_unsynced = false;
}

/* Of those that are not answered before the next sync, or at all. */
static unsigned *next_due(struct tine_syncs *syncs)
{
	return syncs->first < syncs->end ? &syncs->before[syncs->first] : &syncs->behind;
}

static void end_sync(struct tine_syncs *syncs)
{
	if (syncs->first < syncs->end)
		syncs->first++;
	if (syncs->first == syncs->end)
		syncs->first = syncs->end = 0;
}

/* ---- a session ------------------------------------------------------------------------------ */

void tine_session_begin(struct tine_record *record)
{
	const struct tine_real *real = &record->copy->real;
	struct tine_session *session = &record->session;
	const char *standard = real->PQparameterStatus(record->conn, "standard_conforming_strings");

	tine_session_end(record);
	tine_journal_init(&session->journal, standard && strcmp(standard, "on") == 0,
			  real->PQparameterStatus(record->conn, "client_encoding"));
	tine_journal_options(&session->journal, real->PQoptions(record->conn));
	tine_session_note_socket(record);
	session->born_ns = tine_clock_ns();
	record->used_ns = tine_clock_coarse_ns();
	session->is_open = true;
	tine_alive_note_role(record);
}

void tine_session_end(struct tine_record *record)
{
	if (record->session.is_open)
		tine_journal_clear(&record->session.journal);
	free(record->session.syncs.before);
	record->session = (struct tine_session){ .fd = -1, .server = -1 };
}

TINE_HOT_CODE
static void answered(struct tine_record *record, bool good)
{
	struct tine_session *session = &record->session;

	tine_journal_answered(&session->journal, good, transaction(record));
	session->due--;
	if (*next_due(&session->syncs))
		--*next_due(&session->syncs);
	session->saw_result = session->saw_error = false;
}

/* PQexec() throws away what was not fetched before it; and who has seen the last result need not
 * ask for the NULL behind it. How such a statement ended is not known. */
void tine_session_settle(struct tine_record *record)
{
	struct tine_session *session = &record->session;

	if (!session->is_open || !session->due || tine_session_in_pipeline(record))
		return;
	if (session->journal.sent.first)
		tine_journal_confuse(&session->journal);
	while (session->due)
		answered(record, true);
	session->is_unsynced = false;
}

TINE_HOT_CODE
static void tell(struct tine_journal *journal, const struct tine_statement *statement)
{
	const char *text;

	switch (statement->kind) {
	case TINE_QUERY:
		if (statement->reading == TINE_UNREAD)
			tine_journal_sent(journal, tine_fill(journal, statement, statement->sql));
		else
			tine_journal_sent_harmless(journal, statement->reading != TINE_IS_PLAIN,
						   statement->reading == TINE_LEAVES_TRACES);
		break;
	case TINE_PREPARE:
		tine_journal_prepared(journal, statement->name, statement->sql, statement->count,
				      statement->types);
		break;
	case TINE_EXECUTE:
		text = tine_journal_text(journal, statement->name);
		tine_journal_executed(journal, tine_fill(journal, statement, text));
		break;
	case TINE_CLOSE:
		tine_journal_closed(journal, statement->name);
		break;
	case TINE_FUNCTION:
		tine_journal_called(journal);
		break;
	default:
		tine_journal_other(journal);
		break;
	}
}

TINE_HOT_CODE
static void note_sent(struct tine_session *session, const struct tine_statement *statement)
{
	tell(&session->journal, statement);
	session->due++;
	session->syncs.behind++;
}

void tine_session_sent(struct tine_record *record, const struct tine_statement *statement)
{
	if (!record->session.is_open)
		return;
	note_sent(&record->session, statement);
	if (tine_session_in_pipeline(record))
		record->session.is_unsynced = true;
}

static bool is_error(ExecStatusType status)
{
	return status == PGRES_BAD_RESPONSE || status == PGRES_FATAL_ERROR ||
	       status == PGRES_PIPELINE_ABORTED;
}

/* An error that is of no statement, since all before the sync are answered. */
static bool is_syncs_own(const struct tine_session *session)
{
	const struct tine_syncs *syncs = &session->syncs;

	return session->saw_error && syncs->first < syncs->end && !syncs->before[syncs->first];
}

/* In a pipeline NULL comes between two statements, and for ever when there are no more. */
TINE_HOT_CODE
void tine_session_result(struct tine_record *record, const PGresult *result)
{
	struct tine_session *session = &record->session;
	ExecStatusType status;

	if (!session->is_open)
		return;
	if (!result && is_syncs_own(session)) {
		tine_journal_sync_failed(&session->journal);
		session->saw_result = session->saw_error = false;
		return;
	}
	if (!result) {
		if (session->due && (session->saw_result || !tine_session_in_pipeline(record))) {
			answered(record, session->saw_result && !session->saw_error);
			/* Outside it was sent with a sync, which ended what was before it. */
			session->is_unsynced =
				session->is_unsynced && tine_session_in_pipeline(record);
		}
		return;
	}
	status = record->copy->real.PQresultStatus(result);
	if (status == PGRES_PIPELINE_SYNC) {
		end_sync(&session->syncs);
		tine_journal_synced(&session->journal, transaction(record));
		return;
	}
	session->saw_result = true;
	session->saw_error |= is_error(status);
}

static bool goes_on(ExecStatusType status)
{
	return status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH;
}

void tine_session_asked(struct tine_record *record, const struct tine_statement *statement,
			const PGresult *result)
{
	struct tine_session *session = &record->session;

	/* In a pipeline libpq refuses whatever would wait for its answer, and sends nothing. */
	if (!session->is_open || tine_session_in_pipeline(record))
		return;
	/* Not sent, as far as can be known: there was no text, or no connection. */
	if (!result) {
		tine_journal_confuse(&session->journal);
		return;
	}
	note_sent(session, statement);
	session->is_unsynced = false;
	tine_session_result(record, result);
	/* COPY: the program goes on, and fetches the last result by PQgetResult(). */
	if (goes_on(record->copy->real.PQresultStatus(result)))
		return;
	answered(record, session->saw_result && !session->saw_error);
}
