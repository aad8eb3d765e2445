/* SPDX-License-Identifier: PostgreSQL */
/*
 * Scopes: a unit of work, which takes one connection when it first needs one, and gives it back on
 * every way out.
 *
 * Locks: none; a scope is one thread's at a time. Fork: a scope without a connection goes on in the
 * child with the child's own; one with a connection is the parent's, of which the child can only
 * free its copy.
 */
#include <stdio.h>
#include <stdlib.h>

#include "pool/error.h"
#include "pool/pool.h"
#include "pool/transaction.h"

struct tine_scope {
	tine_pool *pool;
	tine_conn *conn; /* NULL while there is none */
	int kind;
	bool lost; /* and with it what was done so far */
	char name[TINE_LABEL_BYTES];
};

static const char *kind_name(int kind)
{
	switch (kind) {
	case TINE_SCOPE_REQUEST:
		return "request";
	case TINE_SCOPE_TASK:
		return "task";
	case TINE_SCOPE_SCRIPT:
		return "script";
	default:
		return NULL;
	}
}

tine_scope *tine_scope_begin(tine_pool *pool, int kind, const char *name)
{
	tine_scope *scope = malloc(sizeof(*scope));

	if (!scope)
		return NULL;
	*scope = (tine_scope){ .pool = pool, .kind = kind };
	if (!name)
		name = kind_name(kind);
	snprintf(scope->name, sizeof(scope->name), "%s", name ? name : "");
	return scope;
}

static int check(const tine_scope *scope, tine_error *error)
{
	if (!scope)
		return tine_error_set(error, TINE_E_NOMEM,
				      "the scope is NULL: no memory when it began");
	if (!kind_name(scope->kind))
		return tine_error_set(error, TINE_E_INVALID,
				      "a scope's kind is TINE_SCOPE_REQUEST (0), TINE_SCOPE_TASK "
				      "(1) or TINE_SCOPE_SCRIPT (2), not %d",
				      scope->kind);
	if (scope->lost)
		return tine_error_set(error, TINE_E_LOST,
				      "the scope's connection was lost, and with it what was not "
				      "committed; end the scope");
	return 0;
}

/* The connection it has. It stays until the scope ends, also when it is lost: the program may still
 * ask it for its last error. */
static PGconn *current(const tine_scope *scope, tine_error *error)
{
	const struct tine_pq *pq = scope->pool->pq;
	PGconn *pg = tine_conn_pg(scope->conn);

	if (!pg) {
		tine_error_set(error, TINE_E_FORKED,
			       "the scope's connection belongs to an ancestor of this process");
		return NULL;
	}
	if (pq->status(pg) != CONNECTION_BAD)
		return pg;
	tine_transaction_tell_loss(scope->conn, error);
	return NULL;
}

PGconn *tine_scope_conn(tine_scope *scope, tine_error *error)
{
	const void *site = __builtin_return_address(0);

	if (check(scope, error) < 0)
		return NULL;
	if (!scope->conn && tine_transaction_begin(scope->pool, -1, "BEGIN", scope->name, site,
						   &scope->conn, error) < 0)
		return NULL;
	return current(scope, error);
}

int tine_scope_commit(tine_scope *scope, tine_error *error)
{
	int rc = check(scope, error);

	if (rc < 0 || !scope->conn)
		return rc;
	rc = tine_transaction_commit(scope->conn, error);
	if (rc != TINE_E_FORKED)
		scope->conn = NULL;
	scope->lost = rc == TINE_E_LOST || rc == TINE_E_IN_DOUBT;
	return rc;
}

void tine_scope_end(tine_scope *scope)
{
	if (!scope)
		return;
	tine_conn_release(scope->conn);
	free(scope);
}
