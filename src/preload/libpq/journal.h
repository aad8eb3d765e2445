/* SPDX-License-Identifier: PostgreSQL */
/*
 * The journal of one session: which state the statements that a program sent have left in it, as
 * far as their text tells. It answers two questions. Can a new session be brought to the same
 * state, and how (revive)? Does DISCARD ALL bring this one to the state of a new session, and is
 * that needed at all (pool)?
 *
 * It is told what is sent, in order, and then for each of these how it ended. What a rolled back
 * transaction undoes is undone here too: SET and LISTEN are, PREPARE and locks are not.
 *
 * Invariant: what replay would set is what the session has. Where the journal cannot be sure (text
 * it does not understand, an answer that does not fit, more than TINE_JOURNAL_BYTES) it says so as
 * an obstacle, which stays until DISCARD ALL. Not seen: what functions and triggers do inside the
 * server, but for those whose names are known (call.c).
 *
 * A text that is not ASCII means something else in another client encoding. Such a one is kept only
 * while it is sent again in the encoding that it was sent in: settings are done in their old order,
 * client_encoding among them, and statements are prepared after them. So a change of the encoding
 * while there is one, and one that is sent in the transaction of a change, are obstacles.
 *
 * Owns memory from malloc(). Locks: none; a journal belongs to the thread that uses the connection.
 * Fork: a copy of memory, as good as the parent's was at that moment; a child must not use one that
 * another thread was in.
 */
#ifndef TINE_PRELOAD_LIBPQ_JOURNAL_H
#define TINE_PRELOAD_LIBPQ_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "preload/libpq/effect.h"

/* Of texts and names that one journal keeps; and the longest text that is looked at. */
#define TINE_JOURNAL_BYTES (1024 * 1024)
#define TINE_JOURNAL_TEXT_BYTES (8 * 1024 * 1024)

#define TINE_JOURNAL_BUCKETS 64

struct tine_journal_item;

struct tine_journal_list {
	struct tine_journal_item *first, *last;
};

/* What every statement looks at comes first. */
struct tine_journal {
	struct tine_journal_list open; /* of the transaction that is not over */
	struct tine_journal_list sent; /* not answered, and it matters how it ends */
	size_t bytes;
	unsigned wide;  /* of all these, those that are not ASCII */
	unsigned quiet; /* sent before these, not answered, and it does not matter */
	enum tine_obstacle obstacle;
	enum tine_obstacle lasting; /* one that DISCARD ALL does not remove */
	bool in_block;              /* BEGIN without its end */
	bool failed;                /* that block can only be rolled back */
	bool batch_failed;          /* something in this pipeline, before its next sync */
	bool is_recoded;            /* the client encoding is not the login's */
	bool is_recoding;           /* it was changed by what is under way, or may be undone */
	bool is_touched;            /* something may be left that DISCARD ALL takes away */
	bool has_called;            /* a function may have been called */
	bool is_indelible;          /* something may be left that it does not take away */
	bool escapes;               /* a backslash escapes in '...' */
	bool hides;                 /* characters of the encoding may have a backslash in them */
	bool owes;                  /* some prepared statement may be owed */
	struct tine_journal_list settings; /* in force, oldest first */
	struct tine_journal_item *prepared[TINE_JOURNAL_BUCKETS];
};

/** Begin with a session that has just logged in. The journal is not looked at before.
 *  @param standard_strings  what the server reports as standard_conforming_strings is "on"
 *  @param encoding  what it reports as client_encoding; NULL: unknown */
void tine_journal_init(struct tine_journal *journal, bool standard_strings, const char *encoding);

/** It was begun with these settings, as PQoptions() has them; NULL: none. */
void tine_journal_options(struct tine_journal *journal, const char *options);

/** Forget everything and free what it has; after it the journal is one of a new session, with the
 *  same settings at its start. */
void tine_journal_clear(struct tine_journal *journal);

/* ---- what is sent; to be said before the first byte leaves ---------------------------------- */

/** A text: PQexec, PQsendQuery, PQexecParams, PQsendQueryParams and their like. */
void tine_journal_sent(struct tine_journal *journal, const char *sql);

/** The same of a text that was read, and has no effect, or none but TINE_EFFECT_TOUCH.
 *  @param calls  it may have called a function */
void tine_journal_sent_harmless(struct tine_journal *journal, bool calls, bool touches);

/** A statement to be prepared: PQprepare, PQsendPrepare. @param types may be NULL, as there */
void tine_journal_prepared(struct tine_journal *journal, const char *name, const char *sql,
			   int types_count, const unsigned *types);

/** The text of a statement prepared by this name that does something to the session; NULL: there is
 *  none, or it does nothing. */
const char *tine_journal_text(struct tine_journal *journal, const char *name);

/** A prepared statement to be executed: PQexecPrepared, PQsendQueryPrepared.
 *  @param text  tine_journal_text(), with its parameters in it as far as they can be */
void tine_journal_executed(struct tine_journal *journal, const char *text);

/** A prepared statement to be closed: PQclosePrepared, PQsendClosePrepared. */
void tine_journal_closed(struct tine_journal *journal, const char *name);

/** Something that leaves no state, but must be answered in its turn: a description. */
void tine_journal_other(struct tine_journal *journal);

/** A function by its number, PQfn(): it may do anything. */
void tine_journal_called(struct tine_journal *journal);

/* ---- how it ended --------------------------------------------------------------------------- */

/** The oldest that was not answered has been.
 *  @param ok           all of its results were good
 *  @param transaction  of the session now: 'I', 'T' or 'E'; 'A' when more is under way, as in a
 *                      pipeline */
void tine_journal_answered(struct tine_journal *journal, bool ok, char transaction);

/** A pipeline's next sync has failed, which commits what is in no block. Its answer comes still. */
void tine_journal_sync_failed(struct tine_journal *journal);

/** A pipeline's sync was answered.
 *  @param transaction  'A' when more is under way behind it: then what was seen of blocks decides
 */
void tine_journal_synced(struct tine_journal *journal, char transaction);

/** PQsetClientEncoding() succeeded; what libpq sends for it is not told otherwise. */
void tine_journal_encoded(struct tine_journal *journal, const char *encoding);

/** The journal has lost track, for a reason its caller has. */
void tine_journal_confuse(struct tine_journal *journal);

/* ---- what it says --------------------------------------------------------------------------- */

/** What stands in the way of a new session in the same state. While something is under way, or a
 *  transaction is open, that is UNKNOWN. */
enum tine_obstacle tine_journal_obstacle(const struct tine_journal *journal);

/** Would DISCARD ALL make the session equal to a new one? */
bool tine_journal_is_discardable(const struct tine_journal *journal);

/** Is it equal to a new one as it is: no statement was seen that can have left anything? */
bool tine_journal_is_clean(const struct tine_journal *journal);

/** May a function have been called, by any statement? They may change what nobody sees. */
bool tine_journal_has_called(const struct tine_journal *journal);

/* ---- how to bring a new session to the same state -------------------------------------------- */

struct tine_journal_step {
	const char *sql;
	const char *name; /* of a statement to prepare with PQprepare; NULL: execute sql */
	int types_count;
	const unsigned *types;
};

struct tine_journal_walk {
	const struct tine_journal_item *next;
	int list;
};

/** One step after the other; texts are the journal's, and one text is one statement, of which some
 *  return a row.
 *  @param walk  zeroed before the first call
 *  @return false when there is no more */
bool tine_journal_next(const struct tine_journal *journal, struct tine_journal_walk *walk,
		       struct tine_journal_step *ret);

/** A statement could not be prepared in the new session, since what it asks of is gone, or it is
 *  the unnamed one, and a text of ours has ended it: it is owed, and due when it is to be executed.
 *  Or it has been prepared now. Nothing, where there is none of that name. */
void tine_journal_set_owed(struct tine_journal *journal, const char *name, bool is_owed);

/** Is it owed? Then this is the step. */
bool tine_journal_owes(struct tine_journal *journal, const char *name,
		       struct tine_journal_step *ret);

#endif
