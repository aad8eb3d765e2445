/* SPDX-License-Identifier: PostgreSQL */
/* Who has the connections: for errors and for leaks. For the holder of the pool's lock. */
#ifndef TINE_POOL_HOLDERS_H
#define TINE_POOL_HOLDERS_H

#include "pool/pool.h"

/** Fill error with TINE_E_TIMEOUT, the counts, and the longest holders. */
void tine_holders_explain(const struct tine_pool *pool, uint64_t waited_ms, tine_error *error);

/** Fill error's text with one holder: what for, from where, how long. Its status stays 0. */
void tine_holders_describe(const struct tine_slot *slot, int64_t now_ns, tine_error *error);

#endif
