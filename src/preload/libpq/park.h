/* SPDX-License-Identifier: PostgreSQL */
/*
 * The pool of unmodified programs: a connection that is finished stays, and the next login that is
 * the same as the one it was made by gets it. Per process; N of each login at most are kept. There
 * is no limit for those that are in use: a program is never worse off (a limit is what a budget is
 * for).
 *
 * Invariant: what is handed out is as after a login. The server's session by DISCARD ALL, and where
 * that does not make it new (session.h of what is_discardable says) it is closed; libpq's side by
 * dress.c. Somebody who holds the old PGcancel cannot reach the next one's statement (cancel.c).
 *
 * Invariant: of a parked connection whose number the program has closed or has something of its own
 * at, which it has every right to, nothing is read, written or closed: its PGconn is left behind.
 * Looked at before each use (is_lost()), but within a millisecond of the last one: there the hooks
 * would have seen it, unless the program makes its system calls without libc.
 *
 * Owns the parked connections. Locks: one mutex, for the list only, never held across a call of
 * libpq; the fork's prepare handler takes it. Fork: the parent's are severed by the guard and
 * finished by the child when it first parks or takes one; one that another thread had taken off the
 * list at that moment is left as it is.
 */
#ifndef TINE_PRELOAD_LIBPQ_PARK_H
#define TINE_PRELOAD_LIBPQ_PARK_H

#include "base/option.h"
#include "preload/libpq/record.h"

/** @return does the program want a pool? */
bool tine_park_start(const struct tine_settings *settings);

/** Does this process keep connections? Not when it has moved (level.h). */
bool tine_park_is_on(void);

/** A login has begun: note what the pool will ask.
 *  @param key   of the login; NULL: it is not to be shared
 *  @param name  of the application where the key does not cover it, else NULL
 *  @param has_service  it may go by a service file */
void tine_park_coming(struct tine_record *record, const struct tine_key *key, const char *name,
		      bool has_service);

/** It is complete. @param has_ticket  a Kerberos ticket may have been used */
void tine_park_born(struct tine_record *record, bool has_ticket);

/** A parked connection for a login. It is the caller's, and as new.
 *  @param is_start  the program goes on with PQconnectPoll(): the answer to the reset may be due
 *  @return NULL: there is none that lives */
PGconn *tine_park_take(const struct tine_copy *copy, const struct tine_key *key, const char *name,
		       bool is_start);

/** PQconnectPoll() of one that was taken so. @return PGRES_POLLING_READING while an answer is due
 */
PostgresPollingStatusType tine_park_poll(struct tine_record *record);

/** PQfinish(): may it stay? @return false: it is to be finished */
bool tine_park_keep(struct tine_record *record);

/** Close a parked one of another login, the oldest, for whom the budget is too small.
 *  @return false: there is none */
bool tine_park_evict(void);

/** Close all that this process has parked; a parent's are left alone. */
void tine_park_close(void);

/** Before this is sent: close all that are parked where they would make it fail. */
void tine_park_make_way(const struct tine_statement *statement);

/** Finish a connection: what has to be given back is. */
void tine_park_finish(struct tine_record *record);

/** For fork handlers. */
void tine_park_lock(void);
void tine_park_unlock(void);
void tine_park_renew_lock(void);

#endif
