/* SPDX-License-Identifier: PostgreSQL */
#include "web/request.h"

#include <string.h>
#include <strings.h>

/* ---- query ---------------------------------------------------------------------------------- */

static int digit_of(char byte)
{
	if (byte >= '0' && byte <= '9')
		return byte - '0';
	if (byte >= 'a' && byte <= 'f')
		return byte - 'a' + 10;
	return byte >= 'A' && byte <= 'F' ? byte - 'A' + 10 : -1;
}

/* One character, moving on. @return -1: none that can be printed */
static int next_of(const char **at, const char *end)
{
	const char *byte = (*at)++;
	int high, low;

	if (*byte == '+')
		return ' ';
	if (*byte != '%')
		return *byte >= ' ' && *byte <= '~' ? *byte : -1;
	if (end - byte < 3)
		return -1;
	high = digit_of(byte[1]);
	low = digit_of(byte[2]);
	*at = byte + 3;
	if (high < 0 || low < 0)
		return -1;
	return high * 16 + low >= ' ' && high * 16 + low <= '~' ? high * 16 + low : -1;
}

static bool decode(const char *at, const char *end, char *value, size_t size)
{
	size_t length = 0;

	while (at < end) {
		int byte = next_of(&at, end);

		if (byte < 0 || length + 1 == size) {
			*value = '\0';
			return false;
		}
		value[length++] = (char)byte;
		value[length] = '\0';
	}
	return true;
}

bool tine_query_get(const char *query, const char *name, char *value, size_t size)
{
	size_t name_length = strlen(name);

	*value = '\0';
	while (query && *query) {
		size_t length = strcspn(query, "&");

		if (length > name_length && query[name_length] == '=' &&
		    memcmp(query, name, name_length) == 0)
			return decode(query + name_length + 1, query + length, value, size);
		query += length + (query[length] == '&');
	}
	return false;
}

int64_t tine_query_number(const char *query, const char *name)
{
	char value[24];
	int64_t number = 0;

	if (!tine_query_get(query, name, value, sizeof(value)) || !*value)
		return -1;
	for (const char *at = value; *at; at++)
		if (*at < '0' || *at > '9' || __builtin_mul_overflow(number, 10, &number) ||
		    __builtin_add_overflow(number, *at - '0', &number))
			return -1;
	return number;
}

/* ---- Host ----------------------------------------------------------------------------------- */

static bool is_port(const char *text)
{
	size_t length = strlen(text);

	return length > 0 && length <= 5 && strspn(text, "0123456789") == length;
}

/* @param ret_length  of the name without brackets. @return where it begins; NULL: it is wrong */
static const char *name_of(const char *host, size_t *ret_length)
{
	const char *end;

	if (*host == '[') {
		end = strchr(++host, ']');
		if (!end || !memchr(host, ':', (size_t)(end - host)) ||
		    (end[1] && (end[1] != ':' || !is_port(end + 2))))
			return NULL;
	} else {
		end = host + strcspn(host, ":");
		if (*end && !is_port(end + 1))
			return NULL;
	}
	*ret_length = (size_t)(end - host);
	return host;
}

bool tine_host_is_one_of(const char *host, char *const names[])
{
	size_t length;
	const char *name = host ? name_of(host, &length) : NULL;

	if (!name || !length)
		return false;
	for (; *names; names++)
		if (strlen(*names) == length && strncasecmp(*names, name, length) == 0)
			return true;
	return false;
}
