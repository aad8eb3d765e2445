/* SPDX-License-Identifier: PostgreSQL */
/*
 * How many connections each web worker has, for the others: one that has more than another leaves
 * the next to that one for a moment. A client may keep its connection for long, and what comes at
 * once would all be with the worker that happens to run.
 *
 * It is only a hint: the number of a worker that was killed stays until its successor says another,
 * and then others wait a moment in vain.
 *
 * Locks: none; each word is written by its worker alone. Fork: shared on purpose.
 */
#ifndef RECORDS_CROWD_H
#define RECORDS_CROWD_H

#include <stdatomic.h>
#include <stdbool.h>

#define CROWD_WORKERS 64 /* those with higher numbers look at nobody */

struct crowd {
	_Atomic unsigned *sizes; /* 0: there is no such worker; else one more than it has */
};

/** @return 0 or -1 */
int crowd_make(struct crowd *crowd);

/** @param worker its number */
void crowd_tell(const struct crowd *crowd, int worker, unsigned connections);

/** It accepts no more. */
void crowd_leave(const struct crowd *crowd, int worker);

/** Does another one have fewer? One less does not count. */
bool crowd_others_have_fewer(const struct crowd *crowd, int worker, unsigned connections);

#endif
