/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the tests of the pool have in common: pools on the fake, threads that acquire, and looking
 * at what is left in the end.
 */
#ifndef TINE_TESTS_UNIT_POOL_RIG_H
#define TINE_TESTS_UNIT_POOL_RIG_H

#include <pthread.h>

#include "support/check.h"
#include "tine/tine.h"
#include "unit/pool/clock.h"
#include "unit/pool/fake.h"
#include "unit/pool/memory.h"

/* Longer than anything takes; what waits for longer is stuck. */
#define RIG_LONG_MS 20000

/** Wait for a condition that another thread or process brings about. */
#define RIG_AWAIT(condition)                                                                       \
	do {                                                                                       \
		int rig_waited = 0;                                                                \
                                                                                                   \
		while (!(condition)) {                                                             \
			if (rig_waited++ > RIG_LONG_MS)                                            \
				check_fail(__FILE__, __LINE__, "waited in vain: %s", #condition);  \
			rig_pause();                                                               \
		}                                                                                  \
	} while (0)

/** A millisecond or so. */
void rig_pause(void);

/** A number of rounds, smaller under tools that make everything slow. */
int rig_rounds(int usual);
/** Is this run under valgrind or a sanitizer? And under valgrind? */
bool rig_is_slow(void);
bool rig_is_valgrind(void);

/** Usual settings, of a pool that connects to one socket. */
tine_pool_config rig_config(int pool_size, int max_overflow);
tine_pool *rig_open(const tine_pool_config *config);
tine_pool *rig_pool(int pool_size, int max_overflow);

/** Free a pool, and see that nothing of it is left: no connection, no result, no memory. */
void rig_close(tine_pool *pool);
/** The same without the pool. */
void rig_check_nothing_left(void);

tine_pool_stats rig_stats(tine_pool *pool);
uint64_t rig_closed(tine_pool *pool, int cause);
void rig_expect(const char *file, int line, tine_pool *pool, int open, int idle, int busy,
		int waiting);
#define RIG_EXPECT(pool, open, idle, busy, waiting)                                                \
	rig_expect(__FILE__, __LINE__, pool, open, idle, busy, waiting)

/** Acquire, which has to succeed; and fail, with this status. */
tine_conn *rig_acquire(tine_pool *pool);
tine_error rig_refused(tine_pool *pool, int wait_ms, int status);
/** Release, which has to succeed. */
void rig_release(tine_conn *conn);
/** The session of a connection. */
struct fake_session *rig_session(const tine_conn *conn);
/** Acquire and release that many at once, so that they are idle. */
void rig_fill(tine_pool *pool, int count);

/** Nobody else has the connection; and it is given up. */
void rig_own(const tine_conn *conn);
void rig_disown(const tine_conn *conn);

/* An acquire in a thread of its own. */
struct rig_waiter {
	tine_pool *pool;
	int wait_ms;
	pthread_t thread;
	_Atomic bool done;
	_Atomic int *order; /* counts those who are done; may be NULL */
	int place;          /* in that order, from 1 */
	int rc;
	tine_conn *conn;
	tine_error error;
};

void rig_wait_start(struct rig_waiter *waiter, tine_pool *pool, int wait_ms);
/** Start, and wait until it is in the queue at that place. */
void rig_wait_queued(struct rig_waiter *waiter, tine_pool *pool, int wait_ms, int place);
/** @return its result */
int rig_wait_end(struct rig_waiter *waiter);

pthread_t rig_thread(void *(*run)(void *), void *arg);
void rig_join(pthread_t thread);

/* What was told to rig_hear(), the function of all events that a test listens to. */
struct rig_events {
	_Atomic int count[TINE_EVENT_COUNT];
	_Atomic int cause[TINE_CAUSE_COUNT];
	int refuse[TINE_EVENT_COUNT]; /* so many of them, from the first */
	tine_event last[TINE_EVENT_COUNT];
	tine_error
		error[TINE_EVENT_COUNT]; /* a copy of the last one's; status -999: there was none */
};

#define RIG_NO_ERROR (-999)

/** Listen to all events. Plain fields are for tests of one thread. */
void rig_listen(tine_pool *pool, struct rig_events *events);

/** Made so far, by the fake server. */
int rig_sessions(void);

/* How many connects of one acquire may be terminated: as in seek.c. */
#define RIG_MOST_TERMINATED 8

/** So many were, and the next one is there: no outage. */
void rig_expect_forgiven(tine_pool *pool);

#endif
