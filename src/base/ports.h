/* SPDX-License-Identifier: PostgreSQL */
/*
 * A set of TCP ports, and the two places where people write ports down: lists ("5432,6432") and
 * connection URLs. No allocation; plain data.
 */
#ifndef TINE_BASE_PORTS_H
#define TINE_BASE_PORTS_H

#include <stdbool.h>
#include <stdint.h>

struct tine_ports {
	uint64_t bits[65536 / 64];
};

static inline bool tine_ports_has(const struct tine_ports *set, uint16_t port)
{
	return set->bits[port / 64] >> (port % 64) & 1;
}

static inline void tine_ports_add(struct tine_ports *set, uint16_t port)
{
	set->bits[port / 64] |= UINT64_C(1) << (port % 64);
}

/** Add the ports of a list such as "5432" or "5432,47021".
 *  @param set may be NULL: then the list is only checked
 *  @return 0, or -EINVAL when an element is not a number from 1 to 65535; the elements before it
 * have been added */
int tine_ports_add_list(struct tine_ports *set, const char *list);

/** Add the ports of every PostgreSQL URL in a string, wherever it stands in it:
 *  postgres://, postgresql://, postgresql+psycopg2://, jdbc:postgresql://, several hosts, IPv6 in
 *  brackets, and a port in the query part (?port=5433). A host without a port adds 5432.
 *  @return how many URLs were found */
int tine_ports_add_urls(struct tine_ports *set, const char *text);

#endif
