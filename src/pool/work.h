/* SPDX-License-Identifier: PostgreSQL */
/*
 * What happens with a connection before it is handed out, in steps that never wait: connecting,
 * reading the answer to a reset that was sent on return, on_connect_sql, a ping. For the slot's
 * owner, without a lock held.
 */
#ifndef TINE_POOL_WORK_H
#define TINE_POOL_WORK_H

#include "pool/pool.h"

enum tine_work_result {
	TINE_WORK_READY,
	TINE_WORK_FAILED, /* slot->work.error says why; what there is of a connection can be closed
			   */
	TINE_WORK_WAIT,   /* for slot->work.events on slot->fd, or slot->work.deadline_ns */
};

/** Begin to connect in a slot without a connection. Looks names up, which may take time.
 *  @return TINE_WORK_WAIT or TINE_WORK_FAILED */
enum tine_work_result tine_connect_begin(struct tine_slot *slot);

/** Go on connecting, up to a session that the server accepted. Called by tine_work_step(). */
enum tine_work_result tine_connect_step(struct tine_slot *slot, int64_t now_ns);

/** A new connection is ready: tell who listens, count it, end an outage.
 *  @return false when an event function refused it, with work.error set */
bool tine_connect_done(struct tine_slot *slot);

/** Go on with what the slot has to do. */
enum tine_work_result tine_work_step(struct tine_slot *slot);

/** Does the descriptor have one of the events? Does not wait. */
bool tine_work_poll(int fd, short events);

/** What there is to do with a session that is new, or as good as new: bits of enum tine_todo. */
unsigned tine_work_of_new(const struct tine_slot *slot);

#endif
