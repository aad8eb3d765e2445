/* SPDX-License-Identifier: PostgreSQL */
#include "preload/libpq/item.h"

#include <stdlib.h>
#include <string.h>

#include "base/hot.h"

#define NAME_BYTES 63 /* that the server compares */

void tine_item_obstacle(struct tine_journal *journal, enum tine_obstacle obstacle, bool lasts)
{
	enum tine_obstacle *place = lasts ? &journal->lasting : &journal->obstacle;

	if (!*place)
		*place = obstacle;
	journal->is_touched = true;
	journal->is_indelible = journal->is_indelible || lasts;
}

void tine_item_append(struct tine_journal_list *list, struct tine_journal_item *item)
{
	item->next = NULL;
	if (list->last)
		list->last->next = item;
	else
		list->first = item;
	list->last = item;
}

struct tine_journal_item *tine_item_take(struct tine_journal_list *list)
{
	struct tine_journal_item *item = list->first;

	list->first = item->next;
	if (!list->first)
		list->last = NULL;
	return item;
}

void tine_item_drop(struct tine_journal *journal, struct tine_journal_item *item)
{
	journal->bytes -= item->bytes;
	journal->wide -= item->is_wide;
	free(item);
}

void tine_item_drop_all(struct tine_journal *journal, struct tine_journal_list *list)
{
	while (list->first)
		tine_item_drop(journal, tine_item_take(list));
}

static bool is_wide(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (text[i] & 0x80)
			return true;
	return false;
}

/* One that is sent where the encoding is about to change may be of either. */
static void note_wide(struct tine_journal *journal, struct tine_journal_item *item,
		      size_t sql_length)
{
	item->is_wide = is_wide(item->key, strlen(item->key)) || is_wide(item->sql, sql_length);
	journal->wide += item->is_wide;
	if (item->is_wide && journal->is_recoding)
		tine_item_obstacle(journal, TINE_OBSTACLE_ENCODING, false);
}

/* @return NULL: too much, and the journal says so */
struct tine_journal_item *tine_item_make(struct tine_journal *journal, enum tine_effect_kind kind,
					 const char *key, const char *sql, size_t sql_length,
					 int types_count)
{
	size_t types_bytes = types_count > 0 ? (size_t)types_count * sizeof(unsigned) : 0;
	size_t key_length = strlen(key);
	size_t bytes = sizeof(struct tine_journal_item) + types_bytes + key_length + sql_length + 2;
	struct tine_journal_item *item = NULL;
	char *text;

	if (bytes <= TINE_JOURNAL_BYTES - journal->bytes)
		item = calloc(1, bytes);
	if (!item) {
		tine_item_obstacle(journal, TINE_OBSTACLE_SIZE, true);
		return NULL;
	}
	journal->bytes += bytes;
	item->kind = kind;
	item->bytes = bytes;
	item->types_count = types_count;
	text = (char *)item->types + types_bytes;
	memcpy(text, key, key_length + 1);
	if (sql_length)
		memcpy(text + key_length + 1, sql, sql_length);
	item->key = text;
	item->sql = text + key_length + 1;
	note_wide(journal, item, sql_length);
	return item;
}

/* Drop what a function says yes to. */
static void drop_some(struct tine_journal *journal, struct tine_journal_list *list,
		      bool (*is_it)(const struct tine_journal_item *item, const char *key),
		      const char *key)
{
	struct tine_journal_list kept = { 0 };

	while (list->first) {
		struct tine_journal_item *item = tine_item_take(list);

		if (is_it(item, key))
			tine_item_drop(journal, item);
		else
			tine_item_append(&kept, item);
	}
	*list = kept;
}

/* ---- prepared statements -------------------------------------------------------------------- */

static struct tine_journal_item **bucket_of(struct tine_journal *journal, const char *name)
{
	unsigned hash = 5381;

	for (size_t i = 0; i < NAME_BYTES && name[i]; i++)
		hash = hash * 33 + (unsigned char)name[i];
	return &journal->prepared[hash % TINE_JOURNAL_BUCKETS];
}

/* @return the link to it, which is to NULL when there is none */
static struct tine_journal_item **find_prepared(struct tine_journal *journal, const char *name)
{
	struct tine_journal_item **link = bucket_of(journal, name);

	while (*link && strncmp((*link)->key, name, NAME_BYTES) != 0)
		link = &(*link)->next;
	return link;
}

TINE_HOT_CODE
void tine_item_forget_prepared(struct tine_journal *journal, const char *name)
{
	struct tine_journal_item **link, *item;

	/* Most sessions have no item at all, and the buckets are not looked at for that. */
	if (!journal->bytes)
		return;
	link = find_prepared(journal, name);
	item = *link;
	if (!item)
		return;
	*link = item->next;
	tine_item_drop(journal, item);
}

void tine_item_forget_all_prepared(struct tine_journal *journal)
{
	for (int i = 0; journal->bytes && i < TINE_JOURNAL_BUCKETS; i++)
		while (journal->prepared[i])
			tine_item_forget_prepared(journal, journal->prepared[i]->key);
}

void tine_item_keep_prepared(struct tine_journal *journal, struct tine_journal_item *item)
{
	struct tine_journal_item **link;

	tine_item_forget_prepared(journal, item->key);
	link = bucket_of(journal, item->key);
	item->next = *link;
	*link = item;
}

struct tine_journal_item *tine_item_find_kept(struct tine_journal *journal, const char *name)
{
	return *find_prepared(journal, name);
}

/* One that was sent to be prepared, and is not answered, counts too. */
const struct tine_journal_item *tine_item_find_prepared(struct tine_journal *journal,
							const char *name)
{
	const struct tine_journal_item *found = *find_prepared(journal, name);

	for (const struct tine_journal_item *item = journal->sent.first; item; item = item->next)
		if (item->kind == TINE_EFFECT_PREPARE && strncmp(item->key, name, NAME_BYTES) == 0)
			found = item;
	return found;
}

/* ---- settings ------------------------------------------------------------------------------- */

static bool is_set(const struct tine_journal_item *item, const char *key)
{
	return item->kind == TINE_EFFECT_SET && strcmp(item->key, key) == 0;
}

static bool is_set_aside(const struct tine_journal_item *item, const char *key)
{
	return item->kind == TINE_EFFECT_SET_ASIDE && strcmp(item->key, key) == 0;
}

/* RESET ALL leaves who one is. */
static bool is_any_set(const struct tine_journal_item *item, const char *key)
{
	(void)key;
	return item->kind == TINE_EFFECT_SET && strcmp(item->key, "role") != 0 &&
	       strcmp(item->key, "session_authorization") != 0;
}

static bool is_listen(const struct tine_journal_item *item, const char *key)
{
	return item->kind == TINE_EFFECT_LISTEN && (!key || strcmp(item->key, key) == 0);
}

static bool is_discarded(const struct tine_journal_item *item, const char *key)
{
	(void)key;
	return item->kind != TINE_EFFECT_SET_ASIDE;
}

static bool is_savepoint(const struct tine_journal_item *item, const char *key)
{
	return item->kind == TINE_EFFECT_SAVEPOINT && (!key || strcmp(item->key, key) == 0);
}

/* What was done in a transaction is done for good. */
static void settle_one(struct tine_journal *journal, struct tine_journal_item *item)
{
	struct tine_journal_list *settings = &journal->settings;

	switch (item->kind) {
	case TINE_EFFECT_SET:
	case TINE_EFFECT_RESET:
		drop_some(journal, settings, is_set, item->key);
		break;
	case TINE_EFFECT_RESET_ALL:
		drop_some(journal, settings, is_any_set, NULL);
		break;
	case TINE_EFFECT_LISTEN:
	case TINE_EFFECT_UNLISTEN:
		drop_some(journal, settings, is_listen, item->key);
		break;
	case TINE_EFFECT_UNLISTEN_ALL:
		drop_some(journal, settings, is_listen, NULL);
		break;
	default:
		break;
	}
	if (item->kind == TINE_EFFECT_SET || item->kind == TINE_EFFECT_LISTEN)
		tine_item_append(settings, item);
	else
		tine_item_drop(journal, item);
}

void tine_item_settle(struct tine_journal *journal)
{
	while (journal->open.first)
		settle_one(journal, tine_item_take(&journal->open));
}

/* ---- the ends of things -------------------------------------------------------------------- */

static struct tine_journal_item *find_savepoint(struct tine_journal *journal, const char *name)
{
	struct tine_journal_item *found = NULL;

	for (struct tine_journal_item *item = journal->open.first; item; item = item->next)
		if (is_savepoint(item, name))
			found = item;
	if (!found)
		tine_item_obstacle(journal, TINE_OBSTACLE_UNKNOWN, true);
	return found;
}

void tine_item_end_savepoint(struct tine_journal *journal, const char *name, bool is_undone)
{
	struct tine_journal_item *savepoint = find_savepoint(journal, name);
	struct tine_journal_list later;

	if (!savepoint)
		return;
	later = (struct tine_journal_list){ savepoint->next, journal->open.last };
	savepoint->next = NULL;
	journal->open.last = savepoint;
	if (!later.first)
		later.last = NULL;
	if (!is_undone) {
		savepoint->kind = TINE_EFFECT_NONE;
		drop_some(journal, &later, is_savepoint, NULL);
		while (later.first)
			tine_item_append(&journal->open, tine_item_take(&later));
	}
	tine_item_drop_all(journal, &later);
}

void tine_item_discard(struct tine_journal *journal)
{
	drop_some(journal, &journal->settings, is_discarded, NULL);
	tine_item_forget_all_prepared(journal);
	journal->obstacle = TINE_OBSTACLE_NONE;
	journal->is_touched = journal->is_recoded = false;
}

void tine_item_set_aside(struct tine_journal *journal, struct tine_journal_item *item)
{
	drop_some(journal, &journal->settings, is_set_aside, item->key);
	tine_item_append(&journal->settings, item);
}
