/* SPDX-License-Identifier: PostgreSQL */
/*
 * What happens around each call that uses a connection: use.c makes the wrappers of the ASKS, SENDS
 * and BEGINS rows of functions.inc from the functions here.
 *
 *	tine_use_begin()    before the first byte: is the connection there?
 *	tine_use_answer()   each result that the program gets, NULL at the end of PQgetResult()'s
 *
 * Locks: none; a record is its caller's. Fork: tine_use_begin() notices forks without handlers
 * first, as every hook does.
 */
#ifndef TINE_PRELOAD_LIBPQ_USE_H
#define TINE_PRELOAD_LIBPQ_USE_H

#include <stdbool.h>

#include "preload/libpq/record.h"

enum tine_statement_kind {
	TINE_OTHER,    /* a call that is not a statement: PQfn(), large objects */
	TINE_HARMLESS, /* leaves nothing behind in the session */
	TINE_QUERY,    /* sql */
	TINE_PREPARE,  /* name, sql, types, count */
	TINE_EXECUTE,  /* name */
	TINE_CLOSE,    /* of a prepared statement: name */
	TINE_ENCODING, /* PQsetClientEncoding(): name */
};

/* What is about to be sent. All borrowed for the call. */
struct tine_statement {
	enum tine_statement_kind kind;
	bool extended; /* one statement with parameters, not a text of several */
	const char *sql, *name;
	const Oid *types;
	int count;
};

/** Something is about to begin on a PGconn.
 *  @return its record, or NULL when nothing is to be looked at: unknown, or we are inside it */
struct tine_record *tine_use_begin(const struct tine_copy *copy, PGconn *conn,
				   const struct tine_statement *statement);

/** A function that waits for its answer has returned. @param result NULL when it failed or gives
 *  none */
void tine_use_end(struct tine_record *record, const PGresult *result);

/** PQgetResult() has returned this. */
void tine_use_answer(struct tine_record *record, const PGresult *result);

#endif
