/* SPDX-License-Identifier: PostgreSQL */
/*
 * PGcancels. A program may keep one for longer than its connection (psycopg2 always does), and use
 * it from a signal handler or another thread. Of a connection that has gone on to another user it
 * must not cancel anything: to the program it is finished, and cancelling what is finished does
 * nothing.
 *
 * Invariant: a request is sent by a PGcancel of this turn of its connection only, and while one is
 * being sent its connection does not change hands. Both sides raise a flag before they look at the
 * other's.
 *
 * A connection that was opened anew has another session, with another key: what the program holds
 * is of the old one, a parent's perhaps. So a PGcancel of ours is sent in its place. One that a
 * child makes before it has used the connection, whose session is the parent's still, comes to
 * nothing until then. What the parent made before the fork is the parent's word: a child that
 * watches over its parent's statement may cancel it.
 *
 * A thread may ask for a PGcancel while another one uses the connection, since no use of libpq's
 * changes the session. Ours does: so whoever asks waits until that is over, and gets one of the new
 * session; and a session is not renewed under whoever reads its key. Both wait for a bounded time:
 * a server may not answer, and a fork that runs no handlers cuts a reader off.
 *
 * Owns a table of fixed size. Locks: none, since PQcancel() is async-signal-safe; words are
 * changed by compare-and-swap. A PGcancel that finds no room makes its connection one that is never
 * kept. Fork: the table is copied; a child's PGcancels are of severed connections.
 */
#ifndef TINE_PRELOAD_LIBPQ_CANCEL_H
#define TINE_PRELOAD_LIBPQ_CANCEL_H

#include <stdatomic.h>

#include "base/hot.h"
#include "preload/libpq/record.h"

/** The program's PGcancels of this connection come to nothing from now on.
 *  @return false: one of them is being used, or cannot be told; the connection cannot change hands
 */
bool tine_cancel_detach(struct tine_record *record);

/** Around whatever may give the connection another session: what other threads ask waits. */
void tine_cancel_hold(struct tine_record *record);
void tine_cancel_let(struct tine_record *record);

/** Does another thread hold it? What libpq says of its state meanwhile is not what its program has
 *  ever seen: to that it is open and idle. */
bool tine_cancel_is_held(const struct tine_record *record);

/* How many are held: spares the look for the record. */
extern atomic_int tine_cancel_holds TINE_HOT;

/** The connection has another session now: its PGcancels reach that one. */
void tine_cancel_renew(struct tine_record *record);

/** The connection is finished; so is what is known of its PGcancels. */
void tine_cancel_forget(struct tine_record *record);

#endif
