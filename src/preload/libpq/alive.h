/* SPDX-License-Identifier: PostgreSQL */
/*
 * Is the connection still there? Asked before something begins on it, so that nothing has been sent
 * yet when it is not: a statement is never sent twice.
 *
 * A connection that was used within the last 10 ms is not looked at. Then its socket is looked at
 * (a system call), which shows one that the server closed. A silent death (a router that forgot the
 * connection) is found by an empty query when the connection was idle for long, or when another
 * connection to the server was found dead since, by any process of the tree; how long is learned
 * from connections that died so (common.h).
 *
 * Where the server may be about to end the session for its idle time, as it was told to (lend.h),
 * it is asked as well; that it has done so makes no other one suspect.
 *
 * Only a connection that is idle, outside a transaction and of a pipeline is judged. What is not
 * alive is opened anew (reopen.h) if its session can be had again, and else left to libpq, which
 * reports it as lost.
 *
 * Locks: none; what all connections share is atomic. Fork: a parent's connection is never alive;
 * its socket is not touched.
 */
#ifndef TINE_PRELOAD_LIBPQ_ALIVE_H
#define TINE_PRELOAD_LIBPQ_ALIVE_H

#include "base/clock.h"
#include "preload/libpq/lend.h"
#include "preload/libpq/record.h"

#define TINE_ALIVE_FRESH_NS (10 * (int64_t)TINE_NS_PER_MS)

/** Look, and open anew what is dead. For a record that tine_alive_is_fresh() does not answer for.
 *  @param is_sent  the program does not wait for the answer, so it may have others to go on with */
void tine_alive_ensure(struct tine_record *record, bool is_sent);

static inline bool tine_alive_is_fresh(const struct tine_record *record)
{
	int64_t now_ns = tine_clock_coarse_ns();

	return !tine_record_inherited(record) && now_ns - record->used_ns < TINE_ALIVE_FRESH_NS &&
	       !tine_lend_is_due(record, now_ns);
}

/** Note what the server says of itself, to see later that it has become another. */
void tine_alive_note_role(struct tine_record *record);

#endif
