/* SPDX-License-Identifier: PostgreSQL */
/*
 * What happens around each call that uses a connection: use.c makes the wrappers of the ASKS, SENDS
 * and BEGINS rows of functions.inc from the functions here.
 *
 *	tine_use_begin()    before the first byte: is the connection there?
 *	then libpq's own function, and, as the row says,
 *	tine_use_sent()     its answer comes by PQgetResult(),
 *	tine_use_asked()    or here it is,
 *	tine_use_end()      or there is none that matters
 *
 * Locks: none; a record is its caller's. Fork: tine_use_begin() notices forks without handlers
 * first, as every hook does.
 */
#ifndef TINE_PRELOAD_LIBPQ_USE_H
#define TINE_PRELOAD_LIBPQ_USE_H

#include <stdbool.h>

#include "preload/libpq/record.h"

/** Something is about to begin on a PGconn.
 *  @return its record, or NULL when nothing is to be looked at: unknown, or we are inside it. The
 *          functions below take NULL too */
struct tine_record *tine_use_begin(const struct tine_copy *copy, PGconn *conn);

/** @param sent  did libpq say that it was? */
void tine_use_sent(struct tine_record *record, const struct tine_statement *statement, bool sent);

/** @param result  the last one, or NULL */
void tine_use_asked(struct tine_record *record, const struct tine_statement *statement,
		    const PGresult *result);

/** Of functions that leave nothing behind in the session. */
void tine_use_end(struct tine_record *record);

#endif
