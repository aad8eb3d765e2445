/* SPDX-License-Identifier: PostgreSQL */
/* Numbers by chance, to spread things in time and to choose names. Never waits for the kernel to
 * have collected enough. Locks, fork: no state. */
#ifndef TINE_BASE_RANDOM_H
#define TINE_BASE_RANDOM_H

#include <stdint.h>
#include <sys/random.h>

/** @return from 0 to below, exclusive; 0 when that is 0, and when the kernel has none yet */
static inline uint64_t tine_random(uint64_t below)
{
	uint64_t random;

	if (!below || getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
		return 0;
	return random % below;
}

#endif
