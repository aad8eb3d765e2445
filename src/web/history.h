/* SPDX-License-Identifier: PostgreSQL */
/*
 * What was seen of trees in the past minutes, once a second: a ring for each tree, in memory that
 * is made before a fork and shared by all processes after it, so that whoever answers knows what
 * another has seen.
 *
 * Owns: the mapping. Locks: none: a worker may be stopped or killed at any point, and what it wrote
 * may be anything, so there is neither a lock nor a pointer in it, and each index is bounded. Fork:
 * shared on purpose.
 *
 * Invariant: a sample is written by the one who moved its ring's last_ms on, into a place that it
 * alone took (written + 1), and its time is set last. Who dies in between leaves a sample out, and
 * who was stopped in between for a whole round of the ring, 15 minutes, may spoil one. A sample has
 * its tree's name, so that a ring can change hands by one compare-and-swap of the name.
 */
#ifndef TINE_WEB_HISTORY_H
#define TINE_WEB_HISTORY_H

#include <stdint.h>

#include "show/rates.h"

#define TINE_HISTORY_SAMPLES 900 /* of a tree: 15 minutes */
#define TINE_HISTORY_TREES 16    /* the newest ones that were seen */

/* Rates are per second, in thousandths; -1: not known. */
struct tine_sample {
	int64_t at_ms; /* of the monotonic clock */
	int32_t budget, held, busy, idle, waiting;
	int32_t opened, failed, waits, timeouts;
};

struct tine_history;

/** @return NULL: no memory */
struct tine_history *tine_history_new(void);

/** In each process that has it. NULL is fine. */
void tine_history_free(struct tine_history *history);

/** Add what was seen of a tree, unless somebody did within this second.
 *  @param rates  NULL: not known */
void tine_history_add(struct tine_history *history, const struct tine_view *view,
		      const struct tine_rates *rates, int64_t now_ns);

/** Samples of a tree later than a time, the oldest first.
 *  @param ret  room for TINE_HISTORY_SAMPLES
 *  @return how many */
int tine_history_get(struct tine_history *history, const struct tine_view *view, int64_t after_ms,
		     struct tine_sample ret[]);

#endif
