/* SPDX-License-Identifier: PostgreSQL */
#include "unit/pool/names.h"

#include <netdb.h>
#include <stddef.h>

int __real_getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
		       struct addrinfo **ret);
int __wrap_getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
		       struct addrinfo **ret);

const char *(*names_on_lookup)(const char *name);

int __wrap_getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
		       struct addrinfo **ret)
{
	const char *address = names_on_lookup ? names_on_lookup(name) : name;

	return address ? __real_getaddrinfo(address, service, hints, ret) : EAI_NONAME;
}
