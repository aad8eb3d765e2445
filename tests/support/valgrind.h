/* SPDX-License-Identifier: PostgreSQL */
/* Is the test run by valgrind? Then /proc speaks of valgrind's program, descriptors and calls. */
#ifndef TINE_TESTS_VALGRIND_H
#define TINE_TESTS_VALGRIND_H

#include <stdbool.h>

#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define RUNNING_ON_VALGRIND 0
#endif

static inline bool check_is_valgrind(void)
{
	return RUNNING_ON_VALGRIND;
}

#endif
