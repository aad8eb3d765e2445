/* SPDX-License-Identifier: PostgreSQL */
/* Where tine-web listens, as text. Names are not looked up. Locks: none. Fork: no state. */
#ifndef TINE_WEB_ADDRESS_H
#define TINE_WEB_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

struct tine_address {
	union {
		struct sockaddr any;
		struct sockaddr_in ip4;
		struct sockaddr_in6 ip6;
		struct sockaddr_un unix_domain;
	} at;
	socklen_t length;
	bool is_unix, is_loopback;
};

/** Read "ADDR:PORT", "[ADDR]:PORT" or "unix:PATH".
 *  @return 0, or -EINVAL with what is wrong in error */
int tine_address_read(const char *text, struct tine_address *ret, char *error, size_t error_size);

#endif
