/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a statement will leave in the session, before it is sent: something for whose sake the
 * session must not be ended under its program? That is what the journal calls an obstacle, LISTEN,
 * whose notifications would be missed, and a limit of the program's own for idle sessions.
 *
 * Reads, as the journal does, and remembers nothing. Locks, fork: as journal.h.
 */
#ifndef TINE_PRELOAD_LIBPQ_FORESEE_H
#define TINE_PRELOAD_LIBPQ_FORESEE_H

#include "preload/libpq/session.h"

enum tine_foreseen {
	TINE_FORESEEN_NOTHING,
	TINE_FORESEEN_RESET, /* settings go back to what they were at the login */
	TINE_FORESEEN_TIE,   /* also where it cannot be told */
};

/** @param journal  of the session that it is sent on
 *  @param statement  what was read of it is noted, so that most need not be read again */
enum tine_foreseen tine_foresee(struct tine_journal *journal, struct tine_statement *statement);

#endif
