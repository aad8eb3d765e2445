/* SPDX-License-Identifier: PostgreSQL */
/*
 * The words of a text of SQL, as PostgreSQL's own scanner separates them: strings of all kinds,
 * quoted identifiers, nested comments, dollar quotes.
 *
 * Source: PostgreSQL documentation, "Lexical Structure".
 *
 * Pure: borrowed bytes up to the NUL, no memory, no state but the caller's. The text is hostile
 * input. Locks, fork: none.
 */
#ifndef TINE_PRELOAD_LIBPQ_LEX_H
#define TINE_PRELOAD_LIBPQ_LEX_H

#include <stdbool.h>
#include <stddef.h>

enum tine_token_kind {
	TINE_TOKEN_END,
	TINE_TOKEN_WORD,   /* a key word, or a name that is not quoted */
	TINE_TOKEN_NAME,   /* "quoted" */
	TINE_TOKEN_STRING, /* '...', E'...', $$...$$ and their like */
	TINE_TOKEN_NUMBER,
	TINE_TOKEN_PARAM,  /* $1 */
	TINE_TOKEN_SYMBOL, /* one byte: an operator is several of these */
};

struct tine_token {
	enum tine_token_kind kind;
	const char *start; /* the first byte, with its quote */
	size_t length;     /* with the quotes */
	const char *body;  /* what is between the quotes, as it is written */
	size_t body_length;
	bool is_plain; /* the body is the value: nothing in it is escaped or doubled */
};

struct tine_lex {
	const char *at;
	bool escapes; /* in: a backslash escapes in '...' (standard_conforming_strings is off) */
	bool hides;   /* in: a byte after one above 0x7f may be a part of its character */
	bool is_doubtful; /* out: something did not end, or where it ends is not certain */
};

/** The next token; after the last one END, for ever. */
void tine_lex_next(struct tine_lex *lex, struct tine_token *ret);

/** The same without the quick no. */
bool tine_token_is_word(const struct tine_token *token, const char *word);

/** Is it this word, whatever its case? @param word in capitals; a NAME never is one */
static inline bool tine_token_is(const struct tine_token *token, const char *word)
{
	/* Each statement asks dozens of times, and most have another first letter. */
	return token->kind == TINE_TOKEN_WORD && (*token->start & ~0x20) == *word &&
	       tine_token_is_word(token, word);
}

/** Is it this symbol? */
static inline bool tine_token_is_symbol(const struct tine_token *token, char symbol)
{
	return token->kind == TINE_TOKEN_SYMBOL && *token->start == symbol;
}

#endif
