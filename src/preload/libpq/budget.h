/* SPDX-License-Identifier: PostgreSQL */
/*
 * The budget of unmodified programs: each connection of each process under `tine run` has a permit
 * of the board, so that all of them together never have more than the budget, and everybody can see
 * who has them.
 *
 * Without a board all of this is a load, or nothing. A board that cannot be joined is said in the
 * log, once, and then there is none: a program is never worse off.
 *
 * Locks: one mutex for joining the board and becoming a member, held across neither libpq nor
 * waiting; the fork's prepare handler takes it. Fork: a child is a new member, and its parent's
 * claims are not its own, so what is inherited has no permit.
 */
#ifndef TINE_PRELOAD_LIBPQ_BUDGET_H
#define TINE_PRELOAD_LIBPQ_BUDGET_H

#include "base/option.h"
#include "preload/libpq/record.h"

/** @return is there a board? */
bool tine_budget_start(const struct tine_settings *settings);

/** Map the board, if that was not done: who is another user hereafter, or has another root
 *  directory, could not. It becomes a member when it connects, as ever. */
void tine_budget_leaving(void);

/** Wait for what a connect needs, for as long as the settings say. Own parked connections make room
 *  first.
 *  @param ret_text  why it was refused, and who has the permits
 *  @return false: refused */
bool tine_budget_admit(struct tine_claim *ret_claim, char *ret_text, size_t size);

/** The same for who must not wait: one try. The claim has its place in the queue between two of
 *  them, and nothing before the first.
 *  @param wait  zeroed before the first
 *  @return 1 it is there, 0 not yet, -1 the time is over: refused */
int tine_budget_try(struct tine_wait *wait, struct tine_claim *claim, char *ret_text, size_t size);

/** Give back what a claim of this process's has, or leave the queue. */
void tine_budget_leave(struct tine_claim *claim);

/** The connect of a record with a claim ended, whatever became of it. */
void tine_budget_connected(struct tine_record *record, bool ok);

/** Before a session is opened anew in the place of one that is a parent's, or is gone: as
 *  tine_budget_admit(), where the connection has no permit any more. To be said before the record
 *  is made this process's; tine_budget_connected() is to follow.
 *  @param is_brief  the program does not expect to wait: a second is enough while other
 *                   connections of this process have permits */
bool tine_budget_admit_again(struct tine_record *record, bool is_brief, char *ret_text,
			     size_t size);

/** Its first half: the record's claim is what is left of it, for tine_budget_try(). */
void tine_budget_again(struct tine_record *record);

/* The end of the session cannot be seen: its number is not its own any more. */
#define TINE_BUDGET_UNSEEN (-2)

/** Has it a permit of a budget that others may be in need of? */
bool tine_budget_is_limited(const struct tine_record *record);

/** Has this process more connections than it is entitled to? */
bool tine_budget_is_over_share(void);

/** For people: the connection has come to an end, and why. */
void tine_budget_ended(const struct tine_record *record, enum tine_cause cause);

/** Before PQfinish(): what is needed to see the session's end. After it: give everything back. */
int tine_budget_before_end(const struct tine_record *record, struct tine_claim *ret_claim);
void tine_budget_after_end(struct tine_claim *claim, int farewell_fd);

/** Is this idle connection more than this process may keep while others are in need? */
bool tine_budget_is_wanted(const struct tine_record *record);

/** The board, also in a child that is no member yet. @return NULL: there is none */
struct tine_board *tine_budget_board(void);

/** The name that a connection of this process has at the server: "app[w3:4711]".
 *  @param name  what it would be otherwise
 *  @return buf, or name where there is no board, or where it is not wanted */
const char *tine_budget_identity(const char *name, char *buf, size_t size);

/** A statement has come to its end. If the connection is idle, and as good as new, and others are
 *  in need, it is closed here and its permit given to them: its next use opens it again. */
void tine_budget_used(struct tine_record *record);

/** For people: what the connection is doing. */
void tine_budget_say_busy(const struct tine_record *record);
void tine_budget_say_idle(const struct tine_record *record);

/** For fork handlers. */
void tine_budget_lock(void);
void tine_budget_unlock(void);
void tine_budget_renew_lock(void);
void tine_budget_left(void);

#endif
