/* SPDX-License-Identifier: PostgreSQL */
/* What the files of the fake share; not for tests. */
#ifndef TINE_TESTS_UNIT_POOL_FAKE_INSIDE_H
#define TINE_TESTS_UNIT_POOL_FAKE_INSIDE_H

#include "unit/pool/fake.h"

#define FAKE_MAGIC 0x66616b65u
#define FAKE_MESSAGE_BYTES 160

enum fake_async {
	FAKE_ASYNC_IDLE,
	FAKE_ASYNC_BUSY,  /* a statement is out */
	FAKE_ASYNC_READY, /* its result is there */
	FAKE_ASYNC_PART,  /* and was read: its end is to come */
	FAKE_ASYNC_DONE,  /* there it is: NULL comes next */
};

/* The client's side: what a PGconn points to. */
struct fake_conn {
	unsigned magic;
	struct fake_session *session;
	PGconn *real;       /* instead: a connection that libpq itself refused, to be asked for its
			       options */
	_Atomic int inside; /* threads that are in a call with it */
	_Atomic int changing; /* ... that changes it */
	int fd;
	ConnStatusType status;
	PGTransactionStatusType transaction;
	PGpipelineStatus pipeline;
	enum fake_async async;
	struct fake_plan plan;
	int rounds; /* done */
	bool asked; /* the server was spoken to */
	struct fake_reply reply;
	char command[16];
	char farewell[6];
	bool tls, standby, read_only;
	int notifications;
	bool own_receiver;
	bool watched;
	struct tine_pq_watcher *watcher;
	PQnoticeReceiver diverted;
	void *diverted_arg;
	char message[FAKE_MESSAGE_BYTES];
};

/* What a PGresult points to. */
struct fake_result {
	unsigned magic;
	ExecStatusType status;
	char command[16];
	char sqlstate[6];
	const char *severity; /* NULL: libpq's own */
	char message[FAKE_MESSAGE_BYTES];
};

/* Bytes that the server sends. */
enum fake_byte {
	FAKE_BYTE_ROUND = 'P',
	FAKE_BYTE_RESULT = 'R',
	FAKE_BYTE_FAREWELL = 'F',
	FAKE_BYTE_PARAMETER = 'S',
	FAKE_BYTE_NOTIFICATION = 'A',
	FAKE_BYTE_NOTICE = 'N',
};

/** Begin and end a call of the table; pg may be NULL. @return the client's side or NULL */
struct fake_conn *fake_enter(const PGconn *pg, enum fake_call call);
void fake_leave(struct fake_conn *conn, enum fake_call call);

/** Does this call fail because the test wants it so? */
bool fake_fails(void);

/** A new session with both ends, and the end of one. */
struct fake_session *fake_session_open(struct fake_conn *conn);
void fake_session_close(struct fake_session *session);
/** The server's end of the socket. */
int fake_peer(const struct fake_session *session);
void fake_say(struct fake_session *session, char byte);
/** End it, with a FATAL error if there is an SQLSTATE. */
void fake_end(struct fake_session *session, const char *sqlstate);
/** Read what the client sent: Terminate messages are counted. */
void fake_hear(struct fake_session *session);
/** What the server does with a statement, and the answer to it, which is not sent yet. */
void fake_execute(struct fake_conn *conn, const char *sql);

/** The connection is lost. */
void fake_lose(struct fake_conn *conn, const char *why);

/* The entries of the table that are not in fake.c. */
int fake_send_query(PGconn *pg, const char *query);
int fake_flush(PGconn *pg);
int fake_consume_input(PGconn *pg);
int fake_is_busy(PGconn *pg);
PGresult *fake_get_result(PGconn *pg);
PGnotify *fake_notifies(PGconn *pg);
ExecStatusType fake_result_status(const PGresult *result);
char *fake_result_error_field(const PGresult *result, int field);
char *fake_result_error_message(const PGresult *result);
char *fake_cmd_status(PGresult *result);
void fake_clear(PGresult *result);

#endif
