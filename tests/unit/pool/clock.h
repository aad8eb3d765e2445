/* SPDX-License-Identifier: PostgreSQL */
/*
 * The clock that a pool sees, which a test can put forward. The linker turns the calls of
 * clock_gettime(), clock_nanosleep(), timerfd_settime() and syscall() (for futexes) to here, so
 * that deadlines agree with it.
 */
#ifndef TINE_TESTS_UNIT_POOL_CLOCK_H
#define TINE_TESTS_UNIT_POOL_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#define CLOCK_NAPS 128

/** Let time pass. Who waits already is not woken by it. */
void clock_pass_ms(int64_t ms);

/** Have the machine sleep that long: monotonic time stands still meanwhile. */
void clock_suspend_ms(int64_t ms);

/** Have time stand still from now on, but for what is let pass. */
void clock_freeze(void);
bool clock_is_frozen(void);

/** The pool's clock. */
int64_t clock_now_ms(void);

/** From now on sleeps take no time but that of the pool's clock, and are noted. */
void clock_nap(void);
/** How many there were, and how long they took. */
int clock_naps(void);
int64_t clock_nap_ms(int number);

#endif
