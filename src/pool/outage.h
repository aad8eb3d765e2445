/* SPDX-License-Identifier: PostgreSQL */
/*
 * What is known of a server that cannot be connected to: the true cause, since when, and when to
 * try again. For the holder of the pool's lock.
 */
#ifndef TINE_POOL_OUTAGE_H
#define TINE_POOL_OUTAGE_H

#include "pool/pool.h"

/** A connect failed: nobody tries again for a while, which grows from 100 ms to 1 s (5 s for what
 *  only a change of configuration mends), less up to a quarter at random. */
void tine_outage_begin(struct tine_pool *pool, const tine_error *error);

/** A connect succeeded. */
void tine_outage_end(struct tine_pool *pool);

/** Another process found that it is over. */
void tine_outage_forget(struct tine_pool *pool);

/** True while no connect should be tried. */
bool tine_outage_holds(const struct tine_pool *pool, int64_t now_ns);

/** The cause, with its age, for who was not allowed to try. */
void tine_outage_report(const struct tine_pool *pool, int64_t now_ns, tine_error *ret_error);

#endif
