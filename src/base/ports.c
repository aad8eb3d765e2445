/* SPDX-License-Identifier: PostgreSQL */
#include "base/ports.h"

#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#define DEFAULT_PORT 5432

/* Read a decimal port at *at, not beyond end; 0 when there is none. *at is left after the digits.
 */
static uint16_t read_port(const char **at, const char *end)
{
	uint32_t port = 0;
	const char *start = *at;

	while (*at < end && isdigit((unsigned char)**at)) {
		port = port * 10 + (uint32_t)(**at - '0');
		if (port > 65535)
			port = 65536;
		(*at)++;
	}
	return *at > start && port <= 65535 ? (uint16_t)port : 0;
}

int tine_ports_add_list(struct tine_ports *set, const char *list)
{
	const char *end = list + strlen(list);

	for (const char *at = list;; at++) {
		uint16_t port = read_port(&at, end);

		if (!port || (at < end && *at != ','))
			return -EINVAL;
		if (set)
			tine_ports_add(set, port);
		if (at == end)
			return 0;
	}
}

/* One "host", "host:port", "[v6]:port" or "" of a URL's host list. */
static void add_host_port(struct tine_ports *set, const char *host, const char *end)
{
	const char *colon = NULL;

	for (const char *p = host; p < end; p++) {
		if (*p == ']')
			colon = NULL;
		else if (*p == ':')
			colon = p;
	}
	if (colon) {
		const char *digits = colon + 1;
		uint16_t port = read_port(&digits, end);

		if (port && digits == end) {
			tine_ports_add(set, port);
			return;
		}
	}
	tine_ports_add(set, DEFAULT_PORT);
}

static void add_hosts(struct tine_ports *set, const char *hosts, const char *end)
{
	const char *start = hosts;

	for (const char *p = hosts; p <= end; p++) {
		if (p == end || *p == ',') {
			add_host_port(set, start, p);
			start = p + 1;
		}
	}
}

/* Every "port=" of a query part, with a list behind it. */
static void add_query_ports(struct tine_ports *set, const char *query, const char *end)
{
	for (const char *p = query; p + 6 < end; p++) {
		if ((*p != '?' && *p != '&') || strncasecmp(p + 1, "port=", 5) != 0)
			continue;
		for (const char *digits = p + 6; digits < end; digits++) {
			uint16_t port = read_port(&digits, end);

			if (port)
				tine_ports_add(set, port);
			if (digits == end || *digits != ',')
				break;
		}
	}
}

static const char *skip_until(const char *p, const char *stops)
{
	while (*p && !strchr(stops, *p) && !isspace((unsigned char)*p))
		p++;
	return p;
}

/* The authority of a URL starts here; returns where the URL ends. */
static const char *add_url(struct tine_ports *set, const char *authority)
{
	const char *end = skip_until(authority, "/?#\"'`<>");
	const char *hosts = authority;
	const char *query = skip_until(end, "?\"'`<>");
	const char *url_end = skip_until(query, "\"'`<>");

	for (const char *p = authority; p < end; p++)
		if (*p == '@')
			hosts = p + 1;
	add_hosts(set, hosts, end);
	add_query_ports(set, query, url_end);
	return url_end;
}

int tine_ports_add_urls(struct tine_ports *set, const char *text)
{
	int found = 0;

	for (const char *p = text; (p = strcasestr(p, "postgres")) != NULL;) {
		p += strlen("postgres");
		while (isalnum((unsigned char)*p) || (*p && strchr("+._-", *p)))
			p++;
		if (strncmp(p, "://", 3) != 0)
			continue;
		p = add_url(set, p + 3);
		found++;
	}
	return found;
}
