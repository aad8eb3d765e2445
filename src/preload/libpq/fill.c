/* SPDX-License-Identifier: PostgreSQL */
#include "preload/libpq/fill.h"

#include <string.h>

#include "preload/libpq/lex.h"

#define FILLED_BYTES 1024

static __thread char filled[FILLED_BYTES];

struct filling {
	size_t length;
	bool is_good;
};

static void add(struct filling *filling, const char *bytes, size_t length)
{
	filling->is_good = filling->is_good && length < FILLED_BYTES - filling->length;
	if (!filling->is_good)
		return;
	memcpy(filled + filling->length, bytes, length);
	filling->length += length;
}

/* The same between quotes, whatever the session's settings and its encoding. */
static bool is_simple(const char *value)
{
	for (; *value; value++)
		if (*value < ' ' || *value > '~' || *value == '\'' || *value == '\\')
			return false;
	return true;
}

static const char *value_of(const struct tine_statement *statement, const struct tine_token *token)
{
	int number = 0;

	for (size_t i = 1; i < token->length && number < 100000; i++) {
		if (token->start[i] < '0' || token->start[i] > '9')
			return NULL;
		number = number * 10 + (token->start[i] - '0');
	}
	if (number < 1 || number > statement->values_count ||
	    (statement->formats && statement->formats[number - 1]))
		return NULL;
	return statement->values[number - 1];
}

static void add_value(struct filling *filling, const char *value)
{
	filling->is_good = filling->is_good && value && is_simple(value);
	if (!filling->is_good)
		return;
	/* Apart from what is before and behind it, as a parameter is. */
	add(filling, " '", 2);
	add(filling, value, strlen(value));
	add(filling, "' ", 2);
}

const char *tine_fill_values(const struct tine_journal *journal,
			     const struct tine_statement *statement, const char *sql)
{
	struct tine_lex lex = { .at = sql, .escapes = journal->escapes, .hides = journal->hides };
	struct filling filling = { .is_good = true };
	const char *rest = sql;
	struct tine_token token;
	bool was_value = false;

	if (!strstr(sql, "set_config"))
		return sql;
	for (tine_lex_next(&lex, &token); token.kind != TINE_TOKEN_END && filling.is_good;
	     tine_lex_next(&lex, &token)) {
		bool is_value = token.kind == TINE_TOKEN_PARAM || token.kind == TINE_TOKEN_STRING;

		/* Two strings on two lines are one. */
		filling.is_good = !is_value || !was_value;
		was_value = is_value;
		if (token.kind != TINE_TOKEN_PARAM)
			continue;
		add(&filling, rest, (size_t)(token.start - rest));
		add_value(&filling, value_of(statement, &token));
		rest = token.start + token.length;
	}
	add(&filling, rest, strlen(rest) + 1);
	return filling.is_good && !lex.is_doubtful ? filled : sql;
}
