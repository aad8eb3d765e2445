/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a journal is made of: items in lists and buckets. Only the files of the journal include
 * this. As journal.h.
 */
#ifndef TINE_PRELOAD_LIBPQ_ITEM_H
#define TINE_PRELOAD_LIBPQ_ITEM_H

#include "preload/libpq/journal.h"

#define TINE_ITEM_SQL_ONLY (-1) /* types_count of what is no statement of PQprepare() */

struct tine_journal_item {
	struct tine_journal_item *next;
	enum tine_effect_kind kind;
	bool is_last;   /* of what was sent together */
	bool is_quiet;  /* a prepared statement that does nothing to the session */
	bool is_owed;   /* a prepared statement that the session does not have */
	bool is_wide;   /* not ASCII: what it says depends on the client encoding */
	int statements; /* in the text whose last item it is */
	size_t bytes;
	int types_count;
	const char *key, *sql;
	unsigned types[]; /* the key's and the text's bytes follow */
};

/** Say what stands in the way. @param lasts DISCARD ALL does not remove it */
void tine_item_obstacle(struct tine_journal *journal, enum tine_obstacle obstacle, bool lasts);

/** Make an item, of no list yet. @return NULL: too much, and the journal says so */
struct tine_journal_item *tine_item_make(struct tine_journal *journal, enum tine_effect_kind kind,
					 const char *key, const char *sql, size_t sql_length,
					 int types_count);

/** Free one that is in no list; free a list's. */
void tine_item_drop(struct tine_journal *journal, struct tine_journal_item *item);
void tine_item_drop_all(struct tine_journal *journal, struct tine_journal_list *list);

void tine_item_append(struct tine_journal_list *list, struct tine_journal_item *item);

/** Take the first out of a list that is not empty. */
struct tine_journal_item *tine_item_take(struct tine_journal_list *list);

/** Keep a prepared statement, in the place of one with its name; find one that is kept, or also
 *  among those that are not answered; forget one, or all. */
void tine_item_keep_prepared(struct tine_journal *journal, struct tine_journal_item *item);
struct tine_journal_item *tine_item_find_kept(struct tine_journal *journal, const char *name);
const struct tine_journal_item *tine_item_find_prepared(struct tine_journal *journal,
							const char *name);
void tine_item_forget_prepared(struct tine_journal *journal, const char *name);
void tine_item_forget_all_prepared(struct tine_journal *journal);

/** What was done in a transaction is done for good. */
void tine_item_settle(struct tine_journal *journal);

/** End a savepoint and those within it. @param is_undone what came after it too, and it stays */
void tine_item_end_savepoint(struct tine_journal *journal, const char *name, bool is_undone);

/** A setting that exists from now on. Takes the item. */
void tine_item_set_aside(struct tine_journal *journal, struct tine_journal_item *item);

/** DISCARD ALL was done. */
void tine_item_discard(struct tine_journal *journal);

#endif
