/* SPDX-License-Identifier: PostgreSQL */
#include "storage.h"

#include <string.h>
#include <unistd.h>

#include <sodium.h>

int storage_open(struct storage *storage, const struct config *config, char *error,
		 size_t error_size)
{
	*storage = (struct storage){ .config = config, .directory = -1 };
	if (config->storage == STORAGE_LOCAL)
		return storage_local_open(storage, error, error_size);
	storage_s3_open(storage);
	return 0;
}

void storage_close(struct storage *storage)
{
	if (storage->directory >= 0)
		close(storage->directory);
	storage->directory = -1;
}

void storage_key(char key[STORAGE_KEY_BYTES])
{
	unsigned char bytes[(STORAGE_KEY_BYTES - 1) / 2];

	randombytes_buf(bytes, sizeof(bytes));
	sodium_bin2hex(key, STORAGE_KEY_BYTES, bytes, sizeof(bytes));
}

bool storage_is_key(const char *key)
{
	return strspn(key, "0123456789abcdef") == STORAGE_KEY_BYTES - 1 &&
	       key[STORAGE_KEY_BYTES - 1] == '\0';
}
