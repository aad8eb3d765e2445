/* SPDX-License-Identifier: PostgreSQL */
/* What tests of a session's journal share: one journal, and what is sent, answered and expected. */
#ifndef TINE_TESTS_UNIT_JOURNAL_H
#define TINE_TESTS_UNIT_JOURNAL_H

#include "preload/libpq/journal.h"
#include "support/check.h"

static struct tine_journal journal;
static char transaction;

static inline void begin_session(void)
{
	tine_journal_clear(&journal);
	tine_journal_init(&journal, true, "UTF8");
	transaction = 'I';
}

static inline void answer(bool ok, char now)
{
	transaction = now;
	tine_journal_answered(&journal, ok, now);
}

/* Sent and done, in the transaction or out of it, as before. */
static inline void done(const char *sql)
{
	tine_journal_sent(&journal, sql);
	answer(true, transaction);
}

static inline void done_then(const char *sql, char now)
{
	tine_journal_sent(&journal, sql);
	answer(true, now);
}

static inline void failed(const char *sql)
{
	tine_journal_sent(&journal, sql);
	answer(false, transaction == 'I' ? 'I' : 'E');
}

/* The steps of the replay with " | " between them; a protocol's prepared statement as name=sql. */
static inline const char *replay(void)
{
	static char text[4096];
	struct tine_journal_walk walk = { 0 };
	struct tine_journal_step step;
	size_t length = 0;

	text[0] = '\0';
	while (tine_journal_next(&journal, &walk, &step))
		length += (size_t)snprintf(text + length, sizeof(text) - length, "%s%s%s%s",
					   length ? " | " : "", step.name ? step.name : "",
					   step.name ? "=" : "", step.sql);
	return text;
}

static inline const char *obstacle_text(enum tine_obstacle obstacle)
{
	static const char *const texts[] = {
		[TINE_OBSTACLE_NONE] = "nothing",
		[TINE_OBSTACLE_TEMPORARY] = "a temporary table",
		[TINE_OBSTACLE_CURSOR] = "a cursor WITH HOLD",
		[TINE_OBSTACLE_LOCK] = "an advisory lock",
		[TINE_OBSTACLE_FUNCTION] = "a function that changes the session",
		[TINE_OBSTACLE_LIBRARY] = "a library that was loaded",
		[TINE_OBSTACLE_CODE] = "a DO block that may have changed the session",
		[TINE_OBSTACLE_ENCODING] = "a text of another client encoding",
		[TINE_OBSTACLE_UNKNOWN] = "a statement that tine does not understand",
		[TINE_OBSTACLE_SIZE] = "more state than tine keeps",
	};

	return texts[obstacle];
}

static inline void check_state(const char *expected)
{
	CHECK_STR(replay(), expected);
	CHECK_STR(obstacle_text(tine_journal_obstacle(&journal)), "nothing");
}

static inline void check_obstacle(enum tine_obstacle expected)
{
	CHECK_STR(obstacle_text(tine_journal_obstacle(&journal)),
		  obstacle_text(expected));
}

#endif
