/* SPDX-License-Identifier: PostgreSQL */
/* SipHash-2-4-128 gives what OpenSSL's does: openssl mac -macopt size:16 SipHash. */
#include "preload/libpq/siphash.h"

#include "support/check.h"

static const uint64_t key[2] = { UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908) };

/* Of the bytes 0, 1, 2, ... under the key 00 to 0f. */
static const struct {
	size_t length;
	const char *hash;
} rows[] = {
	{ 0, "a3817f04ba25a8e66df67214c7550293" },  { 1, "da87c1d86b99af44347659119b22fc45" },
	{ 7, "a1f1ebbed8dbc153c0b84aa61ff08239" },  { 8, "3b62a9ba6258f5610f83e264f31497b4" },
	{ 15, "5493e99933b0a8117e08ec0f97cfc3d9" }, { 16, "6ee2a4ca67b054bbfd3315bf85230577" },
	{ 63, "5150d1772f50834a503e069a973fbd7c" },
	{ 255, "1c9bb67528165f8e468248e3799b0eab" }, { 256, "67a00304d3834c4612eaee7b5f579acb" },
	{ 257, "1b25fee1ef6fbb23179c26056c2995fc" }, { 600, "323d3c776c91bede6e3ff383924b39a0" },
};

TEST(known_hashes)
{
	unsigned char bytes[600];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)i;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		uint64_t words[2];
		char text[33];

		tine_siphash(words, key, bytes, rows[i].length);
		for (int byte = 0; byte < 16; byte++)
			snprintf(text + 2 * byte, 3, "%02x",
				 (unsigned)(words[byte / 8] >> byte % 8 * 8 & 0xff));
		CHECK_STR(text, rows[i].hash);
	}
}

CHECK_TABLE(T(known_hashes))
