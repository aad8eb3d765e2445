/* SPDX-License-Identifier: PostgreSQL */
/*
 * Handing a slot out and putting it back: the two ends of every checkout, inline because of it. For
 * the slot's owner, no lock held.
 */
#ifndef TINE_POOL_CHECKOUT_H
#define TINE_POOL_CHECKOUT_H

#include "pool/acquire.h"
#include "pool/event.h"
#include "pool/sweep.h"

/** The lane of the calling thread. */
static inline struct tine_lane *tine_pool_lane(struct tine_pool *pool)
{
	/* Fibonacci hashing: threads' addresses differ in their middle bits. */
	uint64_t hash = (uint64_t)pthread_self() * UINT64_C(0x9e3779b97f4a7c15);

	return &pool->lanes[hash >> 58];
}

_Static_assert(TINE_LANES == 64, "the upper 6 bits of a hash choose a lane");

/** Make a handle of a slot that is ready. @param site where to, for people */
static inline tine_conn *tine_checkout(struct tine_slot *slot, const void *site, int64_t now_ns)
{
	tine_conn *conn = &slot->tickets[slot->uses++ % TINE_TICKETS];

	atomic_store_explicit(&slot->site, site, memory_order_relaxed);
	atomic_store_explicit(&slot->owner, pthread_self(), memory_order_relaxed);
	atomic_store_explicit(&slot->taken_ns, now_ns, memory_order_relaxed);
	atomic_store_explicit(&slot->told, 0, memory_order_relaxed);
	slot->touched = tine_event_wanted(slot->pool, TINE_EVENT_CHECKOUT);
	slot->role_known &= !slot->touched;
	slot->answered = false;
	slot->last_sqlstate[0] = '\0';
	atomic_store_explicit(&slot->seat->uses, slot->uses, memory_order_relaxed);
	tine_seat_set(slot->seat, TINE_SEAT_BUSY, now_ns);
	atomic_store_explicit(&slot->ticket, conn, memory_order_release);
	return conn;
}

/* Later than any other return of this thread, though the clock may not have moved. */
static inline int64_t tine_lane_stamp(struct tine_lane *lane, int64_t now_ns)
{
	int64_t last_ns = atomic_load_explicit(&lane->stamp_ns, memory_order_relaxed);

	if (now_ns <= last_ns)
		now_ns = last_ns + 1;
	atomic_store_explicit(&lane->stamp_ns, now_ns, memory_order_relaxed);
	return now_ns;
}

/** Let go of an idle slot. Who waits is served; a pause or an end of the pool that began meanwhile
 *  has not seen it, so it is closed here. */
static inline void tine_slot_let_go(struct tine_slot *slot)
{
	struct tine_pool *pool = slot->pool;

	atomic_store(&slot->state, TINE_SLOT_IDLE);
	if (atomic_load(&pool->waiting) || atomic_load(&pool->slow))
		tine_sweep_serve(pool);
}

/** Put an idle connection back, or give it to who waits. */
static inline void tine_checkin(struct tine_slot *slot, int64_t now_ns)
{
	struct tine_pool *pool = slot->pool;
	struct tine_lane *lane = tine_pool_lane(pool);

	atomic_store_explicit(&slot->stamp_ns, tine_lane_stamp(lane, now_ns), memory_order_relaxed);
	tine_seat_set(slot->seat, TINE_SEAT_IDLE, now_ns);
	if (atomic_load_explicit(&lane->slot, memory_order_relaxed) != slot)
		atomic_store_explicit(&lane->slot, slot, memory_order_release);
	tine_slot_let_go(slot);
}

#endif
