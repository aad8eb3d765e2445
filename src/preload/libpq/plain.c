/* SPDX-License-Identifier: PostgreSQL */
#include "preload/libpq/plain.h"

#include <string.h>
#include <strings.h>

#include "base/hot.h"

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
static bool ends_temp(const unsigned char *p)
{
	return (p[-1] | 0x20) == 'm' && strncasecmp((const char *)p - 3, "tem", 3) == 0;
}

/* Not inlined: the compiler makes one slow loop of the two. */
__attribute__((noinline)) static const unsigned char *skip_always(const unsigned char *at)
{
	while (kinds[*at] == ALWAYS)
		at++;
	return at;
}

TINE_HOT_CODE
bool tine_plain_is_select(const char *sql)
{
	const unsigned char *at = (const unsigned char *)sql + strlen("select ");

	if (strncasecmp(sql, "select ", strlen("select ")) != 0)
		return false;
	for (;; at++) {
		at = skip_always(at);
		switch (kinds[*at]) {
		case LETTER_P:
			if (ends_temp(at))
				return false;
			break;
		case PARAMETER: /* not the beginning of a quoted text */
			if (at[1] < '0' || at[1] > '9')
				return false;
			break;
		case END:
			return is_blank((const char *)at + 1);
		default:
			return !*at;
		}
	}
}
