/* SPDX-License-Identifier: PostgreSQL */
#include "prefork/heart.h"

#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"

size_t tine_heart_bytes(int units)
{
	return sizeof(struct tine_heart) + (size_t)units * sizeof(struct tine_watch);
}

struct tine_heart *tine_heart_new(int units)
{
	void *memory = mmap(NULL, tine_heart_bytes(units), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

void tine_heart_free(struct tine_heart *heart, int units)
{
	if (heart)
		munmap(heart, tine_heart_bytes(units));
}

void tine_watch_begin(struct tine_watch *watch, const char *name, int64_t now_ns,
		      int64_t deadline_ns)
{
	uint64_t words[TINE_UNIT_NAME_WORDS] = { 0 };

	memcpy(words, name, strnlen(name, TINE_UNIT_NAME_BYTES - 1));
	for (int i = 0; i < TINE_UNIT_NAME_WORDS; i++)
		atomic_store_explicit(&watch->name[i], words[i], memory_order_relaxed);
	tine_watch_extend(watch, deadline_ns);
	atomic_store(&watch->began_ns, now_ns);
}

void tine_watch_extend(struct tine_watch *watch, int64_t deadline_ns)
{
	atomic_fetch_add(&watch->serial, 1);
	atomic_store(&watch->deadline_ns, deadline_ns);
}

void tine_watch_end(struct tine_watch *watch)
{
	atomic_store(&watch->deadline_ns, 0);
	atomic_store(&watch->began_ns, 0);
}

bool tine_watch_is_late(const struct tine_watch *watch, int64_t now_ns)
{
	int64_t deadline = atomic_load(&watch->deadline_ns);

	return atomic_load(&watch->began_ns) != 0 && deadline != 0 && now_ns >= deadline;
}

void tine_watch_name(const struct tine_watch *watch, char name[TINE_UNIT_NAME_BYTES])
{
	uint64_t words[TINE_UNIT_NAME_WORDS];

	for (int i = 0; i < TINE_UNIT_NAME_WORDS; i++)
		words[i] = atomic_load_explicit(&watch->name[i], memory_order_relaxed);
	memcpy(name, words, TINE_UNIT_NAME_BYTES);
	name[TINE_UNIT_NAME_BYTES - 1] = '\0';
}

const struct tine_watch *tine_heart_longest(const struct tine_heart *heart, int units)
{
	const struct tine_watch *longest = NULL;
	int64_t oldest = INT64_MAX;

	for (int i = 0; i < units; i++) {
		int64_t began = atomic_load(&heart->watches[i].began_ns);

		if (began != 0 && began < oldest) {
			oldest = began;
			longest = &heart->watches[i];
		}
	}
	return longest;
}

uint64_t tine_watch_time_us(const struct tine_watch *watch, int64_t now_ns)
{
	int64_t began = atomic_load(&watch->began_ns);

	return began > 0 && began < now_ns ? (uint64_t)(now_ns - began) / TINE_NS_PER_US : 0;
}
