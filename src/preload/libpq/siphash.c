/* SPDX-License-Identifier: PostgreSQL */
#include "preload/libpq/siphash.h"

#include <endian.h>
#include <string.h>

static uint64_t rotate(uint64_t word, int bits)
{
	return word << bits | word >> (64 - bits);
}

static inline void mix(uint64_t v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] = rotate(v[0], 32) + v[3];
	v[2] += v[1];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

static uint64_t word_at(const uint8_t *bytes, size_t length)
{
	uint64_t word = 0;

	memcpy(&word, bytes, length);
	return le64toh(word);
}

/* What is held, but for a last word that is not full. */
static void take_held(struct tine_siphash *hash)
{
	uint64_t v[4] = { hash->v[0], hash->v[1], hash->v[2], hash->v[3] };
	size_t full = hash->held_bytes & ~(size_t)7;

	for (const uint8_t *at = hash->held; at < hash->held + full; at += 8) {
		uint64_t word = word_at(at, 8);

		v[3] ^= word;
		mix(v);
		mix(v);
		v[0] ^= word;
	}
	memcpy(hash->v, v, sizeof(v));
	hash->length += full;
	hash->held_bytes -= full;
	memmove(hash->held, hash->held + full, hash->held_bytes);
}

void tine_siphash_begin(struct tine_siphash *hash, const uint64_t key[2])
{
	hash->v[0] = key[0] ^ UINT64_C(0x736f6d6570736575);
	hash->v[1] = key[1] ^ UINT64_C(0x646f72616e646f6d) ^ 0xee;
	hash->v[2] = key[0] ^ UINT64_C(0x6c7967656e657261);
	hash->v[3] = key[1] ^ UINT64_C(0x7465646279746573);
	hash->length = 0;
	hash->held_bytes = 0;
}

void tine_siphash_add(struct tine_siphash *hash, const void *bytes, size_t length)
{
	while (length > 0) {
		size_t here = sizeof(hash->held) - hash->held_bytes;

		if (here > length)
			here = length;
		memcpy(hash->held + hash->held_bytes, bytes, here);
		hash->held_bytes += here;
		bytes = (const uint8_t *)bytes + here;
		length -= here;
		if (hash->held_bytes == sizeof(hash->held))
			take_held(hash);
	}
}

static uint64_t finish(uint64_t v[4], uint64_t end)
{
	v[2] ^= end;
	for (int i = 0; i < 4; i++)
		mix(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void tine_siphash_end(struct tine_siphash *hash, uint64_t ret[2])
{
	uint64_t *v = hash->v, last;

	take_held(hash);
	last = word_at(hash->held, hash->held_bytes) | (hash->length + hash->held_bytes) << 56;
	explicit_bzero(hash->held, sizeof(hash->held));
	v[3] ^= last;
	mix(v);
	mix(v);
	v[0] ^= last;
	ret[0] = finish(v, 0xee);
	v[1] ^= 0xdd;
	ret[1] = finish(v, 0);
}
