/* SPDX-License-Identifier: PostgreSQL */
/*
 * What `tine run` asks of every connection that a program opens: encryption, time limits,
 * keepalives, and a name that leads from the server back to the process. Only what the program left
 * open is filled in, but for two: encryption is never less than what was asked for here, nor less
 * than the program asks for; and the name of the application gets the process added.
 *
 * Calls libpq to read connection strings. Owns nothing. Locks, fork: none.
 */
#ifndef TINE_PRELOAD_LIBPQ_POLICY_H
#define TINE_PRELOAD_LIBPQ_POLICY_H

#include "base/option.h"
#include "preload/libpq/copy.h"
#include "preload/libpq/key.h"

#define TINE_PLAN_MAX 64

/* How a login is made: the arguments of PQconnectdbParams(). */
struct tine_plan {
	const char *keywords[TINE_PLAN_MAX + 1], *values[TINE_PLAN_MAX + 1];
	int count, expand_dbname;
	char name[128], numbers[6][12];
	PQconninfoOption *parsed; /* of a connection string among them */
};

/** @return is anything asked? */
bool tine_policy_start(const struct tine_settings *settings, bool has_budget);

/** @return why a login cannot be made as is demanded; NULL: it can */
const char *tine_policy_refusal(const struct tine_login *login);

/** Make the plan of a login.
 *  @return false: it is to be made as the program says, word by word, since nothing can be added to
 *          it. Otherwise the plan is to be ended */
bool tine_policy_plan(struct tine_plan *ret, const struct tine_copy *copy,
		      const struct tine_login *login);
void tine_policy_end(struct tine_plan *plan, const struct tine_copy *copy);

#endif
