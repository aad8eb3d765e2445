/* SPDX-License-Identifier: PostgreSQL */
/*
 * The reset of a session past libpq (preload/ahead.h), so that the next user of a connection does
 * not wait for its answer.
 *
 * Only where nothing that was seen can have made the session another one: then the reset is for
 * what was not seen, and cannot well fail; and where libpq's side needs no answer to look as new.
 * Everything else is reset by libpq, and its answer awaited before the connection is handed out.
 *
 * Locks: none; of connections that are the caller's. Fork: not for a parent's connection.
 */
#ifndef TINE_PRELOAD_LIBPQ_PAST_H
#define TINE_PRELOAD_LIBPQ_PAST_H

#include "preload/libpq/record.h"

/** Note what the server has told of a new session. */
void tine_past_note(struct tine_record *record);

/** Send a reset, or none where the last one has not been answered: nothing was sent since.
 *  @return 1 it is on its way; 0 libpq has to send it; -1 the connection is of no use any more */
int tine_past_send(struct tine_record *record, const char *sql);

/** Is its answer due? Any statement may be sent all the same. */
bool tine_past_is_due(const struct tine_record *record);

/** Read the answer.
 *  @param until_ns  0: if it has come
 *  @return 1 it was read; 0 it has not come; -1 it will not, or the connection is dead */
int tine_past_read(struct tine_record *record, int64_t until_ns);

#endif
