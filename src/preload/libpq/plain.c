/* SPDX-License-Identifier: PostgreSQL */
#include "preload/libpq/plain.h"

#include <stddef.h>
#include <strings.h>

/* What a byte may be. Without '(' no function is called and no other statement is inside; without
 * quotes, '\\', '/' and '-' every byte means what it says; bytes above 127 may be anything. */
enum { NEVER, ALWAYS, END, PARAMETER, LETTER_P };

static const unsigned char kinds[256] = {
	['a' ... 'o'] = ALWAYS, ['q' ... 'z'] = ALWAYS, ['p'] = LETTER_P, ['P'] = LETTER_P,
	['A' ... 'O'] = ALWAYS, ['Q' ... 'Z'] = ALWAYS, [';'] = END,      ['$'] = PARAMETER,
	['0' ... '9'] = ALWAYS, ['_'] = ALWAYS,         [' '] = ALWAYS,   ['\n'] = ALWAYS,
	['\t'] = ALWAYS,        ['\r'] = ALWAYS,        [','] = ALWAYS,   ['.'] = ALWAYS,
	['*'] = ALWAYS,         ['='] = ALWAYS,         ['<'] = ALWAYS,   ['>'] = ALWAYS,
	['+'] = ALWAYS,
};

static bool is_blank(const char *text)
{
	while (*text == ' ' || *text == '\n' || *text == '\t' || *text == '\r')
		text++;
	return !*text;
}

/* TEMP, TEMPORARY, pg_temp: SELECT INTO may make such a table, or name one. */
static bool ends_temp(const char *sql, size_t at)
{
	return at >= 3 && strncasecmp(sql + at - 3, "tem", 3) == 0;
}

bool tine_plain_is_select(const char *sql)
{
	size_t at = 7;

	if (strncasecmp(sql, "select ", at) != 0)
		return false;
	for (;; at++) {
		while (kinds[(unsigned char)sql[at]] == ALWAYS)
			at++;
		switch (kinds[(unsigned char)sql[at]]) {
		case LETTER_P:
			if (ends_temp(sql, at))
				return false;
			break;
		case PARAMETER: /* not the beginning of a quoted text */
			if (sql[at + 1] < '0' || sql[at + 1] > '9')
				return false;
			break;
		case END:
			return is_blank(sql + at + 1);
		default:
			return !sql[at];
		}
	}
}
