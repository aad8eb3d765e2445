/* SPDX-License-Identifier: PostgreSQL */
/*
 * Housekeeping without a thread: calls that come along close what is idle for too long, too old or
 * dead, drop connects that nobody drives any more, and tell leaks. No lock held.
 */
#ifndef TINE_POOL_SWEEP_H
#define TINE_POOL_SWEEP_H

#include "pool/pool.h"

/** Sweep, if the last time was a second ago or longer. */
void tine_sweep_if_due(struct tine_pool *pool);

/** Drop connects that nobody drives, once their time is over or, with all, now.
 *  @return how many */
int tine_sweep_orphans(struct tine_pool *pool, bool all);

/** Give idle connections to those who wait, or close them in a pause and when the pool is freed. */
void tine_sweep_serve(struct tine_pool *pool);

/** Close idle connections, and connects on their way, beyond the given number.
 *  @param abandon  let go of them without a word to the server */
void tine_sweep_close_idle(struct tine_pool *pool, int keep, bool abandon);

#endif
