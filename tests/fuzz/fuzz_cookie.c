/* SPDX-License-Identifier: PostgreSQL */
/*
 * The Cookie header of whoever sends one, and a form's word. Whatever is in them: a value is found
 * within the header and by its whole name, no token is genuine but the one that was signed, and
 * what is read is what was written.
 */
#include "cookie.h"

#include <stdlib.h>
#include <string.h>

#define NAME "records_session"
#define NOW 1000

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void check(bool good)
{
	if (!good)
		__builtin_trap();
}

static void check_token(const struct keys *keys, const char *text, size_t length)
{
	char again[TOKEN_TEXT_BYTES];
	struct token token;

	if (!token_read(keys, KEY_SESSION, text, length, NOW, &token))
		return;
	token_write(keys, KEY_SESSION, &token, again);
	check(token.expires_s > NOW);
	check(strlen(again) == length && memcmp(again, text, length) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	static struct keys keys;
	static struct token token;
	char *header = malloc(length + 1);
	const char *value;
	size_t value_length;

	if (!header)
		return 0;
	if (token.expires_s == 0) {
		keys_make(&keys, "a secret of more than thirty-two bytes");
		token_make(&token, NOW + 1);
	}
	memcpy(header, bytes, length);
	header[length] = '\0';
	value = cookie_find(header, NAME, &value_length);
	if (value) {
		check(value >= header && value + value_length <= header + strlen(header));
		check(value - header > (long)strlen(NAME) && value[-1] == '=');
		check(memcmp(value - 1 - strlen(NAME), NAME, strlen(NAME)) == 0);
		check(!memchr(value, ';', value_length));
		check_token(&keys, value, value_length);
	}
	check_token(&keys, header, length);
	check(!form_word_is(&keys, KEY_SESSION, &token, header));
	free(header);
	return 0;
}
