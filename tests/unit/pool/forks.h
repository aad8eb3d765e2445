/* SPDX-License-Identifier: PostgreSQL */
/* Making children in three ways, and what is looked at after each. */
#ifndef TINE_TESTS_UNIT_POOL_FORKS_H
#define TINE_TESTS_UNIT_POOL_FORKS_H

#include "unit/pool/rig.h"

enum forks_way {
	FORKS_FORK,  /* with fork handlers */
	FORKS__FORK, /* without */
	FORKS_CLONE, /* the bare system call */
	FORKS_WAYS,
};

/* A child that is still there after so many seconds is stuck. */
#define FORKS_SECONDS 30

/** Run a function in a child, which then ends. @return its pid */
pid_t forks_child(enum forks_way way, void (*run)(void *arg), void *arg);

/** The same, and wait for its end, which must be a good one. */
void forks_run(enum forks_way way, void (*run)(void *arg), void *arg);

/** No process called anything but finish() on another one's connection, and that only on one whose
 *  socket was severed and that no thread was inside of at the fork. */
void forks_check_record(void);

/** Calls that a process other than its own made with the connection of a session. */
int forks_foreign_calls(int session);

/** Free a pool in a child. */
void forks_free(tine_pool *pool);

/** Open descriptors of this process. */
int forks_descriptors(void);

/** Can a program with several threads be forked without fork handlers here? The runtime of a
 *  sanitizer needs them. */
bool forks_may_skip_handlers(void);

#endif
