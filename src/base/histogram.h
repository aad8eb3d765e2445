/* SPDX-License-Identifier: PostgreSQL */
/* Histograms by powers of two. Locks, fork: no state. */
#ifndef TINE_BASE_HISTOGRAM_H
#define TINE_BASE_HISTOGRAM_H

#include <stdint.h>

/** The bucket of a number: 0 for 0, else one more than its logarithm; the last takes the rest. */
static inline int tine_bucket(uint64_t number, int buckets)
{
	int bucket = number ? 64 - __builtin_clzll(number) : 0;

	return bucket < buckets ? bucket : buckets - 1;
}

#endif
