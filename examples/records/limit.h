/* SPDX-License-Identifier: PostgreSQL */
/*
 * How often something came in a minute, by what it is of: an address, a name. Counted for all
 * workers together, in memory that they share: one word for each place, changed by
 * compare-and-swap, so that a worker that is killed leaves nothing behind.
 *
 * Two that fall on one place share a count only while the other's minute is over; otherwise the
 * later one takes the place. So a count can be lost, and none is ever too high for whom it is.
 *
 * Locks: none. Fork: shared on purpose.
 */
#ifndef RECORDS_LIMIT_H
#define RECORDS_LIMIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define LIMIT_PLACES 8192

enum limit_kind { LIMIT_SCANNER, LIMIT_LOGIN_ADDRESS, LIMIT_LOGIN_NAME };

struct limits {
	_Atomic uint64_t *places;
	unsigned char key[16]; /* so that nobody can choose whose place is taken */
};

/** @return 0 or -1 */
int limits_make(struct limits *limits);

/** Count one more. @return how many there were in this minute, this one included */
int limits_count(const struct limits *limits, enum limit_kind kind, const char *of, int64_t now_s);

/** Take back one that was counted at the same time. */
void limits_take_back(const struct limits *limits, enum limit_kind kind, const char *of,
		      int64_t now_s);

#endif
