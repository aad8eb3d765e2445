/* SPDX-License-Identifier: PostgreSQL */
/*
 * A transaction on a connection of the pool: what scopes and tine_transact() have in common.
 *
 * Locks: none. Threads: one at a time for each transaction. A thread that is cancelled inside gets
 * to know it when it is out. Fork: a child has no part in its parent's transactions.
 */
#ifndef TINE_POOL_TRANSACTION_H
#define TINE_POOL_TRANSACTION_H

#include "tine/tine.h"

/** Take a connection and begin a transaction on it, in one round trip. A connection that turns out
 *  to be lost at that moment is replaced once: nothing of the program's was on it.
 *  @param wait_ms   as in tine_pool_acquire(); holds for both connections together
 *  @param begin     the statement
 *  @param label     for tine_conn_label(); may be NULL
 *  @param site      told as the place of the checkout
 *  @param ret_conn  the caller's, for tine_transaction_commit() or tine_conn_release()
 *  @return as tine_pool_acquire(); TINE_E_LOST; TINE_E_SQL when the server refused to begin */
int tine_transaction_begin(tine_pool *pool, int wait_ms, const char *begin, const char *label,
			   const void *site, tine_conn **ret_conn, tine_error *error);

/** Say that a connection was lost, with the SQLSTATE of the server's last words if there were any.
 *  @return TINE_E_LOST */
int tine_transaction_tell_loss(const tine_conn *conn, tine_error *error);

/** Commit, and return the connection in every case but TINE_E_FORKED.
 *  @return 0, also when the program has ended the transaction itself; TINE_E_ABORTED: rolled back,
 *  because a statement had failed (with its SQLSTATE) or was not read to its end; TINE_E_SQL:
 *  rolled back by the server at COMMIT; TINE_E_LOST: before COMMIT was sent; TINE_E_IN_DOUBT:
 *  after it; TINE_E_FORKED: an ancestor's; TINE_E_NOMEM */
int tine_transaction_commit(tine_conn *conn, tine_error *error);

#endif
