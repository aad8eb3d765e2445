/* SPDX-License-Identifier: PostgreSQL */
/*
 * Lending by who does nothing. Under a budget the server is told to end a session that is idle for
 * long (idle_session_timeout), so that who is in need gets its permit while its process sleeps
 * (board/ended.c). The connection is opened anew at its next use, as any that is gone (alive.h).
 *
 * Invariants
 *  - Only a session that can be had again is ended by us. The server is told when a session begins,
 *    and told otherwise before the first statement is sent that may leave what cannot be had again,
 *    or whose program waits for what the session hears (foresee.h); that is for the life of the
 *    session. Within a transaction, where no session is ended by its limit, it is told in that
 *    transaction, and once more when that is over, since a rollback undoes it. Between these two
 *    lies the only gap: advisory locks outlive the rollback of who took them, and the process would
 *    have to stand still for the whole time just there.
 *  - Who has more than it is entitled to when a session begins is given two seconds, not the whole
 *    time: so it can go on with it while it has something to do and nobody waits, and others do not
 *    wait for it when it has not.
 *  - A limit that the program, the role, the database or the server's administrator has set is left
 *    alone; so is a session that is not the login's own, behind a pooler.
 *  - What is sent is sent to a session that is surely there: before the server may be about to end
 *    one it is asked, by an empty query, which ends its idle time (alive.c).
 *  - A program that looks at its idle connection (an event loop, poll()) reads of the end there.
 *    PQconsumeInput() opens it anew then, and its sessions are not ended by us any more.
 *
 * Locks: none; a record is its caller's. Fork: a parent's session is not spoken to.
 */
#ifndef TINE_PRELOAD_LIBPQ_LEND_H
#define TINE_PRELOAD_LIBPQ_LEND_H

#include "base/clock.h"
#include "base/option.h"
#include "preload/libpq/record.h"

void tine_lend_start(const struct tine_settings *settings);

/** A session has begun, and nothing has been sent on it: tell its server, if it is to be told.
 *  Waits for the answer, 10 s at most; what fails leaves a connection as it is, or lost. */
void tine_lend_begin(struct tine_record *record);

/** The same without waiting, for a login in steps.
 *  @return true: an answer is due, see tine_lend_poll() */
bool tine_lend_begin_in_steps(struct tine_record *record);

/** What has come of it. @return OK: it is over, whatever came; else what to wait for */
PostgresPollingStatusType tine_lend_poll(struct tine_record *record);

/** Will something that was sent to it later be missed when the session is another one? */
bool tine_lend_listens(const struct tine_record *record);

/* The following are for a record whose lending.is_told. */

/** Before something is sent. */
void tine_lend_before(struct tine_record *record, struct tine_statement *statement);

/** Before something that cannot be followed: a pipeline. */
void tine_lend_never(struct tine_record *record);

/** Something has been answered. */
void tine_lend_after(struct tine_record *record);

/** Before PQconsumeInput(). */
void tine_lend_hear(struct tine_record *record);

/** It was idle for a while: does an event loop watch it? Then its server is told otherwise. */
void tine_lend_look(struct tine_record *record);

/** What makes a session new for its next user: DISCARD ALL, or the same and to tell the server
 *  again. To be sent as a simple query. */
const char *tine_lend_reset_sql(struct tine_record *record);

/* Has any server ever been told? Spares the look for the record else. */
extern _Atomic bool tine_lend_any;

/** Is it ended two seconds after its last use? */
bool tine_lend_is_soon(const struct tine_record *record);

/** May the server be about to end it, or have ended it? */
static inline bool tine_lend_is_due(const struct tine_record *record, int64_t now_ns)
{
	return record->lending.is_told &&
	       now_ns - record->lending.heard_ns >= record->lending.quiet_ns;
}

#endif
