/* SPDX-License-Identifier: PostgreSQL */
/*
 * The queue of those who wait, first come, first served, and who may grow the pool. All functions
 * are for the holder of the pool's lock.
 */
#ifndef TINE_POOL_QUEUE_H
#define TINE_POOL_QUEUE_H

#include "pool/pool.h"

enum tine_news {
	TINE_NEWS_GRANTED = 1 << 0, /* acquire->granted is yours, and you are out of the queue */
	TINE_NEWS_LOOK = 1 << 1,    /* look again: there may be room, or the pool has changed */
};

/* One acquire: on the stack of who blocks, on the heap of who polls. */
struct tine_acquire {
	struct tine_pool *pool;
	uint32_t generation;                  /* the pool's, in the process that began it */
	struct tine_acquire *next, *previous; /* in the queue (lock) */
	_Atomic bool queued;                  /* (lock, to change it) */
	bool working;                         /* has a slot to drive (lock) */
	bool deaf;                            /* in a call that may last: given nothing (lock) */
	bool counted;                         /* in pool->calls (lock) */
	_Atomic uint32_t news;                /* enum tine_news; also the futex */
	struct tine_slot *granted;            /* set before TINE_NEWS_GRANTED */
	struct tine_slot *slot;               /* being connected or talked to; the owner's alone */
	const void *site;
	int64_t began_ns, deadline_ns;
	int64_t wake_ns;       /* when to look again without news */
	int64_t share_wake_ns; /* the same, because of the board; 0: no */
	int waiter;            /* place in the queue of the board, -1: none (lock, to change it) */
	int refusals;
	_Atomic int event_fd;               /* -1, or written to at news */
	int epoll_fd, timer_fd, watched_fd; /* of who polls, else -1 */
	bool leaves_unwanted;               /* connects that nobody waits for, when it was done */
	bool over;                          /* failed, or done */
	int forgiven;                       /* connects that somebody ended */
	tine_error error;
};

void tine_queue_join(struct tine_acquire *acquire);
void tine_queue_leave(struct tine_acquire *acquire);

/** The first in the queue that can be given something; NULL: nobody. */
struct tine_acquire *tine_queue_first(const struct tine_pool *pool);

/** Give a slot, which is its caller's, to the first in the queue. @return false without one */
bool tine_queue_grant(struct tine_pool *pool, struct tine_slot *slot);

/** Give idle slots to those who wait. */
void tine_queue_serve(struct tine_pool *pool);

/** A connection died: another may take its place at once, whatever connect_parallel says. */
void tine_queue_died(struct tine_pool *pool);

/** There may be room for a connect: let the first who has none under way look. */
void tine_queue_room(struct tine_pool *pool);

/** Let everybody look. */
void tine_queue_alarm(struct tine_pool *pool);

/** A slot became EMPTY: tell who waits for all of them to. */
void tine_queue_retired(struct tine_pool *pool);

/** The idle slot to hand out next, taken: it is the caller's, in BUSY. Or NULL. */
struct tine_slot *tine_queue_take_idle(struct tine_pool *pool);

/** Is there a connection that will come back, or is idle? */
bool tine_queue_is_live(const struct tine_pool *pool);

/** A connect that was not in vain took so long. */
void tine_queue_connected(struct tine_pool *pool, int64_t took_ns);

/** Until when an acquire waits for what comes back before it connects. */
int64_t tine_queue_patient_until(const struct tine_acquire *acquire);

/** A slot to connect in, in WORK: an orphan that is on its way, or a new one. NULL: not now. */
struct tine_slot *tine_queue_take_room(struct tine_acquire *acquire, int64_t now_ns);

#endif
