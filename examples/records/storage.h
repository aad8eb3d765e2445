/* SPDX-License-Identifier: PostgreSQL */
/*
 * Where the bytes of documents are. Two implementations, one interface. Keys are made here, never
 * taken from outside, and are 32 hexadecimal digits; anything else is refused.
 *
 * Locks: none. Fork: nothing is open between calls.
 */
#ifndef RECORDS_STORAGE_H
#define RECORDS_STORAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"

#define STORAGE_KEY_BYTES 33

enum storage_result {
	STORAGE_OK = 0,
	STORAGE_ABSENT = 1,  /* there is no such object: told, and not a failure */
	STORAGE_FAILED = -1, /* with a text */
};

struct storage_error {
	char text[200];
};

struct storage {
	/** Keep size_bytes of fd from its beginning. Replaces what has that key.
	 *  @param sha256 of them, as 64 hexadecimal digits */
	int (*put)(struct storage *storage, const char *key, int fd, int64_t size_bytes,
		   const char *sha256, struct storage_error *error);
	/** @param ret_fd receives a descriptor at the beginning, the caller's */
	int (*get)(struct storage *storage, const char *key, int *ret_fd, int64_t *ret_size_bytes,
		   struct storage_error *error);
	/** STORAGE_ABSENT when it was gone already. */
	int (*remove)(struct storage *storage, const char *key, struct storage_error *error);
	int (*exists)(struct storage *storage, const char *key, struct storage_error *error);
	const struct config *config;
	int directory; /* of local */
};

/** Open what the settings name. @param error receives one line
 *  @return 0 or -1 */
int storage_open(struct storage *storage, const struct config *config, char *error,
		 size_t error_size);
void storage_close(struct storage *storage);

/** A new key. */
void storage_key(char key[STORAGE_KEY_BYTES]);

bool storage_is_key(const char *key);

/* The implementations; storage_open() chooses. */
int storage_local_open(struct storage *storage, char *error, size_t error_size);
void storage_s3_open(struct storage *storage);

#endif
