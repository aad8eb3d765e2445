/* SPDX-License-Identifier: PostgreSQL */
/*
 * The pool's side of the board: permits for its connections, tokens for its connects, and what
 * other processes know. Without a board (no name, no budget, no tine run) all of it is a load or
 * nothing.
 *
 * Locks: what says so is for the holder of the pool's lock; the board itself has none. Fork: the
 * child handler calls tine_share_left(); the child becomes a member when it adopts the pool.
 */
#ifndef TINE_POOL_SHARE_H
#define TINE_POOL_SHARE_H

#include "pool/pool.h"
#include "pool/queue.h"

/** Find or make the board that the settings ask for. @return 0 or TINE_E_INVALID, TINE_E_SYSTEM */
int tine_share_open(struct tine_pool *pool, const tine_pool_config *config, tine_error *error);

/** Leave the board. */
void tine_share_close(struct tine_pool *pool);

/** In a child: nothing of the parent's is ours. Plain stores only. */
void tine_share_left(struct tine_pool *pool);

/** Become a member of the board, in a child too. No lock held. */
void tine_share_enlist(struct tine_pool *pool);

/** Learn what other processes found out: deaths, outages and their end, idle limits. Lock held. */
void tine_share_learn(struct tine_pool *pool);

/** May the pool open one connection more, in this slot? If not, the acquire stands in the queue of
 *  the board where that is the reason, and wakes in time. Lock held. */
bool tine_share_admit(struct tine_acquire *acquire, struct tine_slot *slot, int64_t now_ns);

/** May a connection that was closed be replaced in its slot, at the pace of the tree? Not without a
 *  permit: the server may have ended it long ago, and somebody else has it. Lock held. */
bool tine_share_pace(struct tine_slot *slot);

/** May a connect that was left be gone on with? If not, the acquire wakes in time. Lock held. */
bool tine_share_go_on(struct tine_acquire *acquire, struct tine_slot *slot, int64_t now_ns);

/** The connect is over, whatever became of it. */
void tine_share_connected(struct tine_slot *slot);

/** The connection is there: say so to people. */
void tine_share_opened(struct tine_slot *slot);

/** Give the permit of an empty slot back. @param open_ms how long the server may still have it */
void tine_share_give(struct tine_slot *slot, int open_ms);

/** Is a connection that comes back, or is idle, more than this process may keep? */
bool tine_share_is_too_much(const struct tine_slot *slot);

/** lend_after_ms, or the least that makes sense; 0: off. */
int tine_share_lend_after_ms(const tine_pool_config *config);

/** Is the server to end connections that are idle for long, so that others get their permits?
 *  @return how long an idle one is surely left alone, in ns; 0: for ever */
int64_t tine_share_quiet_ns(const struct tine_slot *slot);

/** The program has connected the session anew. @return false when its permit was lost meanwhile */
bool tine_share_reset(struct tine_slot *slot);

/** Notice that the permit of a connection that is about to be closed was lost. */
void tine_share_check(struct tine_slot *slot);

/** Leave the board's queue. No lock held. */
void tine_share_leave_queue(struct tine_acquire *acquire);

/** The futex that is woken when there may be a permit. @return NULL: not in that queue */
_Atomic uint32_t *tine_share_news(struct tine_acquire *acquire);

/** The name shown in pg_stat_activity: "app[w3:4711]", or as it is. */
const char *tine_share_identity(struct tine_pool *pool, const char *name, char *buf, size_t size);

/** Why an acquire that stands in the board's queue got none: who has them. */
void tine_share_explain(struct tine_acquire *acquire, uint64_t waited_ms, tine_error *ret_error);

/** A connection of this process was found dead; others are to know. With the lock or without. */
void tine_share_died(struct tine_pool *pool, bool is_condemned);

/** An outage began, or ended. Lock held. */
void tine_share_outage(struct tine_pool *pool);
void tine_share_recovered(struct tine_pool *pool);

/** An idle limit was learned, or unlearned. */
void tine_share_silence(struct tine_pool *pool, int64_t idle_ns);

/** Something happened: count it, and add it to the recent events. */
void tine_share_note(struct tine_pool *pool, enum tine_board_event_kind kind, uint32_t detail);

/** Close a connection's socket so that the server's end of it is known to be over, if that does not
 *  take long. For lending: who waits would else connect while the old session is still there.
 *  @return how long it may still be open, in ms */
int tine_share_farewell(struct tine_slot *slot);

#endif
