/* SPDX-License-Identifier: PostgreSQL */
/*
 * Whatever a program sends: the journal keeps within its bounds, and what it would replay is, read
 * as a program's own statements, the state that it says there is. What is plain (plain.h) has no
 * effect by the reader either. Lines of the input are texts; the first byte of each says how it
 * ends.
 */
#include "preload/libpq/journal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "preload/libpq/effect.h"
#include "preload/libpq/fill.h"
#include "preload/libpq/lex.h"
#include "preload/libpq/plain.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void check(bool good)
{
	if (!good)
		__builtin_trap();
}

static void answer(struct tine_journal *journal, char how)
{
	static const char transactions[] = "IIIITTEA";

	tine_journal_answered(journal, how & 8, transactions[how & 7]);
	if ((how & 7) == 7)
		tine_journal_synced(journal, 'I');
}

/* Suspicions of words that are names in a plain text. */
static void refuse(void *context, const struct tine_effect *effect)
{
	check(effect->kind == TINE_EFFECT_TOUCH ||
	      (effect->obstacle == TINE_OBSTACLE_UNKNOWN && strcasestr(context, "atomic")));
}

/* A comment in front leaves it to the reader. */
static void check_plain(const char *sql)
{
	char *text;

	if (!tine_plain_is_select(sql))
		return;
	check(asprintf(&text, "/**/%s", sql) > 0);
	check(tine_effect_read(text, true, true, refuse, text) == 1);
	free(text);
}

/* The same words, but that each parameter is a string. */
static void check_filled(const struct tine_journal *journal, const char *sql)
{
	static const char *const values[] = { "$2, set_config(", "", NULL };
	const struct tine_statement statement = { .values = values, .values_count = 3 };
	const char *text = tine_fill(journal, &statement, sql);
	struct tine_lex lex = { .at = sql, .escapes = journal->escapes, .hides = journal->hides };
	struct tine_lex other = lex;
	struct tine_token token, filled;

	if (text == sql)
		return;
	other.at = text;
	do {
		tine_lex_next(&lex, &token);
		tine_lex_next(&other, &filled);
		if (token.kind == TINE_TOKEN_PARAM)
			check(filled.kind == TINE_TOKEN_STRING);
		else if (token.kind == TINE_TOKEN_END)
			check(filled.kind == TINE_TOKEN_END);
		else
			check(filled.kind == token.kind && filled.length == token.length &&
			      memcmp(filled.start, token.start, token.length) == 0);
	} while (token.kind != TINE_TOKEN_END);
}

static void feed(struct tine_journal *journal, char *line)
{
	char how = line[0], *sql = how ? line + 1 : line;

	check_plain(sql);
	check_filled(journal, sql);
	if ((how & 0x30) == 0x30)
		tine_journal_sent(journal, sql);
	else if ((how & 0x30) == 0x20)
		tine_journal_prepared(journal, "p", sql, 0, NULL);
	else if ((how & 0x30) == 0x10)
		tine_journal_executed(journal, tine_journal_text(journal, "p"));
	else
		tine_journal_closed(journal, sql);
	answer(journal, how);
}

static bool is_same(const struct tine_journal_step *a, const struct tine_journal_step *b)
{
	return strcmp(a->sql, b->sql) == 0 && !a->name == !b->name;
}

static void replay(const struct tine_journal *journal)
{
	struct tine_journal_walk walk = { 0 }, other_walk = { 0 };
	struct tine_journal_step step, other_step;
	struct tine_journal other;

	tine_journal_init(&other, true, NULL);
	while (tine_journal_next(journal, &walk, &step)) {
		if (step.name)
			tine_journal_prepared(&other, step.name, step.sql, 0, NULL);
		else
			tine_journal_sent(&other, step.sql);
		tine_journal_answered(&other, true, 'I');
	}
	/* Each text in the encoding that it was sent in. */
	check(tine_journal_obstacle(&other) != TINE_OBSTACLE_ENCODING);
	/* That a setting was made aside shows as set_config(), which is told as one. */
	if (!journal->is_indelible && !other.is_indelible) {
		memset(&walk, 0, sizeof(walk));
		while (tine_journal_next(journal, &walk, &step)) {
			check(tine_journal_next(&other, &other_walk, &other_step));
			/* Buckets are walked in the order that chance gave their items. */
			check(step.name || is_same(&step, &other_step) || walk.list > 1);
		}
		check(!tine_journal_next(&other, &other_walk, &other_step));
	}
	tine_journal_clear(&other);
	check(!other.bytes && !other.wide);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	struct tine_journal journal;
	char *text = malloc(length + 1), *line, *rest = text;

	memcpy(text, bytes, length);
	text[length] = '\0';
	tine_journal_init(&journal, true, length % 2 ? "UTF8" : "SJIS");
	while ((line = strsep(&rest, "\x01")) != NULL)
		feed(&journal, line);
	check(journal.bytes <= TINE_JOURNAL_BYTES);
	check(!tine_journal_is_clean(&journal) || tine_journal_is_discardable(&journal));
	if (tine_journal_obstacle(&journal) == TINE_OBSTACLE_NONE)
		replay(&journal);
	tine_journal_clear(&journal);
	check(!journal.bytes && tine_journal_is_clean(&journal));
	free(text);
	return 0;
}
