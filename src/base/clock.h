/* SPDX-License-Identifier: PostgreSQL */
/*
 * Monotonic time in nanoseconds; wall-clock jumps do not matter to it. Thread-safe, fork-safe,
 * async-signal-safe.
 */
#ifndef TINE_BASE_CLOCK_H
#define TINE_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define TINE_NS_PER_US 1000
#define TINE_NS_PER_MS 1000000
#define TINE_NS_PER_S 1000000000
#define TINE_NEVER_NS INT64_MAX

static inline int64_t tine_clock_read(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * TINE_NS_PER_S + now.tv_nsec;
}

static inline int64_t tine_clock_ns(void)
{
	return tine_clock_read(CLOCK_MONOTONIC);
}

/** As of the last timer tick (1 to 10 ms ago), at an eighth of the cost. Never ahead of
 *  tine_clock_ns(). */
static inline int64_t tine_clock_coarse_ns(void)
{
	return tine_clock_read(CLOCK_MONOTONIC_COARSE);
}

/** How long the machine has been suspended since it was started: monotonic time stands still then,
 *  while servers and routers do not. */
static inline int64_t tine_clock_suspended_ns(void)
{
	return tine_clock_read(CLOCK_BOOTTIME) - tine_clock_ns();
}

/** Milliseconds until then for poll(), rounded up; 0 when past, -1 for TINE_NEVER_NS. */
int tine_clock_poll_ms(int64_t until_ns, int64_t now_ns);

/** A millisecond, for who waits for what nobody tells. Changes errno. */
void tine_clock_nap(void);

#endif
