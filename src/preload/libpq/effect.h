/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a text of SQL does to the session it is sent on, as far as the text tells: settings,
 * transactions, LISTEN, PREPARE, and what cannot be done again in another session.
 *
 * It is read without knowing the database. So a function or a trigger that changes the session
 * inside the server is not seen, unless its name is in call.c.
 *
 * Pure: borrowed text, no memory. The text is hostile input. Locks, fork: none.
 */
#ifndef TINE_PRELOAD_LIBPQ_EFFECT_H
#define TINE_PRELOAD_LIBPQ_EFFECT_H

#include <stdbool.h>
#include <stddef.h>

/* Why a new session cannot be brought to the same state. */
enum tine_obstacle {
	TINE_OBSTACLE_NONE,
	TINE_OBSTACLE_TEMPORARY, /* tables or other objects */
	TINE_OBSTACLE_CURSOR,    /* WITH HOLD */
	TINE_OBSTACLE_LOCK,      /* an advisory lock of the session */
	TINE_OBSTACLE_FUNCTION,  /* a function that changes the session: set_config() and others */
	TINE_OBSTACLE_LIBRARY,   /* LOAD */
	TINE_OBSTACLE_CODE,      /* DO with something of these in it */
	TINE_OBSTACLE_ENCODING,  /* a text that was sent in another client encoding */
	TINE_OBSTACLE_UNKNOWN,   /* not understood */
	TINE_OBSTACLE_SIZE,      /* too much to keep */
};

enum tine_effect_kind {
	TINE_EFFECT_NONE,
	TINE_EFFECT_BEGIN,
	TINE_EFFECT_COMMIT,
	TINE_EFFECT_COMMIT_CHAIN, /* the next transaction begins at once */
	TINE_EFFECT_ROLLBACK,
	TINE_EFFECT_ROLLBACK_CHAIN,
	TINE_EFFECT_SAVEPOINT,
	TINE_EFFECT_RELEASE,
	TINE_EFFECT_ROLLBACK_TO,
	TINE_EFFECT_SET,
	TINE_EFFECT_SET_ASIDE, /* a setting now exists, whatever becomes of the transaction */
	TINE_EFFECT_RESET,
	TINE_EFFECT_RESET_ALL,
	TINE_EFFECT_LISTEN,
	TINE_EFFECT_UNLISTEN,
	TINE_EFFECT_UNLISTEN_ALL,
	TINE_EFFECT_PREPARE,
	TINE_EFFECT_EXECUTE,
	TINE_EFFECT_DEALLOCATE,
	TINE_EFFECT_DEALLOCATE_ALL,
	TINE_EFFECT_DISCARD_ALL,
	TINE_EFFECT_TOUCH,    /* something is left that nobody misses in a new session */
	TINE_EFFECT_OBSTACLE, /* is there as soon as the text is sent */
	TINE_EFFECT_STRANGE,  /* not understood: anything, if the server does understand it */
};

struct tine_effect {
	enum tine_effect_kind kind;
	const char *key;  /* a name as the server compares it, or "" */
	const char *text; /* SQL that has this effect by itself; not NUL-terminated */
	size_t text_length;
	enum tine_obstacle obstacle;
	bool is_indelible; /* what is left DISCARD ALL does not take away */
};

/* As long as the server makes them, with the NUL; settings with two parts may be longer. */
#define TINE_EFFECT_KEY_BYTES 128

typedef void tine_effect_fn(void *context, const struct tine_effect *effect);

/** Read a text, statement by statement.
 *  @param escapes, hides  as in struct tine_lex
 *  @return how many statements there are */
int tine_effect_read(const char *sql, bool escapes, bool hides, tine_effect_fn *tell,
		     void *context);

#endif
