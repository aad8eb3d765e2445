/* SPDX-License-Identifier: PostgreSQL */
/*
 * Statements on the pool, for requests that have a deadline. A read takes a connection, asks, and
 * returns it; when the connection is lost on the way it asks again on another, because nothing can
 * have happened. A write is a function in a transaction, called again where nothing was committed,
 * and also where nobody knows: each write here has a key by which the database knows it.
 *
 * No wait for the server is longer than the deadline. Statements that are used often are prepared
 * at their first use on a connection; which ones a connection has is kept at the connection.
 *
 * Locks: none but the pool's. Fork: the pool's business.
 */
#ifndef RECORDS_DB_H
#define RECORDS_DB_H

#include <stdbool.h>
#include <stdint.h>

#include <libpq-fe.h>
#include <tine/tine.h>

struct db {
	tine_pool *pool;
	int64_t deadline_ns; /* of CLOCK_MONOTONIC */
	const char *label;   /* told with the holders of connections */
	bool prepares;
	bool in_doubt;    /* a write that failed may have been committed all the same */
	int attempts;     /* at what was done last */
	tine_error error; /* of what failed last */
};

/* Those that are prepared. */
enum statement { STATEMENT_LOT, STATEMENT_USER, STATEMENT_SETTINGS, STATEMENT_COUNT };

int64_t clock_ns(void);

/** Milliseconds left until the deadline, 0 when it is over. */
int db_left_ms(const struct db *db);

/** Ask. @return the rows, for PQclear(); NULL with db->error */
PGresult *db_read(struct db *db, enum statement statement, int count, const char *const *values);
PGresult *db_read_sql(struct db *db, const char *sql, int count, const char *const *values);

/** Run a statement on a connection, in a transaction.
 *  @return as db_read() */
PGresult *db_run(struct db *db, PGconn *pg, const char *sql, int count, const char *const *values);

/** The same for what gives no rows. @return 0, or a TINE_E_* in db->error */
int db_do(struct db *db, PGconn *pg, const char *sql, int count, const char *const *values);

/** What a write does, once for each attempt. @return 0 to commit; anything else rolls back. A
 *  negative one should be in db->error; a positive one is the writer's own. */
typedef int (*db_write_fn)(struct db *db, PGconn *pg, void *arg);

/** Write. fn must do the same, or nothing, when it is called again after a commit.
 *  @return 0 when it is committed; what fn returned, when it was positive; a TINE_E_* with
 *  db->error */
int db_write(struct db *db, db_write_fn fn, void *arg);

/** Is the error the database's absence, rather than its answer? */
bool db_is_away(const tine_error *error);

/** Is it an answer that may be another one soon: a lock, a limit, a server that is read-only? */
bool db_is_for_now(const tine_error *error);

/** A line in the log about what failed, and in which attempt. Of each kind there is one a second in
 *  a process, with how many there were. */
void db_tell(const struct db *db);

#endif
