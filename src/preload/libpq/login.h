/* SPDX-License-Identifier: PostgreSQL */
/*
 * A login by the rules of `tine run`: from the pool if one is parked there (park.h), else with a
 * permit of the budget (budget.h) and what is asked of every connection (policy.h).
 *
 * Locks: none of its own. Fork: as the files it uses.
 */
#ifndef TINE_PRELOAD_LIBPQ_LOGIN_H
#define TINE_PRELOAD_LIBPQ_LOGIN_H

#include "preload/libpq/key.h"
#include "preload/libpq/record.h"

/** @return is anything wanted of logins? */
bool tine_login_start(const struct tine_settings *settings);
bool tine_login_is_on(void);

/** Log in. @param is_start  only begin it, as PQconnectStart() does
 *  @param login  the members of key.h; its copy is filled in */
PGconn *tine_login_open(struct tine_copy *copy, struct tine_login *login, bool is_start);

/** One that was begun has come to its end.
 *  @param in_steps  by PQconnectPoll() or PQresetPoll(), which is not to wait
 *  @return false: something of ours is to be answered before the program has it; the place of the
 *          stay is to be TINE_STAY_COMING, and tine_lend_poll() to be asked */
bool tine_login_done(struct tine_record *record, bool ok, bool in_steps);

/** Is it over a Unix socket? */
bool tine_login_is_local(const struct tine_record *record);

/** PQconninfo() of a connection that was another login's: the names are this one's. */
void tine_login_say(const struct tine_record *record, PQconninfoOption *options);

/** PQerrorMessage() says this of it from now on; NULL: what libpq has to say. */
void tine_login_refuse(struct tine_record *record, const char *why);

/** The same for a text as it is, which is the record's from then on. The one before it stays until
 *  there is another: libpq's buffer stays too. */
void tine_login_put_message(struct tine_record *record, char *text);

/** Is it libtine's own, whose pool has a budget and policies already? */
bool tine_login_is_libtine(const struct tine_login *login);

#endif
