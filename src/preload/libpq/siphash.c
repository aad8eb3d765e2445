/* SPDX-License-Identifier: PostgreSQL */
#include "preload/libpq/siphash.h"

#include <endian.h>
#include <string.h>

static uint64_t rotate(uint64_t word, int bits)
{
	return word << bits | word >> (64 - bits);
}

static void mix(uint64_t v[4], int rounds)
{
	while (rounds-- > 0) {
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
}

static void take_word(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	mix(v, 2);
	v[0] ^= word;
}

void tine_siphash_begin(struct tine_siphash *hash, const uint64_t key[2])
{
	*hash = (struct tine_siphash){
		.v = { key[0] ^ UINT64_C(0x736f6d6570736575),
		       key[1] ^ UINT64_C(0x646f72616e646f6d) ^ 0xee,
		       key[0] ^ UINT64_C(0x6c7967656e657261),
		       key[1] ^ UINT64_C(0x7465646279746573) },
	};
}

/* Up to eight bytes at once, wherever the last word ended: what does not fit in it begins the next.
 * @param word  little-endian, with zeroes behind its bytes */
static void add_word(struct tine_siphash *hash, uint64_t word, size_t bytes)
{
	unsigned filled = hash->length % 8;

	hash->length += bytes;
	hash->word |= word << 8 * filled;
	if (filled + bytes < 8)
		return;
	take_word(hash->v, hash->word);
	hash->word = filled ? word >> (64 - 8 * filled) : 0;
}

void tine_siphash_add(struct tine_siphash *hash, const void *bytes, size_t length)
{
	const uint8_t *byte = bytes;
	uint64_t word;

	for (; length >= sizeof(word); byte += sizeof(word), length -= sizeof(word)) {
		memcpy(&word, byte, sizeof(word));
		add_word(hash, le64toh(word), sizeof(word));
	}
	if (!length)
		return;
	word = 0;
	memcpy(&word, byte, length);
	add_word(hash, le64toh(word), length);
}

void tine_siphash_end(struct tine_siphash *hash, uint64_t ret[2])
{
	uint64_t *v = hash->v;

	take_word(v, hash->word | hash->length << 56);
	v[2] ^= 0xee;
	mix(v, 4);
	ret[0] = v[0] ^ v[1] ^ v[2] ^ v[3];
	v[1] ^= 0xdd;
	mix(v, 4);
	ret[1] = v[0] ^ v[1] ^ v[2] ^ v[3];
}
