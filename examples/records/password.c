/* SPDX-License-Identifier: PostgreSQL */
#include "password.h"

#include <string.h>

#include <sodium.h>

_Static_assert(PASSWORD_HASH_BYTES == crypto_pwhash_STRBYTES, "a hash's size");

int password_hash(const char *password, char hash[PASSWORD_HASH_BYTES])
{
	return crypto_pwhash_str(hash, password, strlen(password),
				 crypto_pwhash_OPSLIMIT_INTERACTIVE,
				 crypto_pwhash_MEMLIMIT_INTERACTIVE);
}

bool password_is(const char *hash, const char *password)
{
	char padded[PASSWORD_HASH_BYTES] = "";

	if (strlen(hash) >= sizeof(padded) || strlen(password) > PASSWORD_MOST_BYTES)
		return false;
	strcpy(padded, hash);
	return crypto_pwhash_str_verify(padded, password, strlen(password)) == 0;
}

const char *password_of_nobody(void)
{
	return "$argon2id$v=19$m=65536,t=2,p=1$bm9ib2R5IGhhcyB0aGlzIQ$"
	       "bm9ib2R5J3MgcGFzc3dvcmQgaGFzIHRoaXMgaGFzaC4";
}
