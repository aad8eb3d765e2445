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

static inline void take(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	mix(v);
	mix(v);
	v[0] ^= word;
}

static inline uint64_t word_at(const uint8_t *bytes, size_t length)
{
	uint64_t word = 0;

	memcpy(&word, bytes, length);
	return le64toh(word);
}

static uint64_t finish(uint64_t v[4], uint64_t end)
{
	v[2] ^= end;
	for (int i = 0; i < 4; i++)
		mix(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void tine_siphash(uint64_t ret[2], const uint64_t key[2], const void *bytes, size_t length)
{
	uint64_t v[4] = {
		key[0] ^ UINT64_C(0x736f6d6570736575),
		key[1] ^ UINT64_C(0x646f72616e646f6d) ^ 0xee,
		key[0] ^ UINT64_C(0x6c7967656e657261),
		key[1] ^ UINT64_C(0x7465646279746573),
	};
	const uint8_t *at = bytes, *rest = at + (length & ~(size_t)7);

	for (; at < rest; at += 8)
		take(v, word_at(at, 8));
	take(v, word_at(rest, length & 7) | (uint64_t)length << 56);
	ret[0] = finish(v, 0xee);
	v[1] ^= 0xdd;
	ret[1] = finish(v, 0);
}
