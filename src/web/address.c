/* SPDX-License-Identifier: PostgreSQL */
#include "web/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "prefork/listen_text.h"

/* An abstract name has no mode: everybody on the machine could connect. */
static int read_unix(const char *path, struct tine_address *ret, char *error, size_t error_size)
{
	if (*path != '/' && *path != '.') {
		snprintf(error, error_size,
			 "listen: 'unix:%.80s' is no path that begins with '/' or '.'", path);
		return -EINVAL;
	}
	ret->is_unix = true;
	ret->at.unix_domain.sun_family = AF_UNIX;
	/* That it fits has been seen to. */
	memcpy(ret->at.unix_domain.sun_path, path,
	       strnlen(path, sizeof(ret->at.unix_domain.sun_path) - 1));
	ret->length = sizeof(ret->at.unix_domain);
	return 0;
}

static bool is_loopback6(const struct in6_addr *address)
{
	return IN6_IS_ADDR_LOOPBACK(address) ||
	       (IN6_IS_ADDR_V4MAPPED(address) && address->s6_addr[12] == 127);
}

static int read_ip(const struct tine_listen_address *from, struct tine_address *ret, char *error,
		   size_t error_size)
{
	const char *host = strcmp(from->host, "localhost") == 0 ? "127.0.0.1" : from->host;
	int64_t port;

	if (tine_listen_number(from->port, 65535, &port) < 0)
		return -EINVAL;
	if (inet_pton(AF_INET, host, &ret->at.ip4.sin_addr) == 1) {
		ret->at.ip4.sin_family = AF_INET;
		ret->at.ip4.sin_port = htons((uint16_t)port);
		ret->length = sizeof(ret->at.ip4);
		ret->is_loopback = ntohl(ret->at.ip4.sin_addr.s_addr) >> 24 == 127;
		return 0;
	}
	if (inet_pton(AF_INET6, host, &ret->at.ip6.sin6_addr) == 1) {
		ret->at.ip6.sin6_family = AF_INET6;
		ret->at.ip6.sin6_port = htons((uint16_t)port);
		ret->length = sizeof(ret->at.ip6);
		ret->is_loopback = is_loopback6(&ret->at.ip6.sin6_addr);
		return 0;
	}
	snprintf(error, error_size,
		 "listen: '%.80s' is no address in numbers, nor localhost; 127.0.0.1:7432, "
		 "[::1]:7432 and unix:PATH are such",
		 from->host);
	return -EINVAL;
}

int tine_address_read(const char *text, struct tine_address *ret, char *error, size_t error_size)
{
	struct tine_listen_address address, more;
	int rc = tine_listen_next(&text, &address, error, error_size);

	*ret = (struct tine_address){ 0 };
	if (rc == 1 && tine_listen_next(&text, &more, error, error_size) != 0)
		rc = 0;
	if (rc == 0)
		snprintf(error, error_size, "listen: one address, such as 127.0.0.1:7432");
	if (rc != 1)
		return -EINVAL;
	return address.is_unix ? read_unix(address.host, ret, error, error_size)
			       : read_ip(&address, ret, error, error_size);
}
