/* SPDX-License-Identifier: PostgreSQL */
#include "preload/libpq/effect.h"

#include <stdio.h>
#include <string.h>

#include "preload/libpq/call.h"
#include "preload/libpq/lex.h"
#include "preload/libpq/plain.h"

struct reader {
	struct tine_lex lex;
	struct tine_token before, token;
	struct tine_call call;
	int tokens;        /* of this statement */
	bool is_qualified; /* the third of them is a dot */
	int depth;         /* of parentheses: a ';' in them ends no statement */
	bool is_over;      /* the token is not of this statement any more */
	bool is_told;      /* of this text: that it is not understood */
	const char *start;
	struct tine_effect effect; /* of this statement, told at its end */
	char key[TINE_EFFECT_KEY_BYTES];
	tine_effect_fn *tell;
	void *context;
};

typedef void statement_fn(struct reader *reader);

static const struct tine_effect touch = { .kind = TINE_EFFECT_TOUCH, .key = "" };
static const struct tine_effect doubt = { .kind = TINE_EFFECT_OBSTACLE,
					  .key = "",
					  .obstacle = TINE_OBSTACLE_UNKNOWN,
					  .is_indelible = true };

static void tell_doubt(struct reader *reader)
{
	if (!reader->is_told)
		reader->tell(reader->context, &doubt);
	reader->is_told = true;
}

static bool is(const struct reader *reader, const char *word)
{
	return !reader->is_over && tine_token_is(&reader->token, word);
}

/* ---- tokens --------------------------------------------------------------------------------- */

static bool is_temporary(const struct reader *reader)
{
	return is(reader, "TEMP") || is(reader, "TEMPORARY");
}

static void set_obstacle(struct reader *reader, enum tine_obstacle obstacle)
{
	reader->effect.kind = TINE_EFFECT_OBSTACLE;
	reader->effect.obstacle = obstacle;
}

static void tell_temporary(struct reader *reader)
{
	tine_call_tell_temporary(reader->tell, reader->context);
}

/* What matters anywhere in a statement. */
static void watch(struct reader *reader)
{
	const struct tine_token *before = &reader->before;

	tine_call_watch(&reader->call, before, &reader->token, reader->tell, reader->context);
	if (tine_call_is_pg_temp(&reader->token) ||
	    (is_temporary(reader) &&
	     (tine_token_is(before, "INTO") || tine_token_is(before, "LOCAL") ||
	      tine_token_is(before, "GLOBAL"))))
		tell_temporary(reader);
	else if (is(reader, "INSERT") || is(reader, "MERGE"))
		reader->tell(reader->context, &touch); /* sequences */
	else if (is(reader, "ATOMIC") && tine_token_is(before, "BEGIN"))
		tell_doubt(reader); /* a body whose ';' do not end the statement */
}

static void advance(struct reader *reader)
{
	if (reader->is_over)
		return;
	reader->before = reader->token;
	tine_lex_next(&reader->lex, &reader->token);
	if (tine_token_is_symbol(&reader->token, '('))
		reader->depth++;
	else if (tine_token_is_symbol(&reader->token, ')') && reader->depth)
		reader->depth--;
	reader->is_over = reader->token.kind == TINE_TOKEN_END ||
			  (!reader->depth && tine_token_is_symbol(&reader->token, ';'));
	reader->tokens += !reader->is_over;
	if (reader->tokens == 3)
		reader->is_qualified = tine_token_is_symbol(&reader->token, '.');
	watch(reader);
}

/* Step over a word if it is this one. */
static bool accept(struct reader *reader, const char *word)
{
	if (!is(reader, word))
		return false;
	advance(reader);
	return true;
}

/* Step over a name and make it the effect's. */
static void take_name(struct reader *reader, enum tine_effect_kind kind)
{
	reader->effect.kind = kind;
	if (reader->is_over ||
	    (reader->token.kind != TINE_TOKEN_WORD && reader->token.kind != TINE_TOKEN_NAME) ||
	    !tine_call_name(&reader->token, reader->key, 64)) {
		reader->effect.kind = TINE_EFFECT_STRANGE;
		return;
	}
	reader->effect.key = reader->key;
	advance(reader);
}

static void set_key(struct reader *reader, enum tine_effect_kind kind, const char *key)
{
	snprintf(reader->key, sizeof(reader->key), "%s", key);
	reader->effect.kind = kind;
	reader->effect.key = reader->key;
}

/* ---- transactions --------------------------------------------------------------------------- */

static void begin(struct reader *reader)
{
	reader->effect.kind = TINE_EFFECT_BEGIN;
}

static bool is_chained(struct reader *reader)
{
	if (!accept(reader, "WORK"))
		accept(reader, "TRANSACTION");
	return accept(reader, "AND") && is(reader, "CHAIN");
}

static void commit(struct reader *reader)
{
	if (!is(reader, "PREPARED"))
		reader->effect.kind =
			is_chained(reader) ? TINE_EFFECT_COMMIT_CHAIN : TINE_EFFECT_COMMIT;
}

static void rollback(struct reader *reader)
{
	if (is(reader, "PREPARED"))
		return;
	reader->effect.kind =
		is_chained(reader) ? TINE_EFFECT_ROLLBACK_CHAIN : TINE_EFFECT_ROLLBACK;
	if (accept(reader, "TO")) {
		accept(reader, "SAVEPOINT");
		take_name(reader, TINE_EFFECT_ROLLBACK_TO);
	}
}

static void savepoint(struct reader *reader)
{
	take_name(reader, TINE_EFFECT_SAVEPOINT);
}

static void release(struct reader *reader)
{
	accept(reader, "SAVEPOINT");
	take_name(reader, TINE_EFFECT_RELEASE);
}

/* ---- settings ------------------------------------------------------------------------------- */

/* A setting's name: one word, or several with dots between them. Case never matters. */
static bool take_setting(struct reader *reader)
{
	size_t length = 0;

	for (;;) {
		char part[64];

		if (reader->is_over || !tine_call_name(&reader->token, part, sizeof(part)) ||
		    (reader->token.kind != TINE_TOKEN_WORD &&
		     reader->token.kind != TINE_TOKEN_NAME))
			return false;
		length += (size_t)snprintf(reader->key + length, sizeof(reader->key) - length,
					   "%s%s", length ? "." : "", part);
		if (length >= sizeof(reader->key))
			return false;
		advance(reader);
		if (reader->is_over || !tine_token_is_symbol(&reader->token, '.'))
			break;
		advance(reader);
	}
	for (char *c = reader->key; *c; c++)
		*c += *c >= 'A' && *c <= 'Z' ? 'a' - 'A' : 0;
	reader->effect.key = reader->key;
	return true;
}

static void tell_setting(struct reader *reader, enum tine_effect_kind kind, const char *key,
			 const char *text)
{
	struct tine_effect effect = { .kind = kind, .key = key, .text = text };

	effect.text_length = strlen(text);
	reader->tell(reader->context, &effect);
}

/* SET SESSION CHARACTERISTICS AS TRANSACTION: other words for up to three settings. */
static void characteristics(struct reader *reader)
{
	static const struct {
		const char *word, *key, *text;
	} modes[] = {
#define MODE(word, name, value) { word, name, "SET " name " = " value }
		MODE("ONLY", "default_transaction_read_only", "on"),
		MODE("WRITE", "default_transaction_read_only", "off"),
		MODE("SERIALIZABLE", "default_transaction_isolation", "serializable"),
		MODE("REPEATABLE", "default_transaction_isolation", "'repeatable read'"),
		MODE("COMMITTED", "default_transaction_isolation", "'read committed'"),
		MODE("UNCOMMITTED", "default_transaction_isolation", "'read uncommitted'"),
		MODE("DEFERRABLE", "default_transaction_deferrable", "on"),
		MODE("NOT", "default_transaction_deferrable", "off"),
	};

	for (; !reader->is_over; advance(reader))
		for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++)
			if (is(reader, modes[i].word) && !tine_token_is(&reader->before, "NOT"))
				tell_setting(reader, TINE_EFFECT_SET, modes[i].key, modes[i].text);
	reader->effect.kind = TINE_EFFECT_TOUCH;
}

/* A value after its name. */
static void take_value(struct reader *reader)
{
	reader->effect.kind = is(reader, "DEFAULT") ? TINE_EFFECT_RESET : TINE_EFFECT_SET;
}

/* Settings that have a grammar of their own. @return false: not one of these */
static bool set_special(struct reader *reader)
{
	static const struct {
		const char *word, *second, *key;
	} special[] = {
		{ "TIME", "ZONE", "timezone" },    { "NAMES", NULL, "client_encoding" },
		{ "SCHEMA", NULL, "search_path" }, { "XML", "OPTION", "xmloption" },
		{ "ROLE", NULL, "role" },
	};

	for (size_t i = 0; i < sizeof(special) / sizeof(*special); i++) {
		if (!is(reader, special[i].word))
			continue;
		advance(reader);
		if (special[i].second)
			accept(reader, special[i].second);
		set_key(reader, TINE_EFFECT_SET, special[i].key);
		if (is(reader, "DEFAULT") || reader->is_over ||
		    (is(reader, "LOCAL") && strcmp(special[i].key, "timezone") == 0))
			reader->effect.kind = TINE_EFFECT_RESET;
		return true;
	}
	return false;
}

static void set_authorization(struct reader *reader, bool is_local)
{
	accept(reader, "AUTHORIZATION");
	/* It also ends what SET ROLE did. */
	if (!is_local)
		tell_setting(reader, TINE_EFFECT_RESET, "role", "");
	set_key(reader, TINE_EFFECT_SET, "session_authorization");
	take_value(reader);
}

static void set_named(struct reader *reader)
{
	if (!take_setting(reader) || is(reader, "FROM" /* CURRENT */)) {
		reader->effect.kind = TINE_EFFECT_STRANGE;
		return;
	}
	if (strcmp(reader->key, "seed") == 0) {
		set_obstacle(reader, TINE_OBSTACLE_FUNCTION);
		reader->effect.is_indelible = true;
		return;
	}
	if (!accept(reader, "TO"))
		advance(reader);
	take_value(reader);
}

/* Its names may stand in strings. A table that is made by way of it does not say what it is. */
static void search_path(struct reader *reader)
{
	for (; !reader->is_over; advance(reader))
		if (tine_call_leads_to_pg_temp(&reader->token))
			tell_temporary(reader);
}

static void set(struct reader *reader)
{
	bool is_local = accept(reader, "LOCAL");

	if (is(reader, "TRANSACTION") || is(reader, "CONSTRAINTS"))
		return;
	if (!is_local && accept(reader, "SESSION")) {
		if (accept(reader, "CHARACTERISTICS")) {
			characteristics(reader);
			return;
		}
		if (is(reader, "AUTHORIZATION")) {
			set_authorization(reader, false);
			return;
		}
	}
	if (accept(reader, "SESSION"))
		set_authorization(reader, is_local);
	else if (!set_special(reader))
		set_named(reader);
	if (strchr(reader->key, '.'))
		tine_call_tell_custom(reader->key, reader->tell, reader->context);
	else if (strcmp(reader->key, "search_path") == 0)
		search_path(reader);
	/* Gone with its transaction, but the texts until then are read by this one. */
	if (is_local && tine_call_is_of_reading(reader->key))
		reader->effect.kind = TINE_EFFECT_STRANGE;
	else if (is_local && reader->effect.kind != TINE_EFFECT_STRANGE)
		reader->effect.kind = TINE_EFFECT_NONE;
}

static void reset(struct reader *reader)
{
	if (accept(reader, "ALL"))
		reader->effect.kind = TINE_EFFECT_RESET_ALL;
	else if (accept(reader, "TIME"))
		set_key(reader, TINE_EFFECT_RESET, "timezone");
	else if (accept(reader, "TRANSACTION"))
		set_key(reader, TINE_EFFECT_RESET, "transaction_isolation");
	else if (accept(reader, "SESSION")) {
		tell_setting(reader, TINE_EFFECT_RESET, "role", "");
		set_key(reader, TINE_EFFECT_RESET, "session_authorization");
	} else
		reader->effect.kind =
			take_setting(reader) ? TINE_EFFECT_RESET : TINE_EFFECT_STRANGE;
}

/* ---- other state ---------------------------------------------------------------------------- */

static void listen(struct reader *reader)
{
	take_name(reader, TINE_EFFECT_LISTEN);
}

static void unlisten(struct reader *reader)
{
	if (tine_token_is_symbol(&reader->token, '*'))
		reader->effect.kind = TINE_EFFECT_UNLISTEN_ALL;
	else
		take_name(reader, TINE_EFFECT_UNLISTEN);
}

static void prepare(struct reader *reader)
{
	if (is(reader, "TRANSACTION"))
		reader->effect.kind = TINE_EFFECT_COMMIT;
	else
		take_name(reader, TINE_EFFECT_PREPARE);
}

static void deallocate(struct reader *reader)
{
	accept(reader, "PREPARE");
	if (is(reader, "ALL"))
		reader->effect.kind = TINE_EFFECT_DEALLOCATE_ALL;
	else
		take_name(reader, TINE_EFFECT_DEALLOCATE);
}

static void discard(struct reader *reader)
{
	reader->effect.kind = is(reader, "ALL") ? TINE_EFFECT_DISCARD_ALL : TINE_EFFECT_TOUCH;
}

static void load(struct reader *reader)
{
	set_obstacle(reader, TINE_OBSTACLE_LIBRARY);
	reader->effect.is_indelible = true;
}

/* A temporary table that goes with its transaction is nobody's obstacle. */
static void create(struct reader *reader)
{
	bool is_dropped = false;

	if (accept(reader, "OR"))
		accept(reader, "REPLACE");
	if (!accept(reader, "LOCAL"))
		accept(reader, "GLOBAL");
	if (!is_temporary(reader))
		return;
	/* DISCARD ALL takes the table away, and leaves its schema: pg_my_temp_schema() tells. */
	set_obstacle(reader, TINE_OBSTACLE_TEMPORARY);
	reader->effect.is_indelible = true;
	for (; !reader->is_over; advance(reader))
		is_dropped = is_dropped ||
			     (is(reader, "DROP") && tine_token_is(&reader->before, "COMMIT"));
	if (is_dropped)
		reader->effect.kind = TINE_EFFECT_TOUCH;
}

static void declare(struct reader *reader)
{
	for (; !reader->is_over; advance(reader))
		if (is(reader, "HOLD") && tine_token_is(&reader->before, "WITH"))
			set_obstacle(reader, TINE_OBSTACLE_CURSOR);
}

static void code(struct reader *reader)
{
	for (; !reader->is_over; advance(reader))
		if (reader->token.kind == TINE_TOKEN_STRING &&
		    tine_call_is_code_harmful(reader->token.body, reader->token.body_length)) {
			set_obstacle(reader, TINE_OBSTACLE_CODE);
			reader->effect.is_indelible = true;
		}
}

/* EXPLAIN ANALYZE does what it explains. */
static void explain(struct reader *reader)
{
	for (; !reader->is_over; advance(reader))
		if (is_temporary(reader) && tine_token_is(&reader->before, "CREATE"))
			tell_temporary(reader);
}

static void execute(struct reader *reader)
{
	take_name(reader, TINE_EFFECT_EXECUTE);
}

/* Defaults of columns may be sequences. */
static void copy(struct reader *reader)
{
	for (; !reader->is_over; advance(reader))
		if (is(reader, "FROM"))
			reader->effect.kind = TINE_EFFECT_TOUCH;
}

static void update(struct reader *reader)
{
	for (; !reader->is_over; advance(reader))
		if (is(reader, "DEFAULT")) {
			reader->effect.kind = TINE_EFFECT_TOUCH;
		} else if (is(reader, "PG_SETTINGS")) {
			set_obstacle(reader, TINE_OBSTACLE_FUNCTION); /* a rule makes it a SET */
			reader->effect.is_indelible = true;
			return;
		}
}

static void nothing(struct reader *reader)
{
	(void)reader;
}

/* SELECT set_config('name', 'value', false), as frameworks write it. With anything beside it, it
 * may be done for some row, or for none. */
#define SET_CONFIG_TOKENS 9

static void end_select(struct reader *reader)
{
	if (!reader->call.is_setting)
		return;
	if (reader->tokens == SET_CONFIG_TOKENS + (reader->is_qualified ? 2 : 0))
		set_key(reader, TINE_EFFECT_SET, reader->call.name);
	else
		tine_call_tell_change(reader->tell, reader->context);
}

/* ---- statements ----------------------------------------------------------------------------- */

static const struct {
	const char *word;
	statement_fn *read;
} statements[] = {
	{ "SELECT", nothing },
	{ "INSERT", nothing },
	{ "UPDATE", update },
	{ "DELETE", nothing },
	{ "WITH", nothing },
	{ "BEGIN", begin },
	{ "COMMIT", commit },
	{ "ROLLBACK", rollback },
	{ "SET", set },
	{ "EXECUTE", execute },
	{ "START", begin },
	{ "END", commit },
	{ "ABORT", rollback },
	{ "SAVEPOINT", savepoint },
	{ "RELEASE", release },
	{ "RESET", reset },
	{ "LISTEN", listen },
	{ "UNLISTEN", unlisten },
	{ "NOTIFY", nothing },
	{ "PREPARE", prepare },
	{ "DEALLOCATE", deallocate },
	{ "DISCARD", discard },
	{ "DECLARE", declare },
	{ "FETCH", nothing },
	{ "MOVE", nothing },
	{ "CLOSE", nothing },
	{ "COPY", copy },
	{ "CREATE", create },
	{ "ALTER", nothing },
	{ "DROP", nothing },
	{ "TRUNCATE", nothing },
	{ "SHOW", nothing },
	{ "EXPLAIN", explain },
	{ "VALUES", nothing },
	{ "TABLE", nothing },
	{ "MERGE", nothing },
	{ "CALL", nothing },
	{ "DO", code },
	{ "LOAD", load },
	{ "LOCK", nothing },
	{ "VACUUM", nothing },
	{ "ANALYZE", nothing },
	{ "ANALYSE", nothing },
	{ "CLUSTER", nothing },
	{ "REINDEX", nothing },
	{ "REFRESH", nothing },
	{ "CHECKPOINT", nothing },
	{ "COMMENT", nothing },
	{ "GRANT", nothing },
	{ "REVOKE", nothing },
	{ "SECURITY", nothing },
	{ "REASSIGN", nothing },
	{ "IMPORT", nothing },
};

static void read_kind(struct reader *reader)
{
	for (size_t i = 0; i < sizeof(statements) / sizeof(*statements); i++)
		if (accept(reader, statements[i].word)) {
			statements[i].read(reader);
			return;
		}
	if (!tine_token_is_symbol(&reader->token, '('))
		reader->effect.kind = TINE_EFFECT_STRANGE;
}

static void read_statement(struct reader *reader)
{
	reader->start = reader->token.start;
	reader->key[0] = '\0';
	reader->effect = (struct tine_effect){ .key = "" };
	read_kind(reader);
	while (!reader->is_over)
		advance(reader);
	end_select(reader);
	reader->effect.text = reader->start;
	reader->effect.text_length = (size_t)(reader->token.start - reader->start);
	if (reader->effect.kind == TINE_EFFECT_STRANGE)
		reader->effect.is_indelible = true;
	if (reader->effect.kind != TINE_EFFECT_NONE)
		reader->tell(reader->context, &reader->effect);
}

int tine_effect_read(const char *sql, bool escapes, bool hides, tine_effect_fn *tell, void *context)
{
	struct reader reader = {
		.lex = { .at = sql, .escapes = escapes, .hides = hides },
		.tell = tell,
		.context = context,
	};
	int count = 0;

	if (tine_plain_is_select(sql))
		return 1;
	do {
		reader.is_over = reader.is_qualified = false;
		reader.depth = reader.tokens = 0;
		memset(&reader.call, 0, sizeof(reader.call));
		reader.token = (struct tine_token){ .kind = TINE_TOKEN_END,
						    .start = reader.lex.at,
						    .body = reader.lex.at };
		advance(&reader);
		if (!reader.is_over) {
			read_statement(&reader);
			count++;
		}
	} while (reader.token.kind != TINE_TOKEN_END);
	if (reader.lex.is_doubtful)
		tell_doubt(&reader);
	return count;
}
