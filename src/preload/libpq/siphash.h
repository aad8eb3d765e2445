/* SPDX-License-Identifier: PostgreSQL */
/*
 * SipHash-2-4 with 128 bits of output: a hash under a key. Who does not know the key learns nothing
 * about what was hashed, and cannot make two things have one hash.
 *
 * Source: Aumasson and Bernstein, "SipHash: a fast short-input PRF", and the 128-bit output that
 * its authors added.
 *
 * Pure. Locks, fork: none.
 */
#ifndef TINE_PRELOAD_LIBPQ_SIPHASH_H
#define TINE_PRELOAD_LIBPQ_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

#define TINE_SIPHASH_HELD_BYTES 256

struct tine_siphash {
	uint64_t v[4];
	uint64_t length;   /* of what is in v */
	size_t held_bytes; /* not in it yet: many small texts are mixed in at once */
	uint8_t held[TINE_SIPHASH_HELD_BYTES];
};

void tine_siphash_begin(struct tine_siphash *hash, const uint64_t key[2]);
void tine_siphash_add(struct tine_siphash *hash, const void *bytes, size_t length);
void tine_siphash_end(struct tine_siphash *hash, uint64_t ret[2]);

#endif
