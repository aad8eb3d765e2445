/* SPDX-License-Identifier: PostgreSQL */
/*
 * A libpq and a server behind it that a test drives: the table fake_pq (pool/pq.h) and what is
 * under it. A connection has a real socket, one side of a socket pair, so that polling and peeking
 * at it work; the other side is the server's. The server is no thread: it acts in the calls of the
 * client and in those of the test.
 *
 * Sessions, counters and the record of calls are in memory that all processes of a test share, so a
 * parent sees what its children did. Sessions are never forgotten: what was said in one can be
 * looked at after its end. A client's side (PGconn) is plain memory that belongs to whoever has the
 * connection, as libpq's does: ThreadSanitizer finds a pool that hands one over without order, and
 * two threads inside the same connection end the test.
 *
 * Fork: the child closes its copies of the servers' sides (fake_forked()), in a fork handler that
 * runs before the pool's.
 */
#ifndef TINE_TESTS_UNIT_POOL_FAKE_H
#define TINE_TESTS_UNIT_POOL_FAKE_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

#include "pool/pq.h"

#define FAKE_SESSIONS 4096 /* of one test that may be open at the same time */
#define FAKE_STATEMENTS 16 /* the last ones of a session that are kept */
#define FAKE_STATEMENT_BYTES 48
#define FAKE_RECORDS 65536

extern const struct tine_pq fake_pq;

/* ---- the server ----------------------------------------------------------------------------- */

struct fake_session {
	int id;            /* from 1, in the order of the connects of all processes */
	_Atomic int began; /* its id, once the client knows of it */
	pid_t pid;         /* the process that connected */
	int fd;            /* its number of the client's side */
	ino_t inode;       /* of it */
	char host[32];     /* what the client asked for */
	char hostaddr[48]; /* likewise */
	char sslmode[16];  /* likewise */
	_Atomic bool open;
	_Atomic bool silent;     /* the line was cut: nothing goes through, in either direction */
	_Atomic bool standby;    /* in_hot_standby */
	_Atomic bool read_only;  /* default_transaction_read_only */
	_Atomic int goodbyes;    /* Terminate messages that came in */
	_Atomic int settings;    /* SETs since the last DISCARD ALL */
	_Atomic int commits;     /* transactions that were committed */
	_Atomic uintptr_t owner; /* for the test */
	_Atomic int statement_count;
	char statements[FAKE_STATEMENTS][FAKE_STATEMENT_BYTES];
};

/* How a connect goes. */
struct fake_plan {
	const char *refusal; /* libpq's message when it fails */
	bool at_start;       /* ... already in the first call */
	bool held;           /* the server says nothing until fake_let_through() */
	int rounds;          /* of talk; at least 1 */
	bool tls;
	bool standby, read_only;
};

enum fake_answer {
	FAKE_AT_ONCE,
	FAKE_HELD,        /* when fake_answer_held() is called */
	FAKE_IN_PIECES,   /* the result at once, its end when fake_answer_held() is called */
	FAKE_DIES_BEFORE, /* the connection ends, nothing was done */
	FAKE_DIES_AFTER,  /* it was done, and the connection ends before the answer */
	FAKE_FAREWELL,    /* nothing was done; FATAL with the SQLSTATE, and the end */
};

/* How a statement goes. */
struct fake_reply {
	enum fake_answer answer;
	char sqlstate[6]; /* "" = it succeeds */
	size_t bytes;     /* the size of the result */
};

/* Called in the thread that connects or sends, to change the plan that was made. */
extern void (*fake_on_connect)(const struct fake_session *session, struct fake_plan *plan);
extern void (*fake_on_query)(struct fake_session *session, const char *sql,
			     struct fake_reply *reply);
/* Called inside every call of the table with a connection to this server, its number from 1. */
extern void (*fake_on_call)(int session, int call);
/* What the plan is made from; not to be changed while another thread may connect. */
extern struct fake_plan fake_usual;

/** The session of a connection; and that of a number from 1, which is waited for. */
struct fake_session *fake_session_of(const PGconn *pg);
struct fake_session *fake_session(int id);

/** Let a held connect go on by one round. */
void fake_let_through(struct fake_session *session);
/** Answer a statement that was held. */
void fake_answer_held(struct fake_session *session);
/** End a session, without a word or with a FATAL error that has this SQLSTATE. */
void fake_hang_up(struct fake_session *session);
void fake_farewell(struct fake_session *session, const char *sqlstate);
/** Change what the server reports of itself. */
void fake_report_role(struct fake_session *session, bool standby, bool read_only);
/** Send a notification, or a notice that is no error. */
void fake_notify(struct fake_session *session);
void fake_notice(struct fake_session *session);
/** Is there nothing to be read from the client, not even its end? For the process that connected.
 */
bool fake_wire_is_quiet(const struct fake_session *session);
/** Was this statement among the last ones? */
bool fake_was_said(const struct fake_session *session, const char *sql);
/** How often, among the last ones. */
int fake_times_said(const struct fake_session *session, const char *sql);

/* ---- the client, from the program's side ---------------------------------------------------- */

/** Run a statement as a program does. @return its status; PGRES_FATAL_ERROR also when lost */
ExecStatusType fake_exec(PGconn *pg, const char *sql);
/** Send one without reading its answer. */
void fake_send(PGconn *pg, const char *sql);
void fake_set_pipeline(PGconn *pg, bool on);
/** Reset it: another socket, another session. */
void fake_reset(PGconn *pg);
/** Give it a function of the program's for notices; libpq cannot tell what was there before. */
void fake_set_receiver(PGconn *pg);
/** Notices that nobody of the library took, which libpq would have printed. */
int fake_printed(void);
/** Notifications that are waiting in the client. */
int fake_notifications(PGconn *pg);

/* ---- counters and the record ---------------------------------------------------------------- */

#define FAKE_CALLS(X)                                                                              \
	X(conninfo_parse)                                                                          \
	X(conninfo)                                                                                \
	X(connect_start_params)                                                                    \
	X(connect_poll)                                                                            \
	X(finish)                                                                                  \
	X(status)                                                                                  \
	X(socket)                                                                                  \
	X(error_message)                                                                           \
	X(parameter_status)                                                                        \
	X(ssl_in_use)                                                                              \
	X(backend_pid)                                                                             \
	X(transaction_status)                                                                      \
	X(pipeline_status)                                                                         \
	X(send_query)                                                                              \
	X(flush)                                                                                   \
	X(consume_input)                                                                           \
	X(is_busy)                                                                                 \
	X(get_result)                                                                              \
	X(notifies)                                                                                \
	X(watch)                                                                                   \
	X(unwatch)                                                                                 \
	X(dress_new)                                                                               \
	X(dress_save)                                                                              \
	X(dress_restore)                                                                           \
	X(divert_notices)

enum fake_call {
#define FAKE_CALL(name) FAKE_##name,
	FAKE_CALLS(FAKE_CALL)
#undef FAKE_CALL
		FAKE_CALL_COUNT
};

const char *fake_call_name(int call);

/* One call of the table with a connection. */
struct fake_record {
	pid_t pid;
	int session;  /* 0: one that was never meant to connect */
	uint8_t call; /* enum fake_call */
	bool foreign; /* the connection is another process's */
	bool severed; /* its socket was replaced; known of foreign calls only */
	bool torn;    /* a thread was just changing it in libpq at the fork; likewise */
};

struct fake_counters {
	_Atomic unsigned long calls[FAKE_CALL_COUNT];
	_Atomic int sessions;  /* made so far */
	_Atomic int live;      /* connections that were made and not finished, of all processes */
	_Atomic int most_live; /* ... at the same time */
	_Atomic int results;   /* not cleared yet */
	_Atomic int printed;   /* notices that went to libpq's own function */
	_Atomic int foreign;   /* calls on another process's connection */
	_Atomic int foreign_wrong; /* of those, what a child must not do */
	_Atomic unsigned records;
};

extern struct fake_counters *fake_count;

/** The record of a number from 0; the last FAKE_RECORDS are there. */
const struct fake_record *fake_record_at(unsigned number);

/** The first call that was wrong. For who knows that there is one. */
const struct fake_record *fake_first_wrong(void);

/* Off: calls are neither recorded nor checked, and the getters make no system call. */
extern bool fake_recording;

/** Have the n-th call from now on that can fail do so, as it would for want of memory or of a
 *  connection; 0 = none. */
void fake_fail_at(long n);
/** Was it reached? */
bool fake_has_failed(void);

/** In a child that was made without fork handlers, before anything else. */
void fake_forked(void);

#endif
