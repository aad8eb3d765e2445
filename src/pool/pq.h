/* SPDX-License-Identifier: PostgreSQL */
/*
 * The table of libpq's functions that the pool uses. tine_pq_linked holds those of the libpq that
 * libtine was linked with; tests have one of their own. pq.c, which fills the former, is the only
 * file of the pool that calls libpq.
 *
 * Each entry is the libpq function of that name (PQ...), and does what libpq's manual says, but for
 * those with a comment. Newer functions than libpq 14's are not needed.
 *
 * Fork: of these only finish() may be called in a child on a parent's connection, and only when its
 * socket was severed and the parent was not inside libpq with it.
 */
#ifndef TINE_POOL_PQ_H
#define TINE_POOL_PQ_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>

/* What went by on a connection: a result that libpq made. */
struct tine_pq_seen {
	ExecStatusType status;
	const char *command;  /* "SELECT 1", "SET", ...; "" when there is none */
	const char *sqlstate; /* NULL when the result is no error */
	size_t bytes;         /* the result's memory */
};

struct tine_pq_watcher {
	void (*saw)(struct tine_pq_watcher *watcher, const struct tine_pq_seen *seen);
	/* The program called PQreset(): another socket, another session. */
	void (*was_reset)(struct tine_pq_watcher *watcher);
};

/* What a program may change on a connection without telling the server, as it was when the
 * connection was new. libpq tells which function handles notices but not with which argument, so
 * only its own can be put back. */
struct tine_pq_dress {
	PQnoticeReceiver libpq_receiver, receiver;
	PQnoticeProcessor libpq_processor, processor;
	PGVerbosity verbosity;
	PGContextVisibility context;
	bool nonblocking;
};

struct tine_pq {
	PQconninfoOption *(*conninfo_parse)(const char *conninfo, char **errmsg);
	PQconninfoOption *(*conninfo)(PGconn *pg);
	void (*conninfo_free)(PQconninfoOption *options);
	void (*freemem)(void *memory);

	/* Its error messages are verbose, "FATAL:  28P01: ...", until dress_new(). */
	PGconn *(*connect_start_params)(const char *const *keywords, const char *const *values,
					int expand_dbname);
	PostgresPollingStatusType (*connect_poll)(PGconn *pg);
	void (*finish)(PGconn *pg);
	ConnStatusType (*status)(const PGconn *pg);
	int (*socket)(const PGconn *pg);
	char *(*error_message)(const PGconn *pg);
	const char *(*parameter_status)(const PGconn *pg, const char *name);
	int (*ssl_in_use)(PGconn *pg);
	int (*backend_pid)(const PGconn *pg);

	PGTransactionStatusType (*transaction_status)(const PGconn *pg);
	PGpipelineStatus (*pipeline_status)(const PGconn *pg);
	int (*send_query)(PGconn *pg, const char *query);
	int (*flush)(PGconn *pg);
	int (*consume_input)(PGconn *pg);
	int (*is_busy)(PGconn *pg);
	PGresult *(*get_result)(PGconn *pg);
	PGnotify *(*notifies)(PGconn *pg);
	ExecStatusType (*result_status)(const PGresult *result);
	char *(*result_error_field)(const PGresult *result, int field);
	char *(*result_error_message)(const PGresult *result);
	char *(*cmd_status)(PGresult *result);
	void (*clear)(PGresult *result);

	/* Have the watcher called for every result of the connection, until it is finished.
	 * @return false without memory */
	bool (*watch)(PGconn *pg, struct tine_pq_watcher *watcher);
	void (*unwatch)(PGconn *pg);
	/* Note how libpq handles notices, on a new connection that nobody has touched yet. */
	void (*dress_new)(PGconn *pg, struct tine_pq_dress *ret_dress);
	/* Note what is to be put back at every return. */
	void (*dress_save)(PGconn *pg, struct tine_pq_dress *dress);
	/* Put it back, and stop tracing. @return false when that cannot be done */
	bool (*dress_restore)(PGconn *pg, const struct tine_pq_dress *dress);
	/* Send notices to fn instead of libpq's function, which prints them; a function of the
	 * program's stays. fn == NULL: as before. */
	void (*divert_notices)(PGconn *pg, const struct tine_pq_dress *dress, PQnoticeReceiver fn,
			       void *arg);
};

extern const struct tine_pq tine_pq_linked;

#endif
