/* SPDX-License-Identifier: PostgreSQL */
/*
 * Is an idle connection still alive? What the socket shows costs no round trip; an idle time long
 * enough to hide a silent drop costs one. That time is learned: the shortest after which a
 * connection was found dropped without a sign.
 */
#ifndef TINE_POOL_LIVENESS_H
#define TINE_POOL_LIVENESS_H

#include "pool/pool.h"

enum tine_verdict {
	TINE_VERDICT_READY,
	TINE_VERDICT_TALK,  /* work.todo says about what */
	TINE_VERDICT_CLOSE, /* for *ret_cause */
};

/** Judge a connection that was idle. For its owner, no lock held.
 *  @param ret_error  the reason where there is one, else status 0 */
enum tine_verdict tine_liveness_judge(struct tine_slot *slot, int64_t now_ns, int *ret_cause,
				      tine_error *ret_error);

/** Look at the socket alone. @return false when the connection is dead, with ret_error */
bool tine_liveness_peek(struct tine_slot *slot, tine_error *ret_error);

/** A notice receiver, with the slot: the server's last words become slot->work.error. */
void tine_liveness_hear(void *slot, const PGresult *result);

/** A connection was lost without a sign after having been idle that long: remember. */
void tine_liveness_learn(struct tine_pool *pool, int64_t idle_ns);

/** A connection answered after having been idle that long: what was learned may be wrong. */
void tine_liveness_answered(struct tine_pool *pool, int64_t idle_ns);

#endif
