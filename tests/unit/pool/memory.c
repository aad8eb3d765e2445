/* SPDX-License-Identifier: PostgreSQL */
#include "unit/pool/memory.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t most);
void __real_free(void *memory);

void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t most);
void __wrap_free(void *memory);

static _Atomic long blocks, failing;
static _Atomic bool has_failed;

long memory_blocks(void)
{
	return atomic_load(&blocks);
}

void memory_fail_at(long n)
{
	atomic_store(&has_failed, false);
	atomic_store(&failing, n);
}

bool memory_has_failed(void)
{
	return atomic_load(&has_failed);
}

static bool fails(void)
{
	if (atomic_load(&failing) == 0 || atomic_fetch_sub(&failing, 1) != 1)
		return false;
	atomic_store(&has_failed, true);
	errno = ENOMEM;
	return true;
}

static void *count(void *memory)
{
	if (memory)
		atomic_fetch_add(&blocks, 1);
	return memory;
}

void *__wrap_malloc(size_t bytes)
{
	return fails() ? NULL : count(__real_malloc(bytes));
}

void *__wrap_calloc(size_t number, size_t bytes)
{
	return fails() ? NULL : count(__real_calloc(number, bytes));
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
	return fails() ? NULL : count(__real_aligned_alloc(alignment, bytes));
}

char *__wrap_strdup(const char *text)
{
	return fails() ? NULL : count(__real_strdup(text));
}

char *__wrap_strndup(const char *text, size_t most)
{
	return fails() ? NULL : count(__real_strndup(text, most));
}

void *__wrap_realloc(void *old, size_t bytes)
{
	void *memory = fails() ? NULL : __real_realloc(old, bytes);

	if (memory && !old)
		count(memory);
	return memory;
}

void __wrap_free(void *memory)
{
	if (memory)
		atomic_fetch_sub(&blocks, 1);
	__real_free(memory);
}

void *memory_of_libpq(size_t bytes)
{
	return __real_malloc(bytes);
}

void memory_free_of_libpq(void *memory)
{
	__real_free(memory);
}
