/* SPDX-License-Identifier: PostgreSQL */
#include "preload/libpq/lex.h"

#include <string.h>

/* ---- bytes ---------------------------------------------------------------------------------- */

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_name_start(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80);
}

static bool is_name(char c)
{
	return is_name_start(c) || is_digit(c) || c == '$';
}

/* ---- what is skipped ------------------------------------------------------------------------ */

static const char *skip_line(const char *at)
{
	return at + strcspn(at, "\n\r");
}

static const char *skip_comment(struct tine_lex *lex, const char *at)
{
	size_t depth = 0;

	do {
		if (at[0] == '/' && at[1] == '*') {
			depth++;
			at += 2;
		} else if (at[0] == '*' && at[1] == '/') {
			depth--;
			at += 2;
		} else if (*at) {
			at++;
		} else {
			lex->is_doubtful = true;
			break;
		}
	} while (depth);
	return at;
}

static const char *skip_space(struct tine_lex *lex, const char *at)
{
	for (;;) {
		if (is_space(*at))
			at++;
		else if (at[0] == '-' && at[1] == '-')
			at = skip_line(at);
		else if (at[0] == '/' && at[1] == '*')
			at = skip_comment(lex, at);
		else
			return at;
	}
}

/* A string goes on in the next line: 'a' <newline> 'b' is 'ab'. NULL: this one does not. */
static const char *skip_to_continuation(const char *at)
{
	bool has_newline = false;

	for (;;) {
		if (is_space(*at)) {
			has_newline = has_newline || *at == '\n' || *at == '\r';
			at++;
		} else if (at[0] == '-' && at[1] == '-') {
			at = skip_line(at);
		} else {
			return has_newline && *at == '\'' ? at + 1 : NULL;
		}
	}
}

/* ---- quotes --------------------------------------------------------------------------------- */

/* In some encodings the second byte of a character can be a backslash. */
static bool is_hidden(const struct tine_lex *lex, const char *at, const char *start)
{
	return lex->hides && at > start && (at[-1] & 0x80);
}

/* From behind the opening quote to behind the closing one, or to the end of the text. */
static const char *read_quoted(struct tine_lex *lex, const char *start, char quote, bool escapes,
			       struct tine_token *ret)
{
	const char stops[] = { quote, '\\', '\0' };
	const char *at = start;

	for (;;) {
		at += strcspn(at, stops);
		if (!*at) {
			lex->is_doubtful = true;
			return at;
		}
		if (*at == '\\') {
			if (escapes && is_hidden(lex, at, start))
				lex->is_doubtful = true;
			ret->is_plain = ret->is_plain && !escapes;
			at += escapes && at[1] ? 2 : 1;
		} else if (at[1] == quote) {
			ret->is_plain = false;
			at += 2;
		} else {
			return at + 1;
		}
	}
}

static void end_quoted(struct tine_token *ret, const char *body, const char *end, char quote)
{
	ret->length = (size_t)(end - ret->start);
	ret->body = body;
	ret->body_length = (size_t)(end - body);
	if (ret->body_length && end[-1] == quote)
		ret->body_length--;
}

static void read_string(struct tine_lex *lex, const char *quote, bool escapes,
			struct tine_token *ret)
{
	const char *end, *more;

	ret->kind = TINE_TOKEN_STRING;
	ret->is_plain = true;
	end = read_quoted(lex, quote + 1, '\'', escapes, ret);
	while (*end && (more = skip_to_continuation(end)) != NULL) {
		ret->is_plain = false;
		end = read_quoted(lex, more, '\'', escapes, ret);
	}
	end_quoted(ret, quote + 1, end, '\'');
}

/* @return NULL: a dollar that quotes nothing */
static const char *find_dollar_body(const char *at)
{
	const char *tag = at + 1;

	if (is_name_start(*tag))
		while (is_name(*tag) && *tag != '$')
			tag++;
	return *tag == '$' ? tag + 1 : NULL;
}

static void read_dollar(struct tine_lex *lex, const char *body, struct tine_token *ret)
{
	size_t tag_length = (size_t)(body - ret->start);
	const char *end = body;

	ret->kind = TINE_TOKEN_STRING;
	ret->is_plain = true;
	ret->body = body;
	for (; (end = strchr(end, '$')) != NULL; end++)
		if (strncmp(end, ret->start, tag_length) == 0)
			break;
	if (!end) {
		lex->is_doubtful = true;
		ret->body_length = strlen(body);
		ret->length = tag_length + ret->body_length;
		return;
	}
	ret->body_length = (size_t)(end - body);
	ret->length = 2 * tag_length + ret->body_length;
}

/* ---- the rest ------------------------------------------------------------------------------- */

static void read_name(const char *at, struct tine_token *ret)
{
	while (is_name(*at))
		at++;
	ret->kind = TINE_TOKEN_WORD;
	ret->is_plain = true;
	ret->length = ret->body_length = (size_t)(at - ret->start);
}

/* Letters that follow are a word of their own, as they are to servers before 15; a $ may begin a
 * string. */
static void read_number(const char *at, struct tine_token *ret)
{
	while (is_digit(*at) || *at == '.')
		at++;
	if (*at == 'e' || *at == 'E') {
		const char *exponent = at + 1 + (at[1] == '+' || at[1] == '-');

		if (is_digit(*exponent))
			for (at = exponent; is_digit(*at);)
				at++;
	}
	ret->length = ret->body_length = (size_t)(at - ret->start);
}

/* E'..', B'..', X'..', N'..', U&'..' and U&"..". */
static bool read_prefixed(struct tine_lex *lex, const char *at, struct tine_token *ret)
{
	bool is_unicode = (*at == 'U' || *at == 'u') && at[1] == '&';
	const char *quote = is_unicode ? at + 2 : at + 1;

	if (*quote == '\'' && (is_unicode || strchr("eEbBxXnN", *at))) {
		read_string(lex, quote, *at == 'e' || *at == 'E', ret);
		ret->is_plain = ret->is_plain && strchr("eEnN", *at);
		return true;
	}
	if (is_unicode && *quote == '"') {
		ret->kind = TINE_TOKEN_NAME;
		end_quoted(ret, quote + 1, read_quoted(lex, quote + 1, '"', false, ret), '"');
		ret->is_plain = false;
		return true;
	}
	return false;
}

void tine_lex_next(struct tine_lex *lex, struct tine_token *ret)
{
	const char *at = skip_space(lex, lex->at), *body;

	*ret = (struct tine_token){ .start = at, .body = at, .length = 1, .body_length = 1 };
	if (!*at) {
		ret->length = ret->body_length = 0;
	} else if (*at == '\'') {
		read_string(lex, at, lex->escapes, ret);
	} else if (*at == '"') {
		ret->kind = TINE_TOKEN_NAME;
		ret->is_plain = true;
		end_quoted(ret, at + 1, read_quoted(lex, at + 1, '"', false, ret), '"');
	} else if (*at == '$' && (body = find_dollar_body(at)) != NULL) {
		read_dollar(lex, body, ret);
	} else if (*at == '$' && is_digit(at[1])) {
		ret->kind = TINE_TOKEN_PARAM;
		read_number(at + 1, ret);
	} else if (is_name_start(*at)) {
		if (!read_prefixed(lex, at, ret))
			read_name(at, ret);
	} else if (is_digit(*at)) {
		ret->kind = TINE_TOKEN_NUMBER;
		read_number(at, ret);
	} else {
		ret->kind = TINE_TOKEN_SYMBOL;
	}
	lex->at = at + ret->length;
}

bool tine_token_is_word(const struct tine_token *token, const char *word)
{
	size_t i;

	for (i = 0; i < token->length && word[i]; i++) {
		char c = token->start[i];

		if ((c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c) != word[i])
			return false;
	}
	return i == token->length && !word[i];
}
