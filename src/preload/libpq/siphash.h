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

/** @param ret  the output's first and last eight bytes, each as a little-endian number */
void tine_siphash(uint64_t ret[2], const uint64_t key[2], const void *bytes, size_t length);

#endif
