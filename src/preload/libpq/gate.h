/* SPDX-License-Identifier: PostgreSQL */
/*
 * The gate: a fork waits until libpq is not in the middle of opening or finishing a connection in
 * another thread.
 *
 * Such a step takes locks that no fork handler gives back: libpq's own, around OpenSSL and
 * Kerberos, and those of OpenSSL, libkrb5 and the resolver. A child that is forked meanwhile finds
 * them taken for ever and hangs when it connects in its turn. That is so without tine, about once
 * in some hundred forks of a program that connects all the time; who opens connections for its
 * users in a child must not hang there.
 *
 * Invariants
 *  - At a fork that runs handlers no other thread is inside a step, but for one that a fork has
 *    waited for in vain.
 *  - A fork waits 500 ms at most, and for one step only once: the next fork does not wait for what
 *    this one has given up on. What libpq waits for the server is not in the step, since nothing is
 *    locked there (tine_gate_poll()), so a server that does not answer holds no fork up; a look-up
 *    of a name and a request to a Kerberos server do.
 *  - A step waits 1 s at most for a fork. So whoever holds a lock around a step that a fork handler
 *    wants too waits, and does not wait for ever.
 *  - A thread never waits for itself: libpq may call the program back, and that may fork.
 *
 * Statements are not steps: a child uses nothing of what they were doing.
 *
 * Owns counters and a note per thread. Locks: none. Fork: a child has its own thread's step alone.
 */
#ifndef TINE_PRELOAD_LIBPQ_GATE_H
#define TINE_PRELOAD_LIBPQ_GATE_H

#include <poll.h>

#include "preload/libpq/copy.h"

/** Around each call of libpq that opens or finishes a connection, in one thread; may be nested. A
 *  thread that is cancelled in between is as one that never ends its step. */
void tine_gate_enter(void);
void tine_gate_leave(void);

/** Call the real PQfinish(), as a step. */
void tine_gate_finish(const struct tine_copy *copy, PGconn *conn);

/** The same of PQresetStart(). */
int tine_gate_reset_start(const struct tine_copy *copy, PGconn *conn);

/** What a libpq's calls of a function of libc's are led to.
 *  @return NULL: it is not concerned */
void *tine_gate_hook(const char *name);

/** poll(), for libpq: outside of the step that the thread is in. */
int tine_gate_poll(struct pollfd *fds, nfds_t count, int timeout_ms);

/** For fork handlers: wait for the steps of other threads, and let none begin; let them go on; in
 *  a child. */
void tine_gate_close(void);
void tine_gate_open(void);
void tine_gate_renew(void);

#endif
