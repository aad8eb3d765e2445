/* SPDX-License-Identifier: PostgreSQL */
/*
 * What tine-web reads of clients and of its command line. Whatever it is: a value is printable and
 * within its room, a Host that is allowed is one of the names, an address that counts as loopback
 * is one, and what is written out as HTML has no markup in it. The input is one text for all.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "web/address.h"
#include "web/out.h"
#include "web/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void check(bool good)
{
	if (!good)
		__builtin_trap();
}

static bool is_printable(const char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			return false;
	return true;
}

static void check_query(const char *text)
{
	char value[16];

	memset(value, 'x', sizeof(value));
	if (!tine_query_get(text, "tree", value, sizeof(value)))
		check(!*value);
	check(strlen(value) < sizeof(value) && is_printable(value));
	check(tine_query_number(text, "history") >= -1);
}

/* Without a port it is the name. */
static void check_host(const char *text)
{
	char one[] = "localhost", two[] = "::1";
	char *names[] = { one, two, NULL };

	if (!tine_host_is_one_of(text, names))
		return;
	check(strncasecmp(text, one, strlen(one)) == 0 || strncmp(text, "[::1]", 5) == 0);
	check(strlen(text) <= strlen(one) + 6);
}

static void check_address(const char *text)
{
	struct tine_address address;
	char error[300] = "";

	if (tine_address_read(text, &address, error, sizeof(error)) < 0) {
		check(strncmp(error, "listen: ", 8) == 0);
		return;
	}
	check(address.length > 0 && address.length <= sizeof(address.at));
	check(!address.is_unix || (!address.is_loopback && *address.at.unix_domain.sun_path));
	check(!address.is_loopback || address.at.any.sa_family != AF_INET ||
	      ntohl(address.at.ip4.sin_addr.s_addr) >> 24 == 127);
}

static void check_out(const char *text)
{
	struct tine_out html = { 0 }, label = { 0 }, url = { 0 };

	tine_out_html(&html, text);
	tine_out_label(&label, text);
	tine_out_url(&url, text);
	check(!*text || (!strpbrk(html.bytes, "<>\"'") && is_printable(html.bytes)));
	check(!*text || (!strpbrk(url.bytes, "&<>\"'#? ") && is_printable(url.bytes)));
	check(!*text || is_printable(label.bytes));
	/* Every quote has a backslash of its own before it. */
	for (const char *at = label.bytes; at && *at; at++) {
		check(*at != '"');
		if (*at == '\\')
			check(*++at == '"' || *at == '\\');
	}
	free(html.bytes);
	free(label.bytes);
	free(url.bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	char *text = malloc(length + 1);

	memcpy(text, bytes, length);
	text[length] = '\0';
	check_query(text);
	check_host(text);
	check_address(text);
	check_out(text);
	free(text);
	return 0;
}
