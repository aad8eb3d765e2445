/* SPDX-License-Identifier: PostgreSQL */
/*
 * Where an acquire gets a connection from: an idle one, room for a new one, a place in the queue.
 * For the acquire's thread, no lock held.
 */
#ifndef TINE_POOL_SEEK_H
#define TINE_POOL_SEEK_H

#include "pool/acquire.h"

enum tine_look {
	TINE_LOOK_AGAIN, /* something was found: acquire->slot, or the step starts anew */
	TINE_LOOK_WAIT,
	TINE_LOOK_FAILED,
	TINE_LOOK_IDLE, /* acquire->slot was idle */
};

/** Drive a slot, or none. Lock held, unless the acquire cannot be in the queue. */
static inline void tine_acquire_attach(struct tine_acquire *acquire, struct tine_slot *slot)
{
	acquire->slot = slot;
	acquire->working = slot != NULL;
}

/** True unless it wants only what is idle now. */
static inline bool tine_acquire_is_patient(const struct tine_acquire *acquire)
{
	return acquire->deadline_ns > acquire->began_ns;
}

/** Look for something, without a slot so far. */
enum tine_look tine_seek_look(struct tine_acquire *acquire, int64_t now_ns);

/** acquire->slot was idle. @return TINE_LOOK_IDLE when it can be handed out as it is */
enum tine_look tine_seek_consider(struct tine_acquire *acquire);

/** The connect in acquire->slot failed. While connections are out that will come back, or when the
 *  program wants it so, that is no reason to give up. */
enum tine_look tine_seek_connect_failed(struct tine_acquire *acquire);

/** A connection is not to be used any more: replace it in its place, at once. A death is no growth.
 */
enum tine_look tine_seek_replace(struct tine_acquire *acquire, struct tine_slot *slot, int cause,
				 const tine_error *error);

#endif
