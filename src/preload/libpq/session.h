/* SPDX-License-Identifier: PostgreSQL */
/*
 * The session behind a connection: since when, on which socket, and what the program has done to it
 * (its journal). Follows what is sent and answered, in pipeline mode too.
 *
 * A part of struct tine_record, and owned as that is. Locks: none. Fork: see record.h.
 */
#ifndef TINE_PRELOAD_LIBPQ_SESSION_H
#define TINE_PRELOAD_LIBPQ_SESSION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <libpq-fe.h>

#include "preload/libpq/journal.h"

struct tine_record;

enum tine_statement_kind {
	TINE_NOTHING,  /* nothing is sent that has to be answered later, nothing is left behind */
	TINE_OTHER,    /* is answered, leaves nothing behind: a description, of name perhaps */
	TINE_FUNCTION, /* PQfn(), of which only a number is known */
	TINE_QUERY,    /* sql */
	TINE_PREPARE,  /* name, sql, types, count */
	TINE_EXECUTE,  /* name */
	TINE_CLOSE,    /* of a prepared statement: name */
	TINE_ENCODING, /* PQsetClientEncoding(): name */
};

/* What its text leaves in the session, where that is known already. */
enum tine_reading {
	TINE_UNREAD,
	TINE_IS_PLAIN, /* plain.h: nor can it have called a function */
	TINE_LEAVES_NOTHING,
	TINE_LEAVES_TRACES, /* what nobody misses in a new session */
};

/* What is about to be sent. All borrowed for the call. */
struct tine_statement {
	enum tine_statement_kind kind;
	const char *sql, *name;
	const Oid *types;
	int count;
	const char *const *values; /* of its parameters; NULL: none, or of no interest */
	const int *formats;        /* may be NULL, as in libpq */
	int values_count;
	enum tine_reading reading; /* of a query */
};

/* Of a pipeline: how many statements are not answered before each of the syncs that are not, and
 * behind the last one. */
struct tine_syncs {
	unsigned *before; /* allocated; those from first to end count */
	unsigned first, end, room;
	unsigned behind;
};

/* What every statement looks at comes first. */
struct tine_session {
	bool is_open;      /* logged in, and the journal has it from its beginning */
	bool is_lost;      /* it was found lost by its use */
	bool is_read_only; /* the server, as it said when the session began */
	bool saw_result;   /* of the one that is being answered */
	bool saw_error;
	bool is_unsynced; /* what a pipeline sent had no sync behind it: its transaction is open,
			   * also when the pipeline is left and libpq says that there is none */
	unsigned due; /* sent, and not answered to the end */
	struct tine_syncs syncs;
	struct tine_journal journal;
	int fd;
	dev_t device; /* of the socket and its inode, so that the number is known to be still its */
	ino_t inode;
	int64_t born_ns;
	int server;      /* on the board, see tine_server_find(); -1: none */
	unsigned deaths; /* of its connections that were known at the last ping */
};

/** The record's PGconn has just logged in. */
void tine_session_begin(struct tine_record *record);

/** Is the connection in pipeline mode, as libpq says? One without that mode has none. */
bool tine_session_in_pipeline(const struct tine_record *record);

/** A pipeline's sync was sent. */
void tine_session_sync_sent(struct tine_record *record);

/** Note what PQsocket() is now. */
void tine_session_note_socket(struct tine_record *record);

/** Is PQsocket() still the socket that was noted? A program may close the number of a connection
 *  that it has finished, and have a file of its own there: to be asked before anything is done to
 *  it that libpq would not do. Changes errno. */
bool tine_session_holds(const struct tine_record *record);

/** The same without a system call: have the hooks seen nothing happen to the number since? A hint,
 *  since a system call that goes past libc is not seen. */
bool tine_session_is_untouched(const struct tine_record *record);

/** Tell the guard how the session's transaction stands. Reads the record alone: in a child, another
 *  thread of its parent may have been at work on the connection, or have unloaded its libpq. */
void tine_session_say_transaction(const struct tine_record *record);

/** Forget the session; the connection is finished or begins another one. */
void tine_session_end(struct tine_record *record);

/** Before something new is sent: what libpq read and threw away meanwhile is accounted for. */
void tine_session_settle(struct tine_record *record);

/** Is nothing under way in it? libpq alone would not know of a pipeline without a sync. */
static inline bool tine_session_is_settled(const struct tine_session *session)
{
	return session->is_open && !session->due && !session->is_unsynced;
}

/** This was sent; its answer comes by tine_session_result(). */
void tine_session_sent(struct tine_record *record, const struct tine_statement *statement);

/** PQgetResult() returned this. */
void tine_session_result(struct tine_record *record, const PGresult *result);

/** This was sent and answered in one call.
 *  @param result  the last result, NULL when there was none */
void tine_session_asked(struct tine_record *record, const struct tine_statement *statement,
			const PGresult *result);

#endif
