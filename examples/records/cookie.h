/* SPDX-License-Identifier: PostgreSQL */
/*
 * What browsers keep for us: a number and its end, signed. And what forms carry: a word that goes
 * with that number and that only we can make. Signed by libsodium's crypto_auth, with keys derived
 * from RECORDS_SECRET, one for each use.
 *
 * A token is base64url of 24 bytes of number, 8 of its end in seconds since 1970, 32 of signature.
 * That it is genuine and not over is known without asking the database.
 *
 * Locks: none. Fork: constant keys.
 */
#ifndef RECORDS_COOKIE_H
#define RECORDS_COOKIE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TOKEN_ID_BYTES 24
#define TOKEN_TEXT_BYTES 88 /* with the 0 byte */
#define FORM_TEXT_BYTES 44  /* with the 0 byte */
#define KEY_BYTES 32

enum key_use { KEY_SESSION, KEY_VISIT, KEY_FORM, KEY_COUNT };

struct keys {
	unsigned char key[KEY_COUNT][KEY_BYTES];
};

struct token {
	unsigned char id[TOKEN_ID_BYTES];
	int64_t expires_s; /* since 1970 */
};

/** Derive the keys. @param secret any length */
void keys_make(struct keys *keys, const char *secret);

/** A new number, that nobody can guess. */
void token_make(struct token *token, int64_t expires_s);

void token_write(const struct keys *keys, enum key_use use, const struct token *token,
		 char text[TOKEN_TEXT_BYTES]);

/** @param length of text, which need not end there
 *  @return true when it is one that this service signed for that use, and is not over */
bool token_read(const struct keys *keys, enum key_use use, const char *text, size_t length,
		int64_t now_s, struct token *ret_token);

/** The word of a form for who has that token.
 *  @param use of the token: those of a session and of a visit differ */
void form_word(const struct keys *keys, enum key_use use, const struct token *token,
	       char text[FORM_TEXT_BYTES]);

/** Compare in a time that tells nothing. */
bool form_word_is(const struct keys *keys, enum key_use use, const struct token *token,
		  const char *text);

/** Find a cookie in a Cookie header. The first of a name counts.
 *  @param ret_length receives the value's length
 *  @return the value, in header; NULL when there is none */
const char *cookie_find(const char *header, const char *name, size_t *ret_length);

#endif
