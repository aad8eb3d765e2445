/* SPDX-License-Identifier: PostgreSQL */
/*
 * Signals of the master and of its workers: a handler notes the number and makes a descriptor
 * readable, a poll loop does the rest.
 *
 * Handlers and not a signalfd: what is blocked stays blocked in the programs that a worker starts,
 * and a converter that TERM cannot end would outlive its worker; handlers are gone after execve().
 *
 * One process has one set of handlers, and so one supervisor at a time.
 *
 * Fork: all signals are blocked around the fork of a worker, which takes its own set before it
 * unblocks them, so none is lost and none is handled by the master's. A process that the program
 * itself forks from a worker inherits the handlers and not their meaning: there, a signal does what
 * it does by default.
 *
 * Locks: none.
 */
#ifndef TINE_PREFORK_SIGNALS_H
#define TINE_PREFORK_SIGNALS_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

enum tine_signals_set {
	TINE_SIGNALS_MASTER, /* TERM INT QUIT HUP TTIN TTOU USR1 CHLD */
	TINE_SIGNALS_WORKER, /* TERM INT QUIT HUP USR1 USR2 ABRT */
};

/** Install the master's handlers. @return 0, -EBUSY when this process has a supervisor that runs,
 *  or -errno */
int tine_signals_open(void);

/** Put back what there was before. Also in a worker. */
void tine_signals_close(void);

/** In a worker after its fork, signals blocked: the worker's handlers instead of the master's, and
 *  what the program had for all others. @return 0 or -errno */
int tine_signals_become_worker(void);

/** A descriptor that is readable when a signal was noted, or tine_signals_wake() was called. */
int tine_signals_fd(void);

/** What was noted since the last call: bit N for signal N. */
uint64_t tine_signals_take(void);

/** Make the descriptor readable; from any thread. */
void tine_signals_wake(void);

static inline bool tine_signals_has(uint64_t taken, int number)
{
	return taken >> number & 1;
}

#endif
