/* SPDX-License-Identifier: PostgreSQL */
/*
 * A slot's connection: its birth, what is watched on it, its end. All functions are for the slot's
 * owner (pool.h), without a lock held, unless said otherwise.
 */
#ifndef TINE_POOL_SLOT_H
#define TINE_POOL_SLOT_H

#include <string.h>

#include "base/clock.h"
#include "pool/pool.h"

#define TINE_SQLSTATE_IDLE_SESSION "57P05"

/** An EMPTY slot, or NULL without memory. Lock held or not. */
struct tine_slot *tine_slot_new(struct tine_pool *pool);

/** Free a slot without a connection. */
void tine_slot_free(struct tine_slot *slot);

/** The connection was opened: note what it is. @return false without memory */
bool tine_slot_born(struct tine_slot *slot);

/** Why the connection is not to be handed out any more, whatever its health.
 *  @return an enum tine_cause, or -1 */
int tine_slot_spent(const struct tine_slot *slot, int64_t now_ns);

/** The server has heard of the connection, or answered: its idle time begins anew. */
static inline void tine_slot_heard(struct tine_slot *slot, int64_t now_ns)
{
	slot->ends_ns = slot->quiet_ns ? now_ns + slot->quiet_ns : TINE_NEVER_NS;
}

/** Does an error say that the server ended the session because it was idle for long? That is no
 *  death that others should know of. */
static inline bool tine_slot_ended_idle(const char *sqlstate)
{
	return strcmp(sqlstate, TINE_SQLSTATE_IDLE_SESSION) == 0;
}

/** The same in short, for the path that is taken each time: anything but idle limits and size. */
static inline bool tine_slot_is_spent(const struct tine_slot *slot, int64_t now_ns)
{
	const struct tine_pool *pool = slot->pool;

	return now_ns >= slot->expires_ns || now_ns >= slot->ends_ns ||
	       slot->uses >= slot->uses_end ||
	       /* Nothing happened since it was connected, as a rule. */
	       (slot->born_epoch != atomic_load_explicit(&pool->epoch, memory_order_relaxed) &&
		tine_slot_spent(slot, now_ns) >= 0);
}

/** True when the server is no longer what it was when the connection was opened. Searches libpq's
 *  list of parameters, which is in no cache as a rule: some 2 us. */
bool tine_slot_role_changed(const struct tine_slot *slot);

/** The same, unless it was compared after libpq last read from the server. */
bool tine_slot_has_new_role(struct tine_slot *slot, int64_t now_ns);

/** Give libpq's memory back and close the socket; tells nobody. For a connection that is not idle
 *  the server learns of the end by the closed socket, so this never waits for it. */
void tine_slot_finish(struct tine_slot *slot);

/** Take the connection out of the slot, which keeps nothing of it. @return it, or NULL */
PGconn *tine_slot_empty(struct tine_slot *slot);

/** Tell who listens, count, finish. The slot stays its owner's.
 *  @param error  may be NULL
 *  @param wait   until the session is over, if that does not take long
 *  @return how long the server may still have the session, in ms */
int tine_slot_close(struct tine_slot *slot, int cause, const tine_error *error, bool wait);

/** Make a slot EMPTY whose connection is closed: somebody else may connect now. @param died it
 * counts as a death @param open_ms as from tine_slot_close() */
void tine_slot_vacate(struct tine_slot *slot, bool died, int open_ms);

/** Both. */
void tine_slot_retire(struct tine_slot *slot, int cause, const tine_error *error);

/** A connection came back: park it, hand it on or close it. */
void tine_slot_return(struct tine_slot *slot, int64_t now_ns);

/** A connection came back to be closed, or is gone already. The pool may be gone afterwards. */
void tine_slot_give_up(struct tine_slot *slot, int cause);

/** Let go of the socket so that finishing sends nothing. */
void tine_slot_abandon(struct tine_slot *slot);

/** Every older connection was seen alive before this death: look at it again before its use.
 *  @param unseen  do not even look: close it */
void tine_pool_suspect(struct tine_pool *pool, bool unseen);

/** The same, of what another process found: it is not told again. */
void tine_pool_doubt(struct tine_pool *pool, bool unseen);

/** Start the counters from zero. */
void tine_slot_reset_counts(struct tine_slot *slot);

#endif
