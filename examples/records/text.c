/* SPDX-License-Identifier: PostgreSQL */
#include "text.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- UTF-8 ---------------------------------------------------------------------------------- */

/* The length of the character that text begins with, 0 when it is none. */
static size_t character(const unsigned char *text)
{
	static const struct {
		unsigned char mask, lead;
		uint32_t least;
	} forms[] = { { 0x80, 0x00, 0 },
		      { 0xe0, 0xc0, 0x80 },
		      { 0xf0, 0xe0, 0x800 },
		      { 0xf8, 0xf0, 0x10000 } };

	for (size_t length = 1; length <= 4; length++) {
		uint32_t code = text[0] & (unsigned char)~forms[length - 1].mask;

		if ((text[0] & forms[length - 1].mask) != forms[length - 1].lead)
			continue;
		for (size_t i = 1; i < length; i++) {
			if ((text[i] & 0xc0) != 0x80)
				return 0;
			code = code << 6 | (text[i] & 0x3f);
		}
		if (code < forms[length - 1].least || code > 0x10ffff ||
		    (code >= 0xd800 && code <= 0xdfff))
			return 0;
		return length;
	}
	return 0;
}

static bool is_control(const unsigned char *text)
{
	/* C1 is C2 80 to C2 9F. */
	return text[0] < 0x20 || text[0] == 0x7f || (text[0] == 0xc2 && text[1] < 0xa0);
}

bool text_is_plain(const char *text, size_t minimum, size_t maximum)
{
	const unsigned char *at = (const unsigned char *)text;
	size_t length = strlen(text);

	if (length < minimum || length > maximum)
		return false;
	while (*at) {
		size_t bytes = character(at);

		if (bytes == 0 || (is_control(at) && *at != '\n' && *at != '\t' && *at != '\r'))
			return false;
		at += bytes;
	}
	return true;
}

/* How much of it is surely ASCII: words without a high bit. */
static size_t ascii_words(const char *text, size_t length)
{
	const uint64_t high = UINT64_C(0x8080808080808080);
	size_t at = 0;
	uint64_t word;

	for (; length - at >= sizeof(word); at += sizeof(word)) {
		memcpy(&word, text + at, sizeof(word));
		if (word & high)
			break;
	}
	return at;
}

bool text_is_utf8(const char *text, size_t length)
{
	size_t at = ascii_words(text, length);

	while (at < length) {
		/* The 0 byte behind the text is in no character. */
		size_t bytes = character((const unsigned char *)text + at);

		if (bytes == 0)
			return false;
		at += bytes;
	}
	return true;
}

size_t text_fit(const char *text, size_t most_bytes)
{
	size_t used = 0;

	while (text[used]) {
		size_t bytes = character((const unsigned char *)text + used);

		if (bytes == 0 || used + bytes > most_bytes)
			break;
		used += bytes;
	}
	return used;
}

/* ---- files ---------------------------------------------------------------------------------- */

const char *text_file_name(struct arena *arena, const char *name)
{
	const unsigned char *at;
	size_t used = 0;
	char *clean;

	for (const char *byte = name; *byte; byte++)
		if (*byte == '/' || *byte == '\\')
			name = byte + 1;
	at = (const unsigned char *)name;
	clean = arena_take(arena, FILE_NAME_BYTES + 1);
	while (*at) {
		size_t bytes = character(at);

		if (bytes == 0 || is_control(at)) {
			at += bytes ? bytes : 1;
			continue;
		}
		if (used + bytes > FILE_NAME_BYTES)
			break;
		memcpy(clean + used, at, bytes);
		used += bytes;
		at += bytes;
	}
	clean[used] = '\0';
	if (used == 0 || strcmp(clean, ".") == 0 || strcmp(clean, "..") == 0)
		return "document";
	return clean;
}

const char *text_disposition(struct arena *arena, const char *name)
{
	struct buffer plain = { 0 }, encoded = { 0 };
	const char *value;

	buffer_text(&plain, "");
	buffer_text(&encoded, "");
	for (const char *byte = name; *byte; byte++) {
		bool kept = isalnum((unsigned char)*byte) || strchr("-._ ", *byte);
		char hex[4];

		buffer_add(&plain, kept ? byte : "_", 1);
		if (kept && *byte != ' ') {
			buffer_add(&encoded, byte, 1);
			continue;
		}
		snprintf(hex, sizeof(hex), "%%%02X", (unsigned char)*byte);
		buffer_text(&encoded, hex);
	}
	value = arena_print(arena, "attachment; filename=\"%s\"; filename*=UTF-8''%s", plain.data,
			    encoded.data);
	free(plain.data);
	free(encoded.data);
	return value;
}

const char *text_media_type(struct arena *arena, const char *type)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789.+-";
	size_t first = strspn(type, letters);
	size_t second = type[first] == '/' ? strspn(type + first + 1, letters) : 0;

	if (first == 0 || second == 0 || first + second > 100)
		return "application/octet-stream";
	return arena_copy(arena, type, first + 1 + second);
}

const char *text_size(struct arena *arena, int64_t size_bytes)
{
	const int64_t mib = INT64_C(1) << 20;

	if (size_bytes > 0 && size_bytes % mib == 0)
		return arena_print(arena, "%lld MiB", (long long)(size_bytes / mib));
	return arena_print(arena, "%lld bytes", (long long)size_bytes);
}

/* ---- headers and forms ---------------------------------------------------------------------- */

bool text_is_header_value(const char *value)
{
	for (; *value; value++)
		if ((unsigned char)*value < 0x20 || *value == 0x7f)
			return false;
	return true;
}

const char *text_next(const char *next)
{
	/* "//host" and "/\host" are other hosts to a browser, which also drops tabs and line ends.
	 */
	if (next[0] != '/' || next[1] == '/' || strchr(next, '\\') || !text_is_header_value(next) ||
	    strlen(next) > 500)
		return "/";
	for (const char *byte = next; *byte; byte++)
		if ((unsigned char)*byte > 0x7e || *byte == ' ')
			return "/";
	return next;
}

bool text_is_key(const char *key)
{
	size_t length = strlen(key);

	for (size_t i = 0; i < length; i++)
		if (key[i] < 0x21 || key[i] > 0x7e)
			return false;
	return length >= 1 && length <= 100;
}

int64_t text_id(const char *text)
{
	char *end;
	long long value;

	if (!isdigit((unsigned char)text[0]) || strlen(text) > 18)
		return 0;
	errno = 0;
	value = strtoll(text, &end, 10);
	return *end == '\0' && errno == 0 && value > 0 ? value : 0;
}

/* ---- lots ----------------------------------------------------------------------------------- */

/* @return how many there are, most at the most */
static size_t read_digits(const char *text, size_t most, int *ret_number)
{
	size_t digits = 0;

	*ret_number = 0;
	while (digits < most && isdigit((unsigned char)text[digits]))
		*ret_number = 10 * *ret_number + text[digits++] - '0';
	return digits;
}

static void write_digits(char *text, size_t digits, int number)
{
	for (; digits > 0; number /= 10)
		text[--digits] = (char)('0' + number % 10);
}

int text_lot_number(const char *text, char ret_number[LOT_NUMBER_BYTES])
{
	const char *rest;
	size_t year_digits, digits;
	int year, number;

	year_digits = read_digits(text, 4, &year);
	if ((year_digits != 2 && year_digits != 4) || text[year_digits] != '-')
		return 0;
	rest = text + year_digits + 1;
	digits = read_digits(rest, 6, &number);
	if (digits < 1 || rest[digits] != '\0')
		return 0;
	if (year_digits == 2)
		year += year < 70 ? 2000 : 1900;
	if (year < 1970 || year > 2069)
		return 0;
	write_digits(ret_number, 4, year);
	ret_number[4] = '-';
	digits = number < 10000 ? 4 : number < 100000 ? 5 : 6;
	write_digits(ret_number + 5, digits, number);
	ret_number[5 + digits] = '\0';
	return year;
}

/* ---- addresses ------------------------------------------------------------------------------ */

const char *text_last_address(struct arena *arena, const char *list)
{
	const char *comma = strrchr(list, ',');
	size_t length;

	if (comma)
		list = comma + 1;
	list += strspn(list, " \t");
	length = strcspn(list, " \t");
	return arena_copy(arena, list, length < 64 ? length : 64);
}

const char *text_of_whom(struct arena *arena, const char *address)
{
	struct in6_addr whole;
	char text[INET6_ADDRSTRLEN];

	if (inet_pton(AF_INET6, address, &whole) != 1)
		return address;
	if (IN6_IS_ADDR_V4MAPPED(&whole)) {
		inet_ntop(AF_INET, &whole.s6_addr[12], text, sizeof(text));
		return arena_copy(arena, text, strlen(text));
	}
	memset(&whole.s6_addr[8], 0, 8);
	inet_ntop(AF_INET6, &whole, text, sizeof(text));
	return arena_print(arena, "%s/64", text);
}

/* ---- scanners ------------------------------------------------------------------------------- */

static bool begins(const char *path, const char *with)
{
	return strncasecmp(path, with, strlen(with)) == 0;
}

bool text_is_scanner_path(const char *path)
{
	static const char *const beginnings[] = {
		"/wp-",       "/wordpress",    "/xmlrpc", "/.",        "/cgi-bin", "/phpmyadmin",
		"/pma",       "/vendor/",      "/solr/",  "/actuator", "/boaform", "/hnap1",
		"/_ignition", "/autodiscover",
	};
	static const char *const endings[] = { ".php", ".asp", ".aspx", ".jsp", ".cgi", ".env" };
	size_t length = strlen(path);

	if (begins(path, "/.well-known/"))
		return false;
	for (size_t i = 0; i < sizeof(beginnings) / sizeof(beginnings[0]); i++)
		if (begins(path, beginnings[i]))
			return true;
	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
		size_t ending = strlen(endings[i]);

		if (length > ending && strcasecmp(path + length - ending, endings[i]) == 0)
			return true;
	}
	return strstr(path, ".php/") != NULL;
}
