/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a page is filled with: names and their values, and lists of such. All of it is in an arena,
 * but for names and texts: those are the caller's, and have to be there until the page is filled.
 * A name that is given twice has the later value.
 *
 * Locks: none; as the arena. Fork: ordinary memory.
 */
#ifndef RECORDS_VIEW_H
#define RECORDS_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"

enum value_kind { VALUE_TEXT, VALUE_NUMBER, VALUE_FLAG, VALUE_ROWS };

struct view_rows {
	struct arena *arena;
	struct view *first, *last;
};

struct value {
	const struct value *next;
	const char *name;
	enum value_kind kind;
	size_t length; /* of the text */
	union {
		const char *text;
		int64_t number;
		bool flag;
		struct view_rows rows;
	};
};

struct view {
	struct arena *arena;
	const struct value *values; /* the last one first */
	struct view *next;          /* of the same list */
};

/** An empty one. Never NULL. */
struct view *view_new(struct arena *arena);

/** A text that is no UTF-8 is left out. */
void view_text(struct view *view, const char *name, const char *text);
void view_number(struct view *view, const char *name, int64_t number);
void view_flag(struct view *view, const char *name, bool flag);

/** A list, empty at first. @return it, for view_row() */
struct view_rows *view_list(struct view *view, const char *name);

/** One more at the list's end, empty at first. */
struct view *view_row(struct view_rows *rows);

/** @return NULL when there is none of that name */
const struct value *view_find(const struct view *view, const char *name);

/** Is it a text that is not empty, a list that is not, a number, or true?
 *  @param value may be NULL */
bool value_is_something(const struct value *value);

#endif
