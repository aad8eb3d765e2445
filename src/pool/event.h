/* SPDX-License-Identifier: PostgreSQL */
/* Events: calling the program's functions. No lock held. */
#ifndef TINE_POOL_EVENT_H
#define TINE_POOL_EVENT_H

#include "pool/pool.h"

static inline bool tine_event_wanted(const struct tine_pool *pool, int kind)
{
	return atomic_load_explicit(&pool->listening, memory_order_relaxed) & (1U << kind);
}

/** Call who listens to event->kind, in order. event->pool is filled in here.
 *  @return the first result that is not 0, after which nobody more is called; or 0 */
int tine_event_fire(struct tine_pool *pool, struct tine_event *event);

/** An event of a connection that says no more than which. @return as tine_event_fire() */
int tine_event_conn(struct tine_slot *slot, int kind);

void tine_event_close(struct tine_slot *slot, int cause, const tine_error *error);

#endif
