/* SPDX-License-Identifier: PostgreSQL */
/*
 * The registry: what is known of each PGconn that a wrapped function has made.
 *
 * Looked up at every wrapped call, so a look takes no lock: the table is an array of (PGconn,
 * record) pairs with open addressing; a pair's record is written before its key. A table that is
 * full is copied into a larger one and stays where it is, since somebody may be reading it; sizes
 * double, so all old ones together are smaller than the present one.
 *
 * Invariant: a key in the table has its record beside it. A thread that uses a PGconn got it from
 * the thread that made it by some synchronisation of the program's (libpq demands no less), so it
 * finds the pair, and nobody removes it meanwhile.
 *
 * A record belongs to the thread that uses the PGconn, as the PGconn does.
 *
 * Locks: one mutex for adding and removing, never held across a call of libpq; taken by the fork's
 * prepare handler. Fork: the child has all records; those of the parent's connections are told by
 * their fork generation. After a fork that ran no handlers the lock is renewed; a pair that
 * somebody was adding then is complete or not there.
 */
#ifndef TINE_PRELOAD_LIBPQ_RECORD_H
#define TINE_PRELOAD_LIBPQ_RECORD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "board/claim.h"
#include "board/seat.h"
#include "preload/libpq/copy.h"
#include "preload/libpq/level.h"
#include "preload/libpq/session.h"
#include "preload/libpq/stay.h"

/* How long something has waited for the budget, and may wait. */
struct tine_wait {
	int64_t since_ns, until_ns; /* monotonic; 0: it has not begun */
};

/* A connect that has no permit yet: see await.h. */
struct tine_await {
	struct tine_wait wait;
	int fd; /* what PQsocket() says */
	bool is_timer;
	bool is_nonblocking; /* the program has said so already */
};

/* What the server of the session has been told of its end: see lend.h. */
struct tine_lending {
	bool is_able;    /* it can be told */
	bool is_telling; /* it is being told, by a login in steps */
	bool is_told;    /* it ends the session when it is idle for long */
	bool is_unsure;  /* it was told otherwise in a transaction, or could not be */
	bool is_reset;   /* RESET ALL is under way: it has to be told again */
	bool is_looked;  /* whether an event loop watches it */
	bool is_never;   /* of this connection: one does */
	int after_ms;     /* what it is told */
	int64_t quiet_ns; /* how long the session is surely left alone */
	int64_t heard_ns; /* when the server heard the program last, or later; coarse */
};

/* Who opens the session anew, and how many threads read its key meanwhile: see cancel.h. */
struct tine_renewal {
	_Atomic uint64_t by; /* 0: nobody */
	atomic_uint readers;
};

/* What the program has traced: see trace.h. */
struct tine_tracing {
	FILE *file; /* NULL: nothing */
	int flags;
	bool is_hidden;
};

/* What every statement looks at comes first. */
struct tine_record {
	PGconn *conn;
	struct tine_copy *copy;
	unsigned forks;  /* the fork generation that opened its session: see tine_record_inherited()
			  */
	bool inside;     /* we are at work on it: what callbacks of libpq's call is not looked at */
	int64_t used_ns; /* coarse monotonic time of the last use */
	char *refusal;   /* why it was never opened, or what PQerrorMessage() says while it is
			  * open; ours, NULL else */
	struct tine_seat *seat; /* of the budget; NULL without one */
	struct tine_lending lending;
	struct tine_session session;
	struct tine_stay stay;
	struct tine_await await; /* where stay.place is TINE_STAY_QUEUED */
	struct tine_claim claim; /* of the budget; a parent's when it is inherited */
	struct tine_renewal renewal;
	struct tine_tracing tracing;
	char *last_refusal; /* the one before the refusal: the program may still look at it */
};

/** The record of a PGconn. @return NULL when it is none of ours */
struct tine_record *tine_record_find(const PGconn *conn);

/** Make the record of a new PGconn. @return NULL without memory: the PGconn stays unknown */
struct tine_record *tine_record_add(struct tine_copy *copy, PGconn *conn);

/** Forget a record before its PGconn is finished, and free it. */
void tine_record_remove(struct tine_record *record);

/** All records, one after the other. For a child that has just been forked, and is alone. */
void tine_record_visit(void (*visit)(const struct tine_record *record));

/** Is its session a parent's? */
static inline bool tine_record_inherited(const struct tine_record *record)
{
	return record->forks != tine_level.forks;
}

/** For fork handlers. Renewing is for a child, whatever the lock's state was at the fork. */
void tine_record_lock(void);
void tine_record_unlock(void);
void tine_record_renew_lock(void);

#endif
