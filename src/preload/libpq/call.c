/* SPDX-License-Identifier: PostgreSQL */
#include "preload/libpq/call.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

struct known {
	const char *name;
	struct tine_effect effect;
};

#define TOUCHES                                                                                    \
	{                                                                                          \
		.kind = TINE_EFFECT_TOUCH, .key = ""                                               \
	}
#define LOCKS                                                                                      \
	{                                                                                          \
		.kind = TINE_EFFECT_OBSTACLE, .key = "", .obstacle = TINE_OBSTACLE_LOCK            \
	}
#define CHANGES                                                                                    \
	{                                                                                          \
		.kind = TINE_EFFECT_OBSTACLE, .key = "", .obstacle = TINE_OBSTACLE_FUNCTION,       \
		.is_indelible = true                                                               \
	}

static const struct tine_effect changes = CHANGES;

static const struct known known[] = {
	{ "nextval", TOUCHES },
	{ "setval", TOUCHES },
	{ "pg_advisory_lock", LOCKS },
	{ "pg_advisory_lock_shared", LOCKS },
	{ "pg_try_advisory_lock", LOCKS },
	{ "pg_try_advisory_lock_shared", LOCKS },
	{ "setseed", CHANGES },
	{ "dblink_connect", CHANGES },
	{ "dblink_connect_u", CHANGES },
	{ "pg_backup_start", CHANGES },
	{ "pg_start_backup", CHANGES },
	{ "pg_create_logical_replication_slot", CHANGES },
	{ "pg_create_physical_replication_slot", CHANGES },
	{ "pg_copy_logical_replication_slot", CHANGES },
	{ "pg_copy_physical_replication_slot", CHANGES },
	{ "pg_replication_origin_session_setup", CHANGES },
	/* These only look as if they set something. */
	{ "set_bit", { .kind = TINE_EFFECT_NONE } },
	{ "set_byte", { .kind = TINE_EFFECT_NONE } },
	{ "set_masklen", { .kind = TINE_EFFECT_NONE } },
};

bool tine_call_name(const struct tine_token *token, char *ret, size_t size)
{
	if (!token->is_plain || token->body_length >= size || !token->body_length)
		return false;
	for (size_t i = 0; i < token->body_length; i++) {
		char c = token->body[i];

		ret[i] = token->kind == TINE_TOKEN_WORD && c >= 'A' && c <= 'Z'
				 ? (char)(c - 'A' + 'a')
				 : c;
	}
	ret[token->body_length] = '\0';
	return true;
}

static void tell_known(const char *name, tine_effect_fn *tell, void *context)
{
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (strcmp(known[i].name, name) == 0) {
			if (known[i].effect.kind != TINE_EFFECT_NONE)
				tell(context, &known[i].effect);
			return;
		}
	/* Extensions' and programs' own: set_limit(), set_tenant(). */
	if (strncmp(name, "set_", 4) == 0)
		tell(context, &changes);
}

/* ---- temporary tables ------------------------------------------------------------------------ */

/* DISCARD ALL takes the table away, and leaves its schema: pg_my_temp_schema() tells. */
void tine_call_tell_temporary(tine_effect_fn *tell, void *context)
{
	static const struct tine_effect temporary = { .kind = TINE_EFFECT_OBSTACLE,
						      .key = "",
						      .obstacle = TINE_OBSTACLE_TEMPORARY,
						      .is_indelible = true };

	tell(context, &temporary);
}

/* Or pg_temp_3, which it is too, in the session whose it is. */
static bool begins_pg_temp(const char *text, size_t length)
{
	static const char name[] = "pg_temp";

	return length >= strlen(name) && strncasecmp(text, name, strlen(name)) == 0 &&
	       (length == strlen(name) || !isalnum((unsigned char)text[strlen(name)]));
}

bool tine_call_mentions_pg_temp(const char *text, size_t length)
{
	for (size_t at = 0; at < length; at++)
		if (begins_pg_temp(text + at, length - at))
			return true;
	return false;
}

bool tine_call_is_pg_temp_name(const struct tine_token *token)
{
	return (token->kind == TINE_TOKEN_WORD || token->kind == TINE_TOKEN_NAME) &&
	       begins_pg_temp(token->body, token->body_length);
}

bool tine_call_leads_to_pg_temp(const struct tine_token *token)
{
	return token->kind == TINE_TOKEN_STRING &&
	       (!token->is_plain || tine_call_mentions_pg_temp(token->body, token->body_length));
}

/* ---- set_config() --------------------------------------------------------------------------- */

/* Once it has been set, for one transaction even, it exists and is empty; until then it does not.
 */
#define MAKE_CUSTOM "SELECT set_config('%s', coalesce(current_setting('%s', true), ''), false)"

void tine_call_tell_custom(const char *name, tine_effect_fn *tell, void *context)
{
	char text[2 * TINE_EFFECT_KEY_BYTES + sizeof(MAKE_CUSTOM)];
	struct tine_effect effect = {
		.kind = TINE_EFFECT_SET_ASIDE,
		.key = name,
		.text = text,
		.is_indelible = true,
	};

	if (name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_.")]) {
		tell(context, &changes);
		return;
	}
	effect.text_length = (size_t)snprintf(text, sizeof(text), MAKE_CUSTOM, name, name);
	tell(context, &effect);
}

bool tine_call_is_of_reading(const char *setting)
{
	return strcmp(setting, "standard_conforming_strings") == 0 ||
	       strcmp(setting, "client_encoding") == 0;
}

static void end_call(struct tine_call *call, tine_effect_fn *tell, void *context)
{
	struct tine_effect effect = changes;

	call->is_open = false;
	effect.is_indelible = !call->has_name || strchr(call->name, '.');
	if (call->has_name && effect.is_indelible && (call->is_local || call->is_session))
		tine_call_tell_custom(call->name, tell, context);
	if (call->is_temporary)
		tine_call_tell_temporary(tell, context);
	if (call->is_session && call->has_name && call->has_value)
		call->is_setting = true;
	else if (!call->is_local || !call->has_name || tine_call_is_of_reading(call->name))
		tell(context, &effect);
}

static bool leads_to_pg_temp(const struct tine_call *call, const struct tine_token *value)
{
	return call->has_name && strcmp(call->name, "search_path") == 0 &&
	       tine_call_leads_to_pg_temp(value);
}

static void take_argument(struct tine_call *call, const struct tine_token *token)
{
	call->tokens++;
	if (call->argument == 0) {
		call->has_name = call->tokens == 1 && token->kind == TINE_TOKEN_STRING &&
				 tine_call_name(token, call->name, sizeof(call->name));
		for (char *c = call->name; call->has_name && *c; c++)
			if (*c >= 'A' && *c <= 'Z')
				*c = (char)(*c - 'A' + 'a');
	} else if (call->argument == 1) {
		call->has_value = call->tokens == 1 && token->kind == TINE_TOKEN_STRING;
		call->is_temporary = call->is_temporary || leads_to_pg_temp(call, token);
	} else if (call->argument == 2) {
		call->is_local = call->tokens == 1 && tine_token_is(token, "TRUE");
		call->is_session = call->tokens == 1 && tine_token_is(token, "FALSE");
	} else {
		call->has_name = false;
	}
}

static void read_argument(struct tine_call *call, const struct tine_token *token,
			  tine_effect_fn *tell, void *context)
{
	if (tine_token_is_symbol(token, '(')) {
		call->depth++;
	} else if (tine_token_is_symbol(token, ')') && --call->depth == 0) {
		end_call(call, tell, context);
		return;
	}
	if (tine_token_is_symbol(token, ',') && call->depth == 1) {
		call->argument++;
		call->tokens = 0;
	} else {
		take_argument(call, token);
	}
}

void tine_call_watch(struct tine_call *call, const struct tine_token *before,
		     const struct tine_token *token, tine_effect_fn *tell, void *context)
{
	char name[64];

	if (token->kind == TINE_TOKEN_END) {
		if (call->is_open)
			tell(context, &changes);
		call->is_open = false;
		return;
	}
	if (call->is_open)
		read_argument(call, token, tell, context);
	if (!tine_token_is_symbol(token, '(') ||
	    (before->kind != TINE_TOKEN_WORD && before->kind != TINE_TOKEN_NAME))
		return;
	if (!tine_call_name(before, name, sizeof(name))) {
		/* No function that matters has so long a name; a name with escapes may be any. */
		if (!before->is_plain)
			tell(context, &changes);
	} else if (strcmp(name, "set_config") != 0) {
		tell_known(name, tell, context);
	} else if (call->is_open || call->is_setting) {
		/* One in an argument of another: not looked into. */
		tell(context, &changes);
	} else {
		*call = (struct tine_call){ .is_open = true, .depth = 1 };
	}
}

void tine_call_tell_change(tine_effect_fn *tell, void *context)
{
	tell(context, &changes);
}

/* ---- code ----------------------------------------------------------------------------------- */

bool tine_call_is_code_harmful(const char *code, size_t length)
{
	static const char *const words[] = { "set",  "temp",    "advisory", "listen", "prepare",
					     "load", "execute", "discard",  "dblink", "hold",
					     "into", "val",     "slot",     "backup" };

	for (size_t at = 0; at < length; at++)
		for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
			size_t bytes = strlen(words[i]);

			if (bytes <= length - at && strncasecmp(code + at, words[i], bytes) == 0)
				return true;
		}
	return false;
}
