/* SPDX-License-Identifier: PostgreSQL */
/*
 * Acquiring, as one machine in steps that never wait; tine_pool_acquire() waits between them, and
 * tine_acquire_poll() lets its caller wait.
 *
 * Who needs a connection takes an idle one if nobody came before, else joins the queue; and where
 * there is room it also drives a connect while it waits. What comes first serves: a connect that
 * is ready goes to the first in the queue, and who is served from a return leaves its connect to
 * another, or drops it when nobody wants it. So a burst of short work does not end in a pool full
 * of connections that nobody needed.
 */
#ifndef TINE_POOL_ACQUIRE_H
#define TINE_POOL_ACQUIRE_H

#include "pool/queue.h"

enum tine_step {
	TINE_STEP_DONE,
	TINE_STEP_FAILED, /* acquire->error */
	TINE_STEP_WAIT,   /* for news, for slot's events, until wake_ns */
};

/** @param wait_ms as in tine_pool_acquire() */
void tine_acquire_init(struct tine_acquire *acquire, struct tine_pool *pool, int wait_ms,
		       const void *site);

/** Go on. @param ret_conn set on TINE_STEP_DONE */
enum tine_step tine_acquire_step(struct tine_acquire *acquire, tine_conn **ret_conn);

/** Leave the queue and the pool, in any state. A connection that was granted and not handed out is
 *  given back. */
void tine_acquire_end(struct tine_acquire *acquire);

/** Was it begun in another process? Then acquire->error says so. */
bool tine_acquire_is_foreign(struct tine_acquire *acquire);

/** Have an event descriptor written to at news. @return false when there is none to be had */
bool tine_acquire_open_event(struct tine_acquire *acquire);

#endif
