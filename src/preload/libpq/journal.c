/* SPDX-License-Identifier: PostgreSQL */
#include "preload/libpq/item.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/hot.h"
#include "preload/libpq/call.h"
#include "preload/libpq/plain.h"

/* ---- what follows from an encoding ---------------------------------------------------------- */

static bool hides_backslash(const char *encoding)
{
	static const char *const hiding[] = {
		"sjis", "shift", "mskanji", "932", "949",   "950",
		"936",  "big5",  "gbk",     "uhc", "johab", "gb18030"
	};

	for (size_t i = 0; i < sizeof(hiding) / sizeof(*hiding); i++)
		if (strcasestr(encoding, hiding[i]))
			return true;
	return false;
}

static bool is_on(const char *sql)
{
	const char *value = sql, *next;

	while ((next = strcasestr(value, "strings")) != NULL)
		value = next + strlen("strings");
	return strcasestr(value, "on") && !strcasestr(value, "off");
}

/* Settings that change how the next texts are to be read. */
static void heed(struct tine_journal *journal, const struct tine_journal_item *item)
{
	if (strcmp(item->key, "client_encoding") == 0)
		journal->hides = journal->hides || hides_backslash(item->sql);
	/* pg_dump's output sets it to what it is anyway. */
	if (strcmp(item->key, "standard_conforming_strings") == 0 &&
	    (journal->escapes || item->kind != TINE_EFFECT_SET || !is_on(item->sql)))
		tine_journal_confuse(journal);
}

/* What is undone by RESET is what was done before. */
static bool recodes(const struct tine_journal *journal, const struct tine_effect *effect)
{
	switch (effect->kind) {
	case TINE_EFFECT_RESET_ALL:
		return journal->is_recoded;
	case TINE_EFFECT_SET:
	case TINE_EFFECT_RESET:
		return strcmp(effect->key, "client_encoding") == 0 &&
		       (journal->is_recoded || effect->kind == TINE_EFFECT_SET);
	default:
		return false;
	}
}

static void recode(struct tine_journal *journal)
{
	journal->is_recoded = journal->is_recoding = true;
	if (journal->wide)
		tine_item_obstacle(journal, TINE_OBSTACLE_ENCODING, false);
}

/* ---- applying ------------------------------------------------------------------------------- */

static void end_block(struct tine_journal *journal, bool is_good, bool is_chained)
{
	if (is_good && !journal->failed)
		tine_item_settle(journal);
	tine_item_drop_all(journal, &journal->open);
	journal->in_block = is_chained;
	journal->failed = false;
}

/* Takes the item if it is one that stays. */
static bool keep(struct tine_journal *journal, struct tine_journal_item *item)
{
	switch (item->kind) {
	case TINE_EFFECT_SET:
	case TINE_EFFECT_RESET:
		heed(journal, item);
		tine_item_append(&journal->open, item);
		return true;
	case TINE_EFFECT_RESET_ALL:
	case TINE_EFFECT_LISTEN:
	case TINE_EFFECT_UNLISTEN:
	case TINE_EFFECT_UNLISTEN_ALL:
	case TINE_EFFECT_SAVEPOINT:
		tine_item_append(&journal->open, item);
		return true;
	case TINE_EFFECT_SET_ASIDE:
		tine_item_set_aside(journal, item);
		return true;
	case TINE_EFFECT_PREPARE:
		tine_item_keep_prepared(journal, item);
		return true;
	default:
		return false;
	}
}

static void act(struct tine_journal *journal, enum tine_effect_kind kind, const char *key)
{
	switch (kind) {
	case TINE_EFFECT_BEGIN:
		journal->in_block = true;
		break;
	case TINE_EFFECT_COMMIT:
	case TINE_EFFECT_COMMIT_CHAIN:
		end_block(journal, true, kind == TINE_EFFECT_COMMIT_CHAIN);
		break;
	case TINE_EFFECT_ROLLBACK:
	case TINE_EFFECT_ROLLBACK_CHAIN:
		end_block(journal, false, kind == TINE_EFFECT_ROLLBACK_CHAIN);
		break;
	case TINE_EFFECT_RELEASE:
		tine_item_end_savepoint(journal, key, false);
		break;
	case TINE_EFFECT_ROLLBACK_TO:
		tine_item_end_savepoint(journal, key, true);
		journal->failed = false;
		break;
	case TINE_EFFECT_DEALLOCATE:
		tine_item_forget_prepared(journal, key);
		break;
	case TINE_EFFECT_DEALLOCATE_ALL:
		tine_item_forget_all_prepared(journal);
		break;
	case TINE_EFFECT_DISCARD_ALL:
		tine_item_discard(journal);
		break;
	case TINE_EFFECT_STRANGE:
		tine_journal_confuse(journal);
		break;
	default:
		break;
	}
}

/* Takes the item. */
static void apply(struct tine_journal *journal, struct tine_journal_item *item)
{
	if (keep(journal, item))
		return;
	act(journal, item->kind, item->key);
	tine_item_drop(journal, item);
}

/* ---- sending -------------------------------------------------------------------------------- */

TINE_HOT_CODE
static void send_quiet(struct tine_journal *journal)
{
	struct tine_journal_item *item;

	if (!journal->sent.first) {
		journal->quiet++;
		return;
	}
	item = tine_item_make(journal, TINE_EFFECT_NONE, "", "", 0, TINE_ITEM_SQL_ONLY);
	if (!item)
		return;
	item->is_last = true;
	item->statements = 1;
	tine_item_append(&journal->sent, item);
}

static bool is_of_transactions(enum tine_effect_kind kind)
{
	return kind >= TINE_EFFECT_BEGIN && kind <= TINE_EFFECT_ROLLBACK_TO;
}

static bool has_text(enum tine_effect_kind kind)
{
	return kind == TINE_EFFECT_SET || kind == TINE_EFFECT_SET_ASIDE ||
	       kind == TINE_EFFECT_LISTEN || kind == TINE_EFFECT_PREPARE;
}

static void note(void *context, const struct tine_effect *effect)
{
	struct tine_journal *journal = context;
	const struct tine_journal_item *prepared;
	struct tine_journal_item *item;

	if (effect->is_indelible && effect->kind != TINE_EFFECT_STRANGE)
		journal->is_indelible = true;
	if (!is_of_transactions(effect->kind) && effect->kind != TINE_EFFECT_STRANGE &&
	    effect->kind != TINE_EFFECT_EXECUTE)
		journal->is_touched = true;
	switch (effect->kind) {
	case TINE_EFFECT_TOUCH:
		return;
	case TINE_EFFECT_OBSTACLE:
		/* DISCARD ALL does away with temporary tables, if not with all traces of them. */
		tine_item_obstacle(journal, effect->obstacle,
				   effect->is_indelible &&
					   effect->obstacle != TINE_OBSTACLE_TEMPORARY);
		return;
	case TINE_EFFECT_EXECUTE:
		prepared = tine_item_find_prepared(journal, effect->key);
		if (prepared && !prepared->is_quiet)
			tine_journal_confuse(journal);
		return;
	default:
		break;
	}
	if (recodes(journal, effect))
		recode(journal);
	item = tine_item_make(journal, effect->kind, effect->key, effect->text,
			      has_text(effect->kind) ? effect->text_length : 0, TINE_ITEM_SQL_ONLY);
	if (!item)
		return;
	item->is_quiet = true;
	tine_item_append(&journal->sent, item);
}

/* What the items of one text have in common. */
static void end_text(struct tine_journal *journal, const struct tine_journal_item *last_before,
		     int statements)
{
	struct tine_journal_item *last = journal->sent.last;

	if (last == last_before) {
		send_quiet(journal);
		return;
	}
	last->is_last = true;
	last->statements = statements;
}

TINE_HOT_CODE
static void read_text(struct tine_journal *journal, const char *sql)
{
	const struct tine_journal_item *last_before = journal->sent.last;
	int statements = 1;

	if (tine_plain_is_select(sql)) {
		send_quiet(journal);
		return;
	}
	journal->has_called = true;
	if (strnlen(sql, TINE_JOURNAL_TEXT_BYTES) == TINE_JOURNAL_TEXT_BYTES)
		tine_item_obstacle(journal, TINE_OBSTACLE_SIZE, true);
	else
		statements = tine_effect_read(sql, journal->escapes, journal->hides, note, journal);
	end_text(journal, last_before, statements);
}

TINE_HOT_CODE
void tine_journal_sent(struct tine_journal *journal, const char *sql)
{
	/* The unnamed statement does not outlive it. */
	tine_item_forget_prepared(journal, "");
	read_text(journal, sql ? sql : "");
}

void tine_journal_sent_harmless(struct tine_journal *journal, bool calls, bool touches)
{
	tine_item_forget_prepared(journal, "");
	journal->has_called = journal->has_called || calls;
	journal->is_touched = journal->is_touched || touches;
	send_quiet(journal);
}

static void count_effect(void *context, const struct tine_effect *effect)
{
	bool *is_quiet = context;

	if (effect->kind != TINE_EFFECT_TOUCH)
		*is_quiet = false;
}

void tine_journal_prepared(struct tine_journal *journal, const char *name, const char *sql,
			   int types_count, const unsigned *types)
{
	struct tine_journal_item *item;
	size_t length;

	if (!name || !sql || types_count < 0) {
		tine_journal_other(journal);
		return;
	}
	journal->is_touched = true;
	length = strnlen(sql, TINE_JOURNAL_BYTES);
	item = tine_item_make(journal, TINE_EFFECT_PREPARE, name, sql, length,
			      types && types_count <= UINT16_MAX ? types_count : 0);
	if (!item) {
		send_quiet(journal);
		return;
	}
	if (types && item->types_count)
		memcpy(item->types, types, (size_t)types_count * sizeof(*types));
	item->is_quiet = true;
	tine_effect_read(item->sql, journal->escapes, journal->hides, count_effect,
			 &item->is_quiet);
	item->is_last = true;
	item->statements = 1;
	tine_item_append(&journal->sent, item);
}

const char *tine_journal_text(struct tine_journal *journal, const char *name)
{
	const struct tine_journal_item *item = tine_item_find_prepared(journal, name ? name : "");

	if (!item || item->is_quiet || item->types_count == TINE_ITEM_SQL_ONLY)
		return NULL;
	return item->sql;
}

void tine_journal_executed(struct tine_journal *journal, const char *text)
{
	journal->has_called = true;
	if (text)
		read_text(journal, text);
	else
		send_quiet(journal);
}

void tine_journal_closed(struct tine_journal *journal, const char *name)
{
	struct tine_journal_item *item =
		tine_item_make(journal, TINE_EFFECT_DEALLOCATE, name ? name : "", "", 0,
			       TINE_ITEM_SQL_ONLY);

	if (!item) {
		send_quiet(journal);
		return;
	}
	item->is_last = true;
	item->statements = 1;
	tine_item_append(&journal->sent, item);
}

void tine_journal_other(struct tine_journal *journal)
{
	send_quiet(journal);
}

void tine_journal_called(struct tine_journal *journal)
{
	tine_item_obstacle(journal, TINE_OBSTACLE_FUNCTION, true);
	send_quiet(journal);
}

/* ---- answers -------------------------------------------------------------------------------- */

/* Of several statements, of which one failed, some may have been done for good: those that no
 * rollback undoes, and those before a COMMIT among them. */
struct part {
	bool has_lasting, has_undoable, has_control;
};

static void add_part(struct part *part, enum tine_effect_kind kind)
{
	if (is_of_transactions(kind))
		part->has_control = true;
	else if (kind >= TINE_EFFECT_PREPARE)
		part->has_lasting = true;
	else if (kind != TINE_EFFECT_NONE)
		part->has_undoable = true;
}

static bool is_commit(enum tine_effect_kind kind)
{
	return kind == TINE_EFFECT_COMMIT || kind == TINE_EFFECT_COMMIT_CHAIN;
}

static bool ends_failure(enum tine_effect_kind kind)
{
	return is_commit(kind) || kind == TINE_EFFECT_ROLLBACK ||
	       kind == TINE_EFFECT_ROLLBACK_CHAIN || kind == TINE_EFFECT_ROLLBACK_TO ||
	       kind == TINE_EFFECT_NONE;
}

static void answer_items(struct tine_journal *journal, bool ok)
{
	struct part part = { .has_undoable = journal->open.first };
	bool is_last = false;
	int statements = 1;

	while (!is_last && journal->sent.first) {
		struct tine_journal_item *item = tine_item_take(&journal->sent);

		is_last = item->is_last;
		if (is_last)
			statements = item->statements;
		add_part(&part, item->kind);
		if (ok) {
			/* A block that can only be rolled back does nothing else. */
			if (journal->failed && !ends_failure(item->kind))
				tine_journal_confuse(journal);
			apply(journal, item);
			continue;
		}
		/* It fails as a rollback, but for one that a pipeline has skipped. */
		if (is_last && statements == 1 && is_commit(item->kind) && !journal->batch_failed)
			end_block(journal, false, false);
		tine_item_drop(journal, item);
	}
	if (!ok && statements > 1 && (part.has_lasting || (part.has_control && part.has_undoable)))
		tine_journal_confuse(journal);
}

static void end_open(struct tine_journal *journal, bool ok)
{
	if (ok && journal->in_block)
		tine_journal_confuse(journal); /* it ended in a way that was not seen */
	else if (ok)
		tine_item_settle(journal);
	tine_item_drop_all(journal, &journal->open);
}

TINE_HOT_CODE
static void end_answer(struct tine_journal *journal, bool ok, char transaction)
{
	if (transaction == 'A')
		return;
	if (transaction != 'I') {
		journal->in_block = true;
		journal->failed = transaction == 'E';
		return;
	}
	if (journal->open.first)
		end_open(journal, ok);
	journal->in_block = journal->failed = false;
	journal->is_recoding &= journal->quiet || journal->sent.first;
}

TINE_HOT_CODE
void tine_journal_answered(struct tine_journal *journal, bool ok, char transaction)
{
	if (journal->quiet)
		journal->quiet--;
	else
		answer_items(journal, ok);
	if (!ok && transaction == 'A')
		journal->batch_failed = true;
	end_answer(journal, ok, transaction);
}

void tine_journal_sync_failed(struct tine_journal *journal)
{
	journal->batch_failed = true;
}

void tine_journal_synced(struct tine_journal *journal, char transaction)
{
	bool ok = !journal->batch_failed;

	journal->batch_failed = false;
	/* More is under way behind it. */
	if (transaction == 'A' && !journal->in_block)
		transaction = 'I';
	else if (transaction == 'A')
		transaction = ok && !journal->failed ? 'T' : 'E';
	end_answer(journal, ok, transaction);
}

void tine_journal_encoded(struct tine_journal *journal, const char *encoding)
{
	char sql[sizeof("SET client_encoding TO ''") + 64] = "SET client_encoding TO '";
	struct tine_journal_item *item;

	journal->is_touched = true;
	if (!*encoding || strlen(encoding) > 60 ||
	    encoding[strspn(encoding, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_-")]) {
		tine_journal_confuse(journal);
		return;
	}
	strcat(strcat(sql, encoding), "'");
	recode(journal);
	journal->is_recoding = journal->in_block;
	item = tine_item_make(journal, TINE_EFFECT_SET, "client_encoding", sql, strlen(sql),
			      TINE_ITEM_SQL_ONLY);
	if (!item)
		return;
	apply(journal, item);
	if (!journal->in_block)
		tine_item_settle(journal);
}

void tine_journal_confuse(struct tine_journal *journal)
{
	tine_item_obstacle(journal, TINE_OBSTACLE_UNKNOWN, true);
}

/* ---- questions ------------------------------------------------------------------------------ */

static bool is_under_way(const struct tine_journal *journal)
{
	return journal->quiet || journal->sent.first || journal->open.first || journal->in_block;
}

enum tine_obstacle tine_journal_obstacle(const struct tine_journal *journal)
{
	if (journal->lasting)
		return journal->lasting;
	if (journal->obstacle)
		return journal->obstacle;
	return is_under_way(journal) ? TINE_OBSTACLE_UNKNOWN : TINE_OBSTACLE_NONE;
}

bool tine_journal_is_discardable(const struct tine_journal *journal)
{
	return !journal->is_indelible && !is_under_way(journal);
}

bool tine_journal_is_clean(const struct tine_journal *journal)
{
	return !journal->is_touched && tine_journal_is_discardable(journal);
}

bool tine_journal_has_called(const struct tine_journal *journal)
{
	return journal->has_called;
}

static struct tine_journal_step step_of(const struct tine_journal_item *item)
{
	return (struct tine_journal_step){
		.sql = item->sql,
		.name = item->types_count == TINE_ITEM_SQL_ONLY ? NULL : item->key,
		.types_count = item->types_count > 0 ? item->types_count : 0,
		.types = item->types_count > 0 ? item->types : NULL,
	};
}

bool tine_journal_next(const struct tine_journal *journal, struct tine_journal_walk *walk,
		       struct tine_journal_step *ret)
{
	const struct tine_journal_item *item;

	while (!walk->next) {
		if (walk->list > TINE_JOURNAL_BUCKETS)
			return false;
		walk->next =
			walk->list ? journal->prepared[walk->list - 1] : journal->settings.first;
		walk->list++;
	}
	item = walk->next;
	walk->next = item->next;
	*ret = step_of(item);
	return true;
}

void tine_journal_set_owed(struct tine_journal *journal, const char *name, bool is_owed)
{
	struct tine_journal_item *item = tine_item_find_kept(journal, name);

	if (!item)
		return;
	item->is_owed = is_owed;
	journal->owes |= is_owed;
}

bool tine_journal_owes(struct tine_journal *journal, const char *name,
		       struct tine_journal_step *ret)
{
	const struct tine_journal_item *item = tine_item_find_kept(journal, name);

	if (!item || !item->is_owed)
		return false;
	*ret = step_of(item);
	return true;
}

/* ---- a journal ------------------------------------------------------------------------------ */

void tine_journal_init(struct tine_journal *journal, bool standard_strings, const char *encoding)
{
	*journal = (struct tine_journal){ 0 };
	journal->escapes = !standard_strings;
	journal->hides = !encoding || hides_backslash(encoding);
}

/* What DISCARD ALL goes back to. */
void tine_journal_options(struct tine_journal *journal, const char *options)
{
	if (options && tine_call_mentions_pg_temp(options, strlen(options)))
		tine_item_obstacle(journal, TINE_OBSTACLE_TEMPORARY, true);
}

void tine_journal_clear(struct tine_journal *journal)
{
	bool escapes = journal->escapes, hides = journal->hides;

	tine_item_drop_all(journal, &journal->settings);
	tine_item_drop_all(journal, &journal->open);
	tine_item_drop_all(journal, &journal->sent);
	tine_item_forget_all_prepared(journal);
	*journal = (struct tine_journal){ .escapes = escapes, .hides = hides };
}
