/* SPDX-License-Identifier: PostgreSQL */
/*
 * A word: 24 bits that tell whose it is, 24 of the minute, 16 of the count.
 */
#include "limit.h"

#include <string.h>
#include <sys/mman.h>

#include <sodium.h>

#define COUNT_MAX 0xffff

_Static_assert(sizeof(((struct limits *)0)->key) == crypto_shorthash_KEYBYTES, "key");

int limits_make(struct limits *limits)
{
	void *memory = mmap(NULL, LIMIT_PLACES * sizeof(*limits->places), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return -1;
	limits->places = memory;
	randombytes_buf(limits->key, sizeof(limits->key));
	return 0;
}

struct place {
	_Atomic uint64_t *word;
	uint64_t head; /* whose and when, above the count */
};

static struct place find(const struct limits *limits, enum limit_kind kind, const char *of,
			 int64_t now_s)
{
	uint64_t hash, minute = (uint64_t)(now_s / 60) & 0xffffff;
	unsigned char text[256] = { (unsigned char)kind };
	size_t length = strnlen(of, sizeof(text) - 1);

	memcpy(text + 1, of, length);
	crypto_shorthash((unsigned char *)&hash, text, length + 1, limits->key);
	return (struct place){
		.word = &limits->places[hash % LIMIT_PLACES],
		.head = (hash >> 40 << 24 | minute) << 16,
	};
}

static int count_of(uint64_t word, uint64_t head)
{
	return (word & ~(uint64_t)COUNT_MAX) == head ? (int)(word & COUNT_MAX) : 0;
}

int limits_count(const struct limits *limits, enum limit_kind kind, const char *of, int64_t now_s)
{
	struct place place = find(limits, kind, of, now_s);
	uint64_t word = atomic_load(place.word);
	int count;

	do {
		count = count_of(word, place.head);
		if (count < COUNT_MAX)
			count++;
	} while (!atomic_compare_exchange_weak(place.word, &word, place.head | (uint64_t)count));
	return count;
}

void limits_take_back(const struct limits *limits, enum limit_kind kind, const char *of,
		      int64_t now_s)
{
	struct place place = find(limits, kind, of, now_s);
	uint64_t word = atomic_load(place.word);

	while (count_of(word, place.head) > 0)
		if (atomic_compare_exchange_weak(place.word, &word, word - 1))
			return;
}
