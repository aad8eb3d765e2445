/* SPDX-License-Identifier: PostgreSQL */
/*
 * Parameters in their places. SELECT set_config('app.user', $1, false) leaves in the session what
 * the parameter says, and drivers that bind on the server send it so: the journal reads the text
 * with the values in it.
 *
 * Owns a buffer of each thread. Values and texts are hostile input. Locks, fork: none.
 */
#ifndef TINE_PRELOAD_LIBPQ_FILL_H
#define TINE_PRELOAD_LIBPQ_FILL_H

#include "preload/libpq/session.h"

/** For statements that have values. */
const char *tine_fill_values(const struct tine_journal *journal,
			     const struct tine_statement *statement, const char *sql);

/** @param sql  the statement's, or that of the one it executes, or NULL
 *  @return sql itself where no value matters to the session, or one cannot be put into it: of
 *          parameters in binary form, NULL, and of what is not plain ASCII, or long. Else borrowed
 *          until the thread's next call */
static inline const char *tine_fill(const struct tine_journal *journal,
				    const struct tine_statement *statement, const char *sql)
{
	return sql && statement->values ? tine_fill_values(journal, statement, sql) : sql;
}

#endif
