/* SPDX-License-Identifier: PostgreSQL */
/*
 * Filling a caller's tine_error, and telling from libpq's words what went wrong. The list of
 * statuses, with name and advice, is in error.c and nowhere else.
 *
 * All texts become one line of printable ASCII or UTF-8 without control bytes. Locks: none.
 */
#ifndef TINE_POOL_ERROR_H
#define TINE_POOL_ERROR_H

#include "pool/pq.h"
#include "tine/tine.h"

/** Fill error (may be NULL) with a status and a formatted text. @return status */
__attribute__((format(printf, 3, 4))) int tine_error_set(tine_error *error, int status,
							 const char *format, ...);

/** The same with the name of an errno at the end of the text. @return status */
__attribute__((format(printf, 4, 5))) int tine_error_set_errno(tine_error *error, int status,
							       int os_errno, const char *format,
							       ...);

/** The same with a message of libpq: its lines that say what happened, as one. @return status */
int tine_error_set_message(tine_error *error, int status, const char *message);

/** Copy an error if the caller wants one. @return from->status */
int tine_error_copy(tine_error *error, const tine_error *from);

/** Fill error from a connect that failed: status by SQLSTATE where the server gave one, else by
 *  the kind of failure, with what to do about it at the end of the text. libpq gives no SQLSTATE
 *  for a failed connect but in the text of a verbose message ("FATAL:  28P01: ..."), which is why
 *  the table's connect asks for one.
 *  @param reached  pq->status(pg) before the call that failed, by which a failure is told whose
 *                  words are in another language; CONNECTION_BAD when not known
 *  @return its status, one of those from TINE_E_CONNECT to TINE_E_ROLE, or TINE_E_SYSTEM when
 *  this process can have no more descriptors */
int tine_error_set_connect_at(tine_error *error, const struct tine_pq *pq, const PGconn *pg,
			      ConnStatusType reached);

/** Fill error from a failed statement, or from the connection when result is NULL or the connection
 *  is gone: TINE_E_SQL, TINE_E_LOST. @return status */
int tine_error_set_result(tine_error *error, const struct tine_pq *pq, const PGconn *pg,
			  const PGresult *result);

/** True for failures that only a change of configuration mends: wrong password, no database, TLS
 *  refused. */
bool tine_error_is_permanent(int status);

#endif
