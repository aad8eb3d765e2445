/* SPDX-License-Identifier: PostgreSQL */
/*
 * libpq's side of a connection, which DISCARD ALL does not reach: notice receivers, verbosity,
 * tracing, flags, what waits to be read. Calls libpq on connections that are the caller's. Locks:
 * none. Fork: not for a parent's connection.
 */
#ifndef TINE_PRELOAD_LIBPQ_DRESS_H
#define TINE_PRELOAD_LIBPQ_DRESS_H

#include "preload/libpq/record.h"

/** Note how a new connection looks, before the program has it. */
void tine_dress_note(struct tine_record *record);

/** The program has set a notice receiver. */
void tine_dress_hears(struct tine_record *record, PQnoticeReceiver receiver, void *argument);

/** Make it look new again. @return false when it cannot be */
bool tine_dress_restore(struct tine_record *record);

/** Read the answers to what was sent, until nothing is under way. What the server says besides goes
 *  nowhere.
 *  @param until_ns  0: only what has come
 *  @return 1 all was good; 0 not all has come; -1 it was not, or the connection is lost */
int tine_dress_read(struct tine_record *record, int64_t until_ns);

/** Wait for something to read.
 *  @return 1 there is something, or the end; 0 it is too late; -1 there will be nothing */
int tine_dress_await(const struct tine_record *record, int64_t until_ns);

/** Is there something to be read, or the end? */
bool tine_dress_has_input(const struct tine_record *record);

/** Has the server closed it, as far as can be told without asking it? */
bool tine_dress_is_dead(struct tine_record *record);

#endif
