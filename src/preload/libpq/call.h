/* SPDX-License-Identifier: PostgreSQL */
/*
 * Functions that change the session, known by their names, wherever in a statement they are called.
 * Pure. Locks, fork: none.
 */
#ifndef TINE_PRELOAD_LIBPQ_CALL_H
#define TINE_PRELOAD_LIBPQ_CALL_H

#include "preload/libpq/effect.h"
#include "preload/libpq/lex.h"

/* One call of set_config() that is being read: what matters are its first and its third argument.
 */
struct tine_call {
	bool is_open;
	int depth, argument, tokens; /* tokens: of this argument */
	bool is_local, is_session, has_name, has_value;
	bool is_temporary; /* it makes pg_temp a part of search_path */
	bool is_setting; /* it is SET in other words, if nothing else is in the statement */
	char name[TINE_EFFECT_KEY_BYTES];
};

/** Feed the tokens of a statement, one by one.
 *  @param call    zeroed at the start of each statement
 *  @param before  the token before this one
 *  @param tell    called for what a call leaves */
void tine_call_watch(struct tine_call *call, const struct tine_token *before,
		     const struct tine_token *token, tine_effect_fn *tell, void *context);

/** Write a name as the server compares it: in small letters unless it was quoted.
 *  @return false when it is too long, or not certain */
bool tine_call_name(const struct tine_token *token, char *ret, size_t size);

/** Say that a setting with a dot in its name is there from now on, and that DISCARD ALL will not
 *  take it away. */
void tine_call_tell_custom(const char *name, tine_effect_fn *tell, void *context);

/** Say that there may be temporary tables. */
void tine_call_tell_temporary(tine_effect_fn *tell, void *context);

/** Has this text the name of their schema in it? */
bool tine_call_mentions_pg_temp(const char *text, size_t length);

/** The same of a word or a quoted name, without the quick no. */
bool tine_call_is_pg_temp_name(const struct tine_token *token);

/** Is this the name? */
static inline bool tine_call_is_pg_temp(const struct tine_token *token)
{
	/* Each token of each statement is asked. */
	return token->body_length >= sizeof("pg_temp") - 1 && token->body[2] == '_' &&
	       (*token->body & ~0x20) == 'P' && tine_call_is_pg_temp_name(token);
}

/** Is it a string that may have it among others? */
bool tine_call_leads_to_pg_temp(const struct tine_token *token);

/** Does this setting decide how texts are to be read? */
bool tine_call_is_of_reading(const char *setting);

/** Say that a function changes the session, in a way that is not known. */
void tine_call_tell_change(tine_effect_fn *tell, void *context);

/** May this code, in any language, do something that a statement of its own would be told for? */
bool tine_call_is_code_harmful(const char *code, size_t length);

#endif
