/* SPDX-License-Identifier: PostgreSQL */
/*
 * Fork: the registry of pools, the handlers, and what a child does with its copy of a pool.
 *
 * Invariants, each with its test in tests/pool:
 *  1. In the child of any fork that runs handlers, every socket of every pool is severed before any
 *     code of the program runs there.
 *  2. A connection that is being opened is in its pool's slots before its socket exists, and no
 *     fork happens while libpq makes one: libpq's and OpenSSL's locks, taken while connecting and
 *     while finishing, are free in the child. That is the gate: such calls hold its read side,
 *     fork its write side.
 *  3. Pools' locks are taken before a fork, so the child finds their lists whole.
 *  4. The child's handler makes system calls and plain stores only. Freeing what the parent's idle
 *     connections have here waits for the pool's first use. What another thread of the parent had
 *     in its hands may be half-changed: it is severed and never freed.
 *
 * A child made without handlers is noticed by the wiped word (fork/origin.h) at its first call: the
 * same steps then, with locks made anew, since whoever held them does not exist here.
 *
 * Locks: owns the registry's lock and the gate.
 */
#ifndef TINE_POOL_FORK_H
#define TINE_POOL_FORK_H

#include "fork/origin.h"
#include "pool/pool.h"

/** Put a pool under the protection of the handlers, and take it out. */
void tine_fork_register(struct tine_pool *pool);
void tine_fork_unregister(struct tine_pool *pool);

/** Enter and leave the gate, around each call of libpq that connects or finishes. Never held while
 *  anything waits. */
void tine_fork_gate_enter(void);
void tine_fork_gate_leave(void);

/** Note the socket of a slot's connection, inside the gate or by its owner. */
void tine_fork_note_socket(struct tine_slot *slot);

/** For a process that tine_origin_changed(): the steps that its fork did not run. */
void tine_fork_missed(void);

/** The first use of a pool in a child: free what is safe to free, begin empty.
 *  No lock held. @return how many connections of the parent's there were, -1 when it was adopted
 *  already */
int tine_fork_adopt(struct tine_pool *pool);

/** Free what this process has of a connection that was checked out at the fork, when that is safe:
 *  in the thread that forked and had it. */
void tine_fork_release_left(struct tine_slot *slot);

#endif
