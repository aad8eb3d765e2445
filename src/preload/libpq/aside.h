/* SPDX-License-Identifier: PostgreSQL */
/*
 * A parked connection is to stand in nobody's way: what a program may take for granted of one that
 * it has finished holds for it, too.
 *
 *  - PQfinish() closes the socket, so no event loop hears of it any more.
 *  - A database can be dropped, renamed, or be a template, when nobody is connected to it.
 *
 * Locks, fork: no state.
 */
#ifndef TINE_PRELOAD_LIBPQ_ASIDE_H
#define TINE_PRELOAD_LIBPQ_ASIDE_H

#include "preload/libpq/record.h"

/** Is it of a kind that is never parked? Replication; and the template of new databases, which
 *  nobody can make while anybody is connected to it.
 *  @param options  what PQconninfo() says of it */
bool tine_aside_is_kind(const PQconninfoOption *options);

/** A connection is about to be parked.
 *  @return false: it is better finished */
bool tine_aside_step(const struct tine_record *record);

/** Is this something that fails while others are connected to the database it is about? */
bool tine_aside_is_wanted(const struct tine_statement *statement);

#endif
