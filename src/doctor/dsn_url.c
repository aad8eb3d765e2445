/* SPDX-License-Identifier: PostgreSQL */
/*
 * URLs with a driver's name in them: their query part is the driver's, not libpq's.
 *
 * Locks: none. Fork: nothing to do.
 */
#include <string.h>

#include "doctor/dsn.h"

/* The driver's names of what libpq knows too. */
static const struct {
	const char *theirs, *ours;
} names[] = {
	{ "ssl", "sslmode" }, /* asyncpg */
	{ "timeout", "connect_timeout" },
};

static bool is_known(const PQconninfoOption *options, const char *name, size_t length)
{
	for (; options->keyword; options++)
		if (strlen(options->keyword) == length &&
		    strncmp(options->keyword, name, length) == 0)
			return true;
	return false;
}

static const char *rename_parameter(const char *name, size_t *length)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strlen(names[i].theirs) == *length &&
		    strncmp(names[i].theirs, name, *length) == 0) {
			*length = strlen(names[i].ours);
			return names[i].ours;
		}
	return name;
}

bool tine_dsn_has_driver(const char *conninfo)
{
	const char *scheme_end = strstr(conninfo, "://");
	const char *plus = strchr(conninfo, '+');

	return scheme_end && plus && plus < scheme_end;
}

void tine_dsn_url_translate(const char *url, const PQconninfoOption *options, char *ret_url)
{
	const char *query = strchr(url, '?');
	size_t before = query ? (size_t)(query - url) : strlen(url);
	char *to = mempcpy(ret_url, url, before), separator = '?';

	for (const char *at = query; at && *at; at = strpbrk(at + 1, "&")) {
		size_t whole = strcspn(at + 1, "&"), length = strcspn(at + 1, "=&");
		size_t rest = whole - length;
		const char *value = at + 1 + length;
		const char *name = rename_parameter(at + 1, &length);

		if (!is_known(options, name, length))
			continue;
		*to++ = separator;
		memcpy(to, name, length);
		memcpy(to + length, value, rest);
		to += length + rest;
		separator = '&';
	}
	*to = '\0';
}
