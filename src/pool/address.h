/* SPDX-License-Identifier: PostgreSQL */
/*
 * The addresses that a connect tries, one by one, each with a time limit of its own: the hosts of a
 * conninfo, names looked up as libpq does it. Names are looked up anew for each connect, since a
 * failover may be a change in DNS.
 *
 * Locks: none but libc's in getaddrinfo(). Fork: plain data.
 */
#ifndef TINE_POOL_ADDRESS_H
#define TINE_POOL_ADDRESS_H

#include "pool/conninfo.h"

#define TINE_HOSTADDR_BYTES 64 /* an IPv6 address with the name of an interface, and NUL */

struct tine_address {
	const char *host; /* borrowed from the conninfo; what a certificate is compared with */
	char hostaddr[TINE_HOSTADDR_BYTES]; /* "" = none, for a socket's directory */
	const char *port;                   /* borrowed from the conninfo */
};

/** List the addresses to try, in order. May wait for DNS, without a limit. A host that cannot be
 *  resolved is left out as long as there is another.
 *  @param ret        the caller's, for free(); borrows from info. Untouched on failure
 *  @param ret_count  at least 1
 *  @return 0; TINE_E_CONNECT with the host that could not be resolved and why; TINE_E_NOMEM */
int tine_address_list(const struct tine_conninfo *info, struct tine_address **ret, int *ret_count,
		      tine_error *error);

#endif
