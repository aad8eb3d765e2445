/* SPDX-License-Identifier: PostgreSQL */
#include "unit/pool/clock.h"

#include <linux/futex.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000
#define NS_PER_MS 1000000

int __real_clock_gettime(clockid_t clock, struct timespec *ret);
int __real_clock_nanosleep(clockid_t clock, int flags, const struct timespec *until,
			   struct timespec *rest);
int __real_timerfd_settime(int fd, int flags, const struct itimerspec *when,
			   struct itimerspec *old);
long __real_syscall(long number, ...);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_nanosleep(clockid_t clock, int flags, const struct timespec *until,
			   struct timespec *rest);
int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *when,
			   struct itimerspec *old);
long __wrap_syscall(long number, ...);

static _Atomic int64_t passed_ns, suspended_ns;
static _Atomic int64_t frozen_ns; /* 0: it runs */
static _Atomic bool napping;
static _Atomic int nap_count;
static _Atomic int64_t naps_ns[CLOCK_NAPS];

void clock_pass_ms(int64_t ms)
{
	atomic_fetch_add(&passed_ns, ms * NS_PER_MS);
}

void clock_suspend_ms(int64_t ms)
{
	atomic_fetch_add(&suspended_ns, ms * NS_PER_MS);
}

void clock_freeze(void)
{
	struct timespec now;

	__real_clock_gettime(CLOCK_MONOTONIC, &now);
	atomic_store(&frozen_ns, (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec);
}

bool clock_is_frozen(void)
{
	return atomic_load(&frozen_ns) != 0;
}

static int64_t ns_of(const struct timespec *time)
{
	return (int64_t)time->tv_sec * NS_PER_S + time->tv_nsec;
}

static struct timespec of_ns(int64_t ns)
{
	if (ns < 1)
		ns = 1; /* 0 would disarm a timer */
	return (struct timespec){ ns / NS_PER_S, ns % NS_PER_S };
}

int64_t clock_now_ms(void)
{
	struct timespec now;

	__wrap_clock_gettime(CLOCK_MONOTONIC, &now);
	return ns_of(&now) / NS_PER_MS;
}

void clock_nap(void)
{
	atomic_store(&napping, true);
}

int clock_naps(void)
{
	return atomic_load(&nap_count);
}

int64_t clock_nap_ms(int number)
{
	return (atomic_load(&naps_ns[number]) + NS_PER_MS / 2) / NS_PER_MS;
}

static bool is_shown(clockid_t clock)
{
	return clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_COARSE ||
	       clock == CLOCK_BOOTTIME;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
	int64_t now_ns = atomic_load_explicit(&frozen_ns, memory_order_relaxed);

	if (!is_shown(clock))
		return __real_clock_gettime(clock, ret);
	if (!now_ns) {
		__real_clock_gettime(clock, ret);
		now_ns = ns_of(ret);
	}
	now_ns += atomic_load_explicit(&passed_ns, memory_order_relaxed);
	if (clock == CLOCK_BOOTTIME)
		now_ns += atomic_load_explicit(&suspended_ns, memory_order_relaxed);
	*ret = of_ns(now_ns);
	return 0;
}

int __wrap_clock_nanosleep(clockid_t clock, int flags, const struct timespec *until,
			   struct timespec *rest)
{
	struct timespec now, real;
	int64_t left_ns;

	__wrap_clock_gettime(clock, &now);
	left_ns = flags & TIMER_ABSTIME ? ns_of(until) - ns_of(&now) : ns_of(until);
	if (atomic_load(&napping)) {
		atomic_store(&naps_ns[atomic_fetch_add(&nap_count, 1) % CLOCK_NAPS], left_ns);
		if (left_ns > 0)
			atomic_fetch_add(&passed_ns, left_ns);
		return 0;
	}
	if (!(flags & TIMER_ABSTIME))
		return __real_clock_nanosleep(clock, flags, until, rest);
	real = of_ns(ns_of(until) - atomic_load(&passed_ns));
	return __real_clock_nanosleep(clock, flags, &real, rest);
}

int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *when, struct itimerspec *old)
{
	struct itimerspec real = *when;

	if ((flags & TFD_TIMER_ABSTIME) && ns_of(&when->it_value))
		real.it_value = of_ns(ns_of(&when->it_value) - atomic_load(&passed_ns));
	return __real_timerfd_settime(fd, flags, &real, old);
}

long __wrap_syscall(long number, ...)
{
	struct timespec until;
	long values[6];
	va_list args;

	va_start(args, number);
	for (int i = 0; i < 6; i++)
		values[i] = va_arg(args, long);
	va_end(args);
	if (number == SYS_futex && ((int)values[1] & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET &&
	    values[3]) {
		until = of_ns(ns_of((const struct timespec *)values[3]) - atomic_load(&passed_ns));
		values[3] = (long)&until;
	}
	return __real_syscall(number, values[0], values[1], values[2], values[3], values[4],
			      values[5]);
}
