/* SPDX-License-Identifier: PostgreSQL */
/*
 * Passwords are kept as libsodium's crypto_pwhash_str() makes them: Argon2id, 64 MiB, some 0.1 s.
 *
 * Locks: none. Fork: nothing to do.
 */
#ifndef RECORDS_PASSWORD_H
#define RECORDS_PASSWORD_H

#include <stdbool.h>

#define PASSWORD_LEAST_BYTES 8
#define PASSWORD_MOST_BYTES 1024
#define PASSWORD_HASH_BYTES 128

/** @return 0 or -1: no memory */
int password_hash(const char *password, char hash[PASSWORD_HASH_BYTES]);

bool password_is(const char *hash, const char *password);

/** A hash that no password has, which takes as long to find out. Constant. */
const char *password_of_nobody(void);

#endif
