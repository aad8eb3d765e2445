/* SPDX-License-Identifier: PostgreSQL */
/*
 * One statement of the library's own on a connection that is checked out, to its end, and what is
 * known when its end did not come. All functions wait for the server.
 *
 * Locks: none. Threads: for the thread that has the connection; a cancellation takes effect at its
 * next cancellation point outside. Fork: not for a child on a parent's connection; the callers look
 * at tine_conn_pg() first.
 */
#ifndef TINE_POOL_STATEMENT_H
#define TINE_POOL_STATEMENT_H

#include "tine/tine.h"

#define TINE_COMMAND_BYTES 16

/** Send a statement that returns no rows and wait for its answer. No other statement of the
 *  connection may be under way.
 *  @param ret_command  what the server says it did ("BEGIN", "COMMIT", "ROLLBACK"), cut to
 *                      TINE_COMMAND_BYTES; "" on failure; may be NULL
 *  @param error        SQLSTATE included
 *  @return 0; TINE_E_SQL: the server refused it, for certain; TINE_E_LOST: the connection was lost,
 *  and nothing of it can have reached the server; TINE_E_IN_DOUBT: it was sent, and no answer that
 *  would be the server's decision came back; TINE_E_NOMEM: libpq could not send it */
int tine_statement_run(const tine_conn *conn, const char *sql, char *ret_command,
		       tine_error *error);

#endif
