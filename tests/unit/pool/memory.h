/* SPDX-License-Identifier: PostgreSQL */
/*
 * Allocations of what is linked into a test program: counted, and failing when a test wants it. The
 * linker turns the calls of malloc() and so on to here (--wrap), so libc and libpq are not
 * concerned and a sanitizer still sees every allocation.
 */
#ifndef TINE_TESTS_UNIT_POOL_MEMORY_H
#define TINE_TESTS_UNIT_POOL_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

/** Blocks that are allocated and not freed. */
long memory_blocks(void);

/** Have the n-th allocation from now on fail; 0 = none. */
void memory_fail_at(long n);
/** Was it reached? */
bool memory_has_failed(void);

/** Memory that is neither counted nor fails. */
void *memory_of_libpq(size_t bytes);
void memory_free_of_libpq(void *memory);

#endif
