/* SPDX-License-Identifier: PostgreSQL */
#include "view.h"

#include <string.h>

#include "text.h"

struct view *view_new(struct arena *arena)
{
	struct view *view = arena_take(arena, sizeof(*view));

	*view = (struct view){ .arena = arena };
	return view;
}

static struct value *add(struct view *view, const char *name, enum value_kind kind)
{
	struct value *value = arena_take(view->arena, sizeof(*value));

	value->next = view->values;
	value->name = name;
	value->kind = kind;
	view->values = value;
	return value;
}

void view_text(struct view *view, const char *name, const char *text)
{
	size_t length = strlen(text);
	struct value *value;

	if (!text_is_utf8(text, length))
		return;
	value = add(view, name, VALUE_TEXT);
	value->text = text;
	value->length = length;
}

void view_number(struct view *view, const char *name, int64_t number)
{
	add(view, name, VALUE_NUMBER)->number = number;
}

void view_flag(struct view *view, const char *name, bool flag)
{
	add(view, name, VALUE_FLAG)->flag = flag;
}

struct view_rows *view_list(struct view *view, const char *name)
{
	struct value *value = add(view, name, VALUE_ROWS);

	value->rows = (struct view_rows){ .arena = view->arena };
	return &value->rows;
}

struct view *view_row(struct view_rows *rows)
{
	struct view *row = view_new(rows->arena);

	if (rows->last)
		rows->last->next = row;
	else
		rows->first = row;
	rows->last = row;
	return row;
}

const struct value *view_find(const struct view *view, const char *name)
{
	/* Names differ in their first byte, mostly. */
	for (const struct value *value = view->values; value; value = value->next)
		if (*value->name == *name && strcmp(value->name, name) == 0)
			return value;
	return NULL;
}

bool value_is_something(const struct value *value)
{
	if (!value)
		return false;
	switch (value->kind) {
	case VALUE_TEXT:
		return value->length > 0;
	case VALUE_FLAG:
		return value->flag;
	case VALUE_ROWS:
		return value->rows.first != NULL;
	default:
		return true;
	}
}
