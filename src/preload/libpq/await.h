/* SPDX-License-Identifier: PostgreSQL */
/*
 * Connects that wait for the budget while their program goes on: PQconnectStart() and
 * PQresetStart() never wait. An event loop would stand still, or, in Python, all threads, so that
 * nobody could give back what is waited for.
 *
 * libpq is let begin, and is refused the socket: what it has then is a PGconn that failed, with
 * valid options. Until there is a permit PQconnectPoll() says READING and PQsocket() is a timer's
 * descriptor, so that the program comes back soon and each time asks for the permit. Before the
 * first poll it is one that is writable, as libpq's manual has programs wait for. With it
 * PQresetStart() begins in earnest, and what follows is a connect like any other. A host's name is
 * looked up twice so.
 *
 * Owns that descriptor. Locks: none; a record is its caller's. Fork: what waits in the
 * parent's queue is the parent's; a child that polls it queues for itself.
 */
#ifndef TINE_PRELOAD_LIBPQ_AWAIT_H
#define TINE_PRELOAD_LIBPQ_AWAIT_H

#include "preload/libpq/record.h"

/** libpq has failed to connect for want of a socket: from now on the connection waits, with the
 *  claim and the wait of the record. Without a descriptor for it the connection is refused. */
void tine_await_begin(struct tine_record *record);

/** PQresetStart(): with a permit it begins, else the connection waits for one.
 *  @return false: it has failed */
bool tine_await_reset(struct tine_record *record);

/** PQconnectPoll() or PQresetPoll() of one that waits. */
PostgresPollingStatusType tine_await_poll(struct tine_record *record);

/** It does not wait any more, if it did: out of the queue. */
void tine_await_leave(struct tine_record *record);

static inline bool tine_await_is_on(const struct tine_record *record)
{
	return record->stay.place == TINE_STAY_QUEUED;
}

#endif
