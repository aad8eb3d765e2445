/* SPDX-License-Identifier: PostgreSQL */
/*
 * A statement of our own on a program's connection, with a deadline, whatever mode the program has
 * it in. The program does not see it, nor does it cancel it: a request of the program's that hits
 * ours came before its own statement, where it would have hit nothing.
 *
 * Locks: none. Fork: not on a parent's connection.
 */
#ifndef TINE_PRELOAD_LIBPQ_ASK_H
#define TINE_PRELOAD_LIBPQ_ASK_H

#include <stdint.h>

#include "preload/libpq/record.h"

/** Send one step, which may be done twice, and read its answers.
 *  @param until_ns  monotonic
 *  @return false when an answer was an error, or there was none: then the connection is in an
 *          unknown state and to be given up */
bool tine_ask(struct tine_record *record, const struct tine_journal_step *step, int64_t until_ns);

/** The same. @return how many rows were answered, -1 where that says false. After an error that was
 *  answered the connection is idle, as after any statement */
int tine_ask_rows(struct tine_record *record, const struct tine_journal_step *step,
		  int64_t until_ns);

/** The same between two statements of the program's, for 10 s at most. A session that has not
 *  answered is ended: its answer would be taken for one to the program. */
int tine_ask_between(struct tine_record *record, const struct tine_journal_step *step);

#endif
