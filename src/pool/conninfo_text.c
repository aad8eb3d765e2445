/* SPDX-License-Identifier: PostgreSQL */
/*
 * The forms of a URL, and the removal of secrets from libpq's messages.
 *
 * Locks: none. Fork: nothing to do.
 */
#include "pool/conninfo_text.h"

#include <locale.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_BYTES "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"

static const char *const schemes[] = { "postgresql", "postgres" };

/* The length of "+driver" at the beginning of text, when "://" follows. */
static size_t driver_length(const char *text)
{
	size_t length;

	if (*text != '+')
		return 0;
	length = 1 + strspn(text + 1, NAME_BYTES);
	return length > 1 && strncmp(text + length, "://", 3) == 0 ? length : 0;
}

int tine_conninfo_text_foreign(const char *conninfo)
{
	size_t length = strspn(conninfo, NAME_BYTES "+.-");

	if (strncmp(conninfo + length, "://", 3) != 0)
		return 0;
	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
		if (length == strlen(schemes[i]) && strncmp(conninfo, schemes[i], length) == 0)
			return 0;
	return (int)length;
}

char *tine_conninfo_text_plain(const char *conninfo)
{
	char *copy = strdup(conninfo);

	for (size_t i = 0; copy && i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		size_t scheme = strlen(schemes[i]), driver;

		if (strncmp(copy, schemes[i], scheme) != 0)
			continue;
		driver = driver_length(copy + scheme);
		memmove(copy + scheme, copy + scheme + driver, strlen(copy + scheme + driver) + 1);
	}
	return copy;
}

PQconninfoOption *tine_conninfo_text_parse(const struct tine_pq *pq, const char *conninfo,
					   char **ret_message)
{
	locale_t english = newlocale(LC_ALL_MASK, "C", (locale_t)0), before;
	PQconninfoOption *options;

	*ret_message = NULL;
	if (!english)
		return NULL;
	before = uselocale(english);
	options = pq->conninfo_parse(conninfo, ret_message);
	uselocale(before);
	freelocale(english);
	return options;
}

/* A name is what stands before "=" and, in a URL, not before the "@" that ends a password. */
static bool is_parameter_name(const char *name, size_t length, const char *conninfo)
{
	bool is_url = strstr(conninfo, "://") != NULL;

	if (length == 0 || strspn(name, NAME_BYTES) < length)
		return false;
	for (const char *p = conninfo; (p = memmem(p, strlen(p), name, length)) != NULL; p++) {
		const char *after = p + length + strspn(p + length, " \t\r\n");
		bool begins = p == conninfo || !strchr(NAME_BYTES, p[-1]);

		if (begins && *after == '=' && !(is_url && strchr(after, '@')))
			return true;
	}
	return false;
}

/* Where the message begins to repeat something. In these it has quotes of its own before. */
static const char *find_repeated(const char *message)
{
	static const char *const heads[] = {
		"missing \"=\" after ",
		"extra key/value separator \"=\" in ",
		"missing key/value separator \"=\" in ",
		"end of string reached when looking for matching \"]\" in ",
	};

	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
		if (strncmp(message, heads[i], strlen(heads[i])) == 0)
			return strchr(message + strlen(heads[i]), '"');
	return strchr(message, '"');
}

void tine_conninfo_text_mask(char *text, size_t size, const char *message, const char *conninfo)
{
	const char *first = find_repeated(message);
	/* What is repeated may have quotes in it, so it ends at the last one. */
	const char *last = first ? strrchr(message, '"') : NULL;

	if (!first ||
	    (last > first && is_parameter_name(first + 1, (size_t)(last - first - 1), conninfo)))
		snprintf(text, size, "%s", message);
	else
		snprintf(text, size, "%.*s\"...\"%s", (int)(first - message), message,
			 last > first ? last + 1 : "");
}

void tine_conninfo_text_hide(char *text, const char *secret)
{
	size_t length = strlen(secret);
	char *at = text;

	while ((at = strstr(at, secret)) != NULL) {
		/* Never longer than what it replaces, so that the text keeps its place. */
		size_t stars = length < 3 ? length : 3;

		memset(at, '*', stars);
		memmove(at + stars, at + length, strlen(at + length) + 1);
		at += stars;
	}
}

int tine_conninfo_text_count(const char *list)
{
	int count = 1;

	for (; *list; list++)
		count += *list == ',';
	return count;
}

char *tine_conninfo_text_element(const char *list, int index, const char *otherwise)
{
	size_t length;

	if (!strchr(list, ','))
		index = 0;
	for (; index > 0; index--)
		list += strcspn(list, ",") + 1;
	length = strcspn(list, ",");
	return length ? strndup(list, length) : strdup(otherwise);
}
