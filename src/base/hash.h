/* SPDX-License-Identifier: PostgreSQL */
/* FNV-1a, for names of things; no secret is safe behind it. Locks, fork: no state. */
#ifndef TINE_BASE_HASH_H
#define TINE_BASE_HASH_H

#include <stdint.h>

#define TINE_HASH_START UINT64_C(14695981039346656037)

/** Go on with a hash. @param text NULL is as the empty one */
static inline uint64_t tine_hash_text(uint64_t hash, const char *text)
{
	for (; text && *text; text++)
		hash = (hash ^ (unsigned char)*text) * UINT64_C(1099511628211);
	return hash;
}

/** Go on with a hash: what follows is another text. */
static inline uint64_t tine_hash_end(uint64_t hash)
{
	return hash * UINT64_C(1099511628211);
}

#endif
