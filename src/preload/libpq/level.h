/* SPDX-License-Identifier: PostgreSQL */
/*
 * The libpq level: what tine does for programs that use libpq, beyond the guard. It starts with the
 * guard and only when something of it is wanted; without it no library but libpq is looked at and
 * nothing is wrapped.
 *
 *	functions.inc   the functions that are known here: the place to begin reading
 *	copy.c          finds each libpq and leads its callers to stubs.c
 *	wrap.h          what stands in place of libpq's functions
 *	connect.c       ... to make and finish connections      } these two are where a feature
 *	use.c           ... to use one                           } hooks in
 *	alive.c         is a connection still there? reopen.c opens it anew, watch.c tells event
 *	                loops, ask.c asks on it
 *	common.c        ... what is known of a server, by all processes of the tree
 *	session.c       what was sent and answered, and its journal
 *	journal.c       what statements left in the session; effect.c, call.c and lex.c read them,
 *	                plain.c saves them most of the work
 *	login.c         a login by the rules of tine run: by these four
 *	key.c, files.c  ... which logins are the same
 *	park.c          ... the pool; dress.c makes libpq's side new, cancel.c knows PGcancels
 *	aside.c         ... what a parked one must not stand in the way of
 *	budget.c        ... permits of the board, and lending
 *	lend.c          ... lending by who does nothing; foresee.c reads what is about to be sent
 *	await.c         ... a connect that waits for it, while its program does not
 *	policy.c        ... what is filled in and what is demanded
 *	record.c        PGconn -> what is known of it
 *	gate.c          a fork waits for what libpq does in other threads
 *
 * Where a feature hooks in:
 *	a login may be answered without connecting, or changed first   login.c, tine_login_open()
 *	a connection is new                                            login.c, tine_login_done()
 *	a connection is to be finished                                 park.c, tine_park_finish()
 *	something is about to be sent on it                            use.c, tine_use_begin()
 *	something was sent, an answer came                             session.c
 *	per connection data                                            record.h, struct tine_record
 *	fork                                                           level.c, the three handlers
 *	chroot(), setns(), unshare()                                   level.c, moved()
 *	before those, and before setuid() and its like       budget.c, tine_budget_leaving()
 *	settings                                                       level.c, tine_level_start()
 *
 * This folder alone may call malloc(): libpq's callers are not in signal handlers. The fork
 *handlers do not.
 *
 * Owns no lock of its own; record.h has one. Fork: a generation number tells what a child has
 * inherited. A fork that runs no handlers is noticed by the guard at the next call, before anything
 * here is looked at.
 */
#ifndef TINE_PRELOAD_LIBPQ_LEVEL_H
#define TINE_PRELOAD_LIBPQ_LEVEL_H

#include "base/option.h"
#include "preload/guard.h"
#include "preload/libpq/copy.h"

/* Settings, the fork generation and whether the process has moved: read everywhere, written at the
 * start, in fork handlers and by hooks. */
struct tine_level {
	bool revive;
	int64_t ping_idle_ns;
	unsigned forks; /* between the first process and this one */
	bool is_moved;  /* to another root directory, network or user namespace: no pool any more */
};

extern struct tine_level tine_level;

/** Say, when wanted, which copies are wrapped. @param rebound slots that were changed for it */
void tine_level_say_wrapped(unsigned rebound);

/** Say, once, that a libpq has the guard alone. */
void tine_level_say_unwrapped(const char *path, const char *why);

enum tine_reopen_why {
	TINE_REOPEN_NOT,
	TINE_REOPEN_INHERITED, /* a parent's */
	TINE_REOPEN_DEAD,
	TINE_REOPEN_DEMOTED, /* the server takes no writes any more, and did */
};

/** Say that a connection was opened anew, or could not be; the first of a kind after each fork, or
 *  all of them when wanted. */
void tine_level_say_reopened(enum tine_reopen_why why, bool good);

/** Say, the first time or when wanted, that the program has the number of a parked connection, so
 *  that its PGconn is left in memory. */
void tine_level_say_left(void);

/** Say, when wanted, that a function of this copy was called to make a connection. */
void tine_level_say_login(const struct tine_copy *copy, const char *function);

#endif
