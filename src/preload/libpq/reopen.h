/* SPDX-License-Identifier: PostgreSQL */
/*
 * Open a connection anew in its place: the same PGconn, the same descriptor number, a new session
 * in the state that the old one's journal tells.
 *
 * Invariants
 *  - It happens only between statements, before a byte of the next one was sent.
 *  - Either the session is as it was, or the program finds the connection lost, as libpq tells it:
 *    a session that could not be brought to its state is never handed out. But where the budget
 *    is used up nothing has happened: the statement is refused, and the next one tries again.
 *  - Of a parent's connection nothing goes over the parent's wire: its socket was severed at the
 *    fork, and what libpq says to close it ends there.
 *
 * Waits for the server, with a deadline, also on connections that a program uses without waiting:
 * its next statement cannot be held back.
 *
 * Locks: none. Fork: libpq's steps are inside the gate (gate.h).
 */
#ifndef TINE_PRELOAD_LIBPQ_REOPEN_H
#define TINE_PRELOAD_LIBPQ_REOPEN_H

#include "preload/libpq/record.h"
#include "preload/libpq/watch.h"

/* One attempt, on the stack of who makes it. Zeroed but for the record, which is_nonblocking is to
 * be read of before libpq is let look at its socket. */
struct tine_reopening {
	struct tine_record *record;
	bool is_nonblocking; /* what the program set, which a new session does not have */
	bool is_brief;       /* it does not expect to wait long for the budget */
	bool is_ready;
	struct tine_watch watches[TINE_WATCHES];
	int watches_count;
};

/** A prepared statement that the new session could not be given, or that a text of ours has ended,
 *  is about to be executed or described: try once more. If that fails so does that, since the
 *  server does not know the statement. */
void tine_reopen_prepare_owed(struct tine_record *record, const char *name);

/** The same before what nothing can be asked in: a pipeline. */
void tine_reopen_prepare_all_owed(struct tine_record *record);

/** Does a severed number still hold the dead end that was put there for this connection? */
bool tine_reopen_owns(const struct tine_record *record);

/** From now on the number stays this connection's, whatever libpq finds out. To be called before
 *  libpq may find it dead, since it closes the number then. Does nothing the second time. */
void tine_reopen_prepare(struct tine_reopening *work);

/** Leave the number to libpq again, which has a socket there or none. */
void tine_reopen_leave(struct tine_reopening *work);

/** Open it anew. For one whose journal has no obstacle. */
void tine_reopen(struct tine_reopening *work, enum tine_reopen_why why);

#endif
