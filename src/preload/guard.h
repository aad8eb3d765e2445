/* SPDX-License-Identifier: PostgreSQL */
/*
 * The guard: starts with the program, acts in every forked child.
 *
 * Order of a fork, from tine's view:
 *   prepare  all signals are blocked, so that no handler of the program runs in the child before us
 *   child    adopt the memory, sever inherited connections, restore the signal mask, say it
 *   parent   restore the signal mask
 * The handlers are registered by the constructor, before the program can register its own; child
 * handlers run in the order of registration, so ours is first.
 *
 * Owns no lock. The child step makes system calls and plain stores only.
 */
#ifndef TINE_PRELOAD_GUARD_H
#define TINE_PRELOAD_GUARD_H

#include "fork/origin.h"

/** A hooked call found memory that belongs to another process: a fork without handlers (_Fork, raw
 *  clone). Does now what the child handler would have done. */
void tine_guard_missed_fork(void);

/** The first bytes on a connection show that it is an ancestor's PostgreSQL connection, inherited
 *  before anything had been sent on it. Sever it before these bytes are sent. */
void tine_guard_sever_late(int fd);

/** To be called by every hook before it does anything. */
static inline void tine_guard_enter(void)
{
	if (tine_origin_changed())
		tine_guard_missed_fork();
}

#endif
