/* SPDX-License-Identifier: PostgreSQL */
#include "preload/libpq/foresee.h"

#include <string.h>

#include "preload/libpq/fill.h"
#include "preload/libpq/item.h"
#include "preload/libpq/plain.h"

struct look {
	struct tine_journal *journal;
	enum tine_foreseen found;
	bool has_effects, touches;
};

/* What only a prepared statement of the protocol can do; PREPARE of SQL was looked into. */
static bool does_more_than_read(struct tine_journal *journal, const char *name)
{
	const struct tine_journal_item *item = tine_item_find_prepared(journal, name);

	return item && !item->is_quiet;
}

static bool is_limit(const struct tine_effect *effect)
{
	return strcmp(effect->key, "idle_session_timeout") == 0;
}

static void weigh(void *context, const struct tine_effect *effect)
{
	struct look *look = context;
	bool ties = false, resets = false;

	look->touches |= effect->kind == TINE_EFFECT_TOUCH;
	look->has_effects |= effect->kind != TINE_EFFECT_TOUCH;
	switch (effect->kind) {
	case TINE_EFFECT_OBSTACLE:
	case TINE_EFFECT_STRANGE:
	case TINE_EFFECT_LISTEN:
		ties = true;
		break;
	case TINE_EFFECT_SET:
	case TINE_EFFECT_RESET:
		ties = is_limit(effect);
		break;
	case TINE_EFFECT_EXECUTE:
		ties = does_more_than_read(look->journal, effect->key);
		break;
	case TINE_EFFECT_RESET_ALL:
	case TINE_EFFECT_DISCARD_ALL:
		resets = true;
		break;
	default:
		break;
	}
	if (ties)
		look->found = TINE_FORESEEN_TIE;
	else if (resets && look->found == TINE_FORESEEN_NOTHING)
		look->found = TINE_FORESEEN_RESET;
}

static enum tine_foreseen read_text(struct tine_journal *journal,
				    struct tine_statement *statement, const char *sql)
{
	struct look look = { .journal = journal };

	if (!sql)
		return TINE_FORESEEN_NOTHING;
	if (strnlen(sql, TINE_JOURNAL_TEXT_BYTES) == TINE_JOURNAL_TEXT_BYTES)
		return TINE_FORESEEN_TIE;
	if (tine_plain_is_select(sql)) {
		statement->reading = TINE_IS_PLAIN;
		return TINE_FORESEEN_NOTHING;
	}
	sql = tine_fill(journal, statement, sql);
	tine_effect_read(sql, journal->escapes, journal->hides, weigh, &look);
	if (!look.has_effects)
		statement->reading = look.touches ? TINE_LEAVES_TRACES : TINE_LEAVES_NOTHING;
	return look.found;
}

enum tine_foreseen tine_foresee(struct tine_journal *journal, struct tine_statement *statement)
{
	switch (statement->kind) {
	case TINE_FUNCTION:
		return TINE_FORESEEN_TIE;
	case TINE_QUERY:
	case TINE_PREPARE:
		return read_text(journal, statement, statement->sql);
	case TINE_EXECUTE:
		return read_text(journal, statement, tine_journal_text(journal, statement->name));
	default:
		return TINE_FORESEEN_NOTHING;
	}
}
