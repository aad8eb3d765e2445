/* SPDX-License-Identifier: PostgreSQL */
/*
 * A session with a server that may be slow, silent or hostile: every step has a time limit, an
 * answer has a limit of rows, and no text of the server holds a secret of ours.
 *
 * Locks: none; one thread at a time. Fork: a session belongs to the process that opened it.
 */
#ifndef TINE_DOCTOR_SESSION_H
#define TINE_DOCTOR_SESSION_H

#include "doctor/dsn.h"

#define TINE_SESSION_CONNECT_MS 10000 /* when the connection string has no connect_timeout */
#define TINE_SESSION_QUERY_MS 5000
#define TINE_SESSION_USUAL_MS 0 /* of a query: what the login was given */
#define TINE_SESSION_ROWS_MAX 1000

struct tine_session;

struct tine_rows {
	char **cells; /* row by row; NULL for SQL's null */
	char **names; /* of columns; NULL without rows */
	int count, columns;
};

/* What replaces a parameter of the connection string. */
struct tine_parameter {
	const char *keyword, *value;
};

/** The connect_timeout of the connection string within 2 to 30 s, or its default, in ms. */
int tine_session_connect_ms(const struct tine_dsn *dsn);

/** Look up a host of the connection string.
 *  @param ret_addresses  numeric addresses, each for free(), then the array; of a socket none
 *  @return how many; a negative TINE_E_* with the reason in error */
int tine_session_resolve(const struct tine_dsn_host *host, int timeout_ms, char ***ret_addresses,
			 tine_error *error);

/** Connect to one address of a host and log in. A server of any role will do: what
 *  target_session_attrs asks for is left to the caller.
 *  @param hostaddr    of tine_session_resolve(); NULL for a socket
 *  @param parameters  ended by a keyword of NULL; may be NULL
 *  @return NULL with the reason in error */
struct tine_session *tine_session_open(const struct tine_dsn *dsn, const struct tine_dsn_host *host,
				       const char *hostaddr,
				       const struct tine_parameter *parameters, int timeout_ms,
				       tine_error *error);

/** Connect to the first host and address that lets us in. @return as tine_session_open() */
struct tine_session *tine_session_open_any(const struct tine_dsn *dsn, tine_error *error);

void tine_session_close(struct tine_session *session);

/** Ask, by the simple protocol. After a TINE_E_LOST or TINE_E_CONNECT_TIMEOUT the connection is
 *  closed, with all the memory that its server made us take, and the session only fails; after a
 *  TINE_E_SQL it goes on.
 *  @param timeout_ms  or TINE_SESSION_USUAL_MS
 *  @param ret_rows  for tine_rows_done(); NULL: not wanted
 *  @return 0 or a negative TINE_E_* */
int tine_session_query(struct tine_session *session, const char *sql, int timeout_ms,
		       struct tine_rows *ret_rows, tine_error *error);

void tine_rows_done(struct tine_rows *rows);

/** A cell, "" for null and for what is not there. */
const char *tine_rows_text(const struct tine_rows *rows, int row, int column);

/** The number of a column, -1 when there is none of that name. */
int tine_rows_column(const struct tine_rows *rows, const char *name);

/** A cell as a number; 0 for what is none. */
long long tine_rows_number(const struct tine_rows *rows, int row, int column);

/** A parameter that the server reported at login, without secrets; "" when it did not. Valid until
 *  the next call. */
const char *tine_session_parameter(struct tine_session *session, const char *name);

/** The process id that the server named at login. */
int tine_session_backend_pid(const struct tine_session *session);

/** -1 when the connection is closed. */
int tine_session_socket(const struct tine_session *session);
bool tine_session_is_encrypted(const struct tine_session *session);

/** Read what came in without being asked for: a notice of the server's that it ends the session.
 *  Never waits.
 *  @return true when the connection is still there; then error, which the caller has zeroed, is
 *  unchanged. Its sqlstate and text are the notice's. */
bool tine_session_listen(struct tine_session *session, tine_error *error);

#endif
