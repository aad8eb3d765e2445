/* SPDX-License-Identifier: PostgreSQL */
/*
 * Taking passwords out of text that came from a command line, an environment or a file. What looks
 * like one goes; a word too many is better than one too few.
 *
 * Locks: none. Fork: nothing to do.
 */
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "doctor/doctor.h"

#define MASK "***"

/* Between the words of a command line, besides blanks. */
#define BETWEEN TINE_DOCTOR_SEPARATOR

/* Puts the mask, or as much of it as fits, in the place of length bytes. Returns where the text
 * goes on. */
static char *mask(char *start, size_t length)
{
	size_t masked = length < strlen(MASK) ? length : strlen(MASK);

	memset(start, '*', masked);
	memmove(start + masked, start + length, strlen(start + length) + 1);
	return start + masked;
}

/* "://user:SECRET@": the last '@' before the path ends it, since a password may hold one. */
static void redact_urls(char *text)
{
	for (char *at = strstr(text, "://"); at; at = strstr(at, "://")) {
		size_t authority;
		char *end, *colon;

		at += strlen("://");
		authority = strcspn(at, "/?# \t\"'" BETWEEN);
		end = memrchr(at, '@', authority);
		if (!end)
			continue;
		colon = memchr(at, ':', (size_t)(end - at));
		if (colon)
			at = mask(colon + 1, (size_t)(end - colon) - 1);
	}
}

/* The value after "password=", "password ", "password: '": quoted up to the quote, else a word. */
static char *redact_value(char *value)
{
	size_t blanks = strspn(value, " \t\"':=" BETWEEN);
	char quote = '\0';

	for (size_t i = 0; i < blanks; i++)
		if (value[i] == '"' || value[i] == '\'')
			quote = value[i];
	value += blanks;
	if (quote)
		return mask(value, strcspn(value, (char[]){ quote, *BETWEEN, '\0' }));
	return mask(value, strcspn(value, " \t&;," BETWEEN));
}

char *tine_doctor_redact(char *text)
{
	static const char *const names[] = { "password", "passwd", "passfile", "pgpass",
					     "secret",   "token",  "api_key",  "apikey" };

	redact_urls(text);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		for (char *at = strcasestr(text, names[i]); at; at = strcasestr(at, names[i])) {
			at += strlen(names[i]);
			/* The rest of the name, as in PGPASSWORD_FILE or secret_key. */
			at += strspn(at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-");
			if (*at && strchr("=: \t\"'" BETWEEN, *at))
				at = redact_value(at);
		}
	return text;
}
