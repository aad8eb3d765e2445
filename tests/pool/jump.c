/* SPDX-License-Identifier: PostgreSQL */
/*
 * For LD_PRELOAD: clocks that jump. tine_test_jump(clock, seconds) moves the wall clock (all of its
 * readers) or CLOCK_BOOTTIME, which runs ahead of CLOCK_MONOTONIC by the time that the machine was
 * suspended.
 */
#include <dlfcn.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/time.h>
#include <time.h>

__attribute__((visibility("default"))) void tine_test_jump(clockid_t clock, long seconds);

static _Atomic long wall_s, boot_s;

void tine_test_jump(clockid_t clock, long seconds)
{
	atomic_fetch_add(clock == CLOCK_BOOTTIME ? &boot_s : &wall_s, seconds);
}

int clock_gettime(clockid_t clock, struct timespec *ret)
{
	static int (*real)(clockid_t, struct timespec *);
	int rc;

	if (!real)
		real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	rc = real(clock, ret);
	if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)
		ret->tv_sec += atomic_load(&wall_s);
	if (clock == CLOCK_BOOTTIME)
		ret->tv_sec += atomic_load(&boot_s);
	return rc;
}

int gettimeofday(struct timeval *restrict ret, void *restrict zone)
{
	struct timespec now;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &now);
	*ret = (struct timeval){ now.tv_sec, now.tv_nsec / 1000 };
	return 0;
}

time_t time(time_t *ret)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (ret)
		*ret = now.tv_sec;
	return now.tv_sec;
}
