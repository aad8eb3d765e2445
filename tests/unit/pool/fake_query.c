/* SPDX-License-Identifier: PostgreSQL */
/* The table: statements, their results, and what the server says unasked. */
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

#include "support/check.h"
#include "unit/pool/fake_inside.h"
#include "unit/pool/memory.h"

#define CLOSED "server closed the connection unexpectedly\n"

/* ---- the server's part ---------------------------------------------------------------------- */

static bool begins(const char *sql, const char *word)
{
	return strncmp(sql, word, strlen(word)) == 0;
}

static void remember(struct fake_session *session, const char *sql)
{
	int count = atomic_load(&session->statement_count);

	snprintf(session->statements[count % FAKE_STATEMENTS], FAKE_STATEMENT_BYTES, "%s", sql);
	atomic_store(&session->statement_count, count + 1);
}

static void refuse(struct fake_conn *conn, const char *sqlstate)
{
	snprintf(conn->reply.sqlstate, sizeof(conn->reply.sqlstate), "%s", sqlstate);
}

/* A command tag: the first word, of SELECT also the number of rows. */
static void set_command(struct fake_conn *conn, const char *sql)
{
	int length = (int)strcspn(sql, " ;");

	snprintf(conn->command, sizeof(conn->command), "%.*s%s", length, sql,
		 begins(sql, "SELECT")    ? " 1"
		 : begins(sql, "DISCARD") ? " ALL"
					  : "");
}

static void end_transaction(struct fake_conn *conn, const char *sql)
{
	if (begins(sql, "COMMIT") && conn->transaction == PQTRANS_INTRANS)
		atomic_fetch_add(&conn->session->commits, 1);
	if (conn->transaction == PQTRANS_INERROR)
		set_command(conn, "ROLLBACK");
	conn->transaction = PQTRANS_IDLE;
}

static void succeed(struct fake_conn *conn, const char *sql)
{
	set_command(conn, sql);
	if (begins(sql, "COMMIT") || begins(sql, "ROLLBACK"))
		end_transaction(conn, sql);
	else if (conn->transaction == PQTRANS_INERROR)
		refuse(conn, "25P02");
	else if (begins(sql, "BEGIN"))
		conn->transaction = PQTRANS_INTRANS;
	else if (begins(sql, "DISCARD") && conn->transaction == PQTRANS_INTRANS)
		refuse(conn, "25001");
	else if (begins(sql, "DISCARD"))
		atomic_store(&conn->session->settings, 0);
	else if (begins(sql, "SET"))
		atomic_fetch_add(&conn->session->settings, 1);
}

void fake_execute(struct fake_conn *conn, const char *sql)
{
	struct fake_session *session = conn->session;

	remember(session, sql);
	conn->reply = (struct fake_reply){ .bytes = 100 };
	if (fake_on_query)
		fake_on_query(session, sql, &conn->reply);
	if (conn->reply.answer == FAKE_DIES_BEFORE || conn->reply.answer == FAKE_FAREWELL)
		return;
	if (!conn->reply.sqlstate[0])
		succeed(conn, sql);
	/* A COMMIT that fails ends the transaction all the same. */
	if (conn->reply.sqlstate[0] && begins(sql, "COMMIT"))
		conn->transaction = PQTRANS_IDLE;
	else if (conn->reply.sqlstate[0] && conn->transaction == PQTRANS_INTRANS)
		conn->transaction = PQTRANS_INERROR;
}

static void answer(struct fake_conn *conn)
{
	switch (conn->reply.answer) {
	case FAKE_AT_ONCE:
	case FAKE_IN_PIECES:
		fake_say(conn->session, FAKE_BYTE_RESULT);
		break;
	case FAKE_HELD:
		break;
	case FAKE_DIES_BEFORE:
	case FAKE_DIES_AFTER:
		fake_end(conn->session, NULL);
		break;
	case FAKE_FAREWELL:
		fake_end(conn->session, conn->reply.sqlstate);
		break;
	}
}

/* ---- results -------------------------------------------------------------------------------- */

static struct fake_result *new_result(ExecStatusType status)
{
	struct fake_result *result = memory_of_libpq(sizeof(*result));

	*result = (struct fake_result){ .magic = FAKE_MAGIC, .status = status };
	atomic_fetch_add(&fake_count->results, 1);
	return result;
}

static struct fake_result *server_error(const char *severity, const char *sqlstate)
{
	struct fake_result *result = new_result(PGRES_FATAL_ERROR);

	result->severity = severity;
	snprintf(result->sqlstate, sizeof(result->sqlstate), "%s", sqlstate);
	snprintf(result->message, sizeof(result->message), "so says the server");
	return result;
}

static const struct fake_result *result_of(const PGresult *result)
{
	const struct fake_result *found = (const struct fake_result *)(const void *)result;

	CHECK_INT(found->magic, ==, FAKE_MAGIC);
	return found;
}

ExecStatusType fake_result_status(const PGresult *result)
{
	return result_of(result)->status;
}

char *fake_result_error_field(const PGresult *result, int field)
{
	struct fake_result *found = (struct fake_result *)(uintptr_t)result_of(result);

	if (!found->severity)
		return NULL;
	switch (field) {
	case PG_DIAG_SEVERITY_NONLOCALIZED:
		return (char *)(uintptr_t)found->severity;
	case PG_DIAG_SQLSTATE:
		return found->sqlstate;
	case PG_DIAG_MESSAGE_PRIMARY:
		return found->message;
	default:
		return NULL;
	}
}

char *fake_result_error_message(const PGresult *result)
{
	return ((struct fake_result *)(uintptr_t)result_of(result))->message;
}

char *fake_cmd_status(PGresult *result)
{
	return ((struct fake_result *)(uintptr_t)result_of(result))->command;
}

void fake_clear(PGresult *result)
{
	if (!result)
		return;
	((struct fake_result *)(uintptr_t)result_of(result))->magic = 0;
	atomic_fetch_sub(&fake_count->results, 1);
	memory_free_of_libpq(result);
}

/* ---- what comes from the server ------------------------------------------------------------- */

static void notice(struct fake_conn *conn, struct fake_result *result)
{
	if (conn->diverted)
		conn->diverted(conn->diverted_arg, (const PGresult *)result);
	else if (!conn->own_receiver)
		atomic_fetch_add(&fake_count->printed, 1);
	fake_clear((PGresult *)result);
}

/* An error that comes while nothing is asked for is a notice to libpq. */
static void hear_farewell(struct fake_conn *conn, const char *sqlstate)
{
	memcpy(conn->farewell, sqlstate, 5);
	snprintf(conn->message, sizeof(conn->message), "FATAL:  so says the server\n");
	if (conn->async == FAKE_ASYNC_BUSY)
		conn->async = FAKE_ASYNC_READY;
	else
		notice(conn, server_error("FATAL", sqlstate));
}

static void hear_role(struct fake_conn *conn)
{
	conn->standby = atomic_load(&conn->session->standby);
	conn->read_only = atomic_load(&conn->session->read_only);
}

static void hear(struct fake_conn *conn, const char *bytes, ssize_t count)
{
	for (ssize_t i = 0; i < count; i++) {
		switch (bytes[i]) {
		case FAKE_BYTE_RESULT:
			conn->async = conn->async == FAKE_ASYNC_PART ? FAKE_ASYNC_DONE
								     : FAKE_ASYNC_READY;
			break;
		case FAKE_BYTE_FAREWELL:
			hear_farewell(conn, bytes + i + 1);
			i += 5;
			break;
		case FAKE_BYTE_PARAMETER:
			hear_role(conn);
			break;
		case FAKE_BYTE_NOTIFICATION:
			conn->notifications++;
			break;
		case FAKE_BYTE_NOTICE:
			notice(conn, server_error("WARNING", "01000"));
			break;
		default:
			check_fail(__FILE__, __LINE__, "the server said %d", bytes[i]);
		}
	}
}

/* @return false when the connection is at its end */
static bool read_all(struct fake_conn *conn)
{
	char bytes[64];

	if (conn->status == CONNECTION_BAD)
		return false;
	for (;;) {
		ssize_t got = recv(conn->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

		if (got < 0 && errno == EAGAIN)
			return true;
		if (got <= 0) {
			fake_lose(conn, conn->farewell[0] ? conn->message : CLOSED);
			return false;
		}
		hear(conn, bytes, got);
	}
}

/* ---- statements ----------------------------------------------------------------------------- */

int fake_send_query(PGconn *pg, const char *query)
{
	struct fake_conn *conn = fake_enter(pg, FAKE_send_query);
	int done = 0;

	if (conn->status != CONNECTION_OK || conn->async != FAKE_ASYNC_IDLE)
		snprintf(conn->message, sizeof(conn->message), "another command is in progress\n");
	else if (fake_fails() || send(conn->fd, "Q", 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1)
		fake_lose(conn, CLOSED);
	else
		done = 1;
	if (done) {
		conn->async = FAKE_ASYNC_BUSY;
		fake_hear(conn->session);
		if (!atomic_load(&conn->session->silent)) {
			fake_execute(conn, query);
			answer(conn);
		}
	}
	fake_leave(conn, FAKE_send_query);
	return done;
}

int fake_flush(PGconn *pg)
{
	struct fake_conn *conn = fake_enter(pg, FAKE_flush);
	bool failed = fake_fails();

	if (failed)
		fake_lose(conn, CLOSED);
	fake_leave(conn, FAKE_flush);
	return failed ? -1 : 0;
}

int fake_consume_input(PGconn *pg)
{
	struct fake_conn *conn = fake_enter(pg, FAKE_consume_input);
	bool done;

	if (fake_fails())
		fake_lose(conn, CLOSED);
	done = read_all(conn);
	fake_leave(conn, FAKE_consume_input);
	return done;
}

int fake_is_busy(PGconn *pg)
{
	struct fake_conn *conn = fake_enter(pg, FAKE_is_busy);
	bool busy = (conn->async == FAKE_ASYNC_BUSY || conn->async == FAKE_ASYNC_PART) &&
		    conn->status == CONNECTION_OK;

	fake_leave(conn, FAKE_is_busy);
	return busy;
}

static void tell_watcher(struct fake_conn *conn, const struct fake_result *result)
{
	struct tine_pq_seen seen = {
		.status = result->status,
		.command = result->command,
		.sqlstate = result->sqlstate[0] ? result->sqlstate : NULL,
		.bytes = conn->reply.bytes,
	};

	if (conn->watcher)
		conn->watcher->saw(conn->watcher, &seen);
}

static struct fake_result *make_result(struct fake_conn *conn)
{
	struct fake_result *result;

	if (conn->farewell[0])
		return server_error("FATAL", conn->farewell);
	if (conn->status == CONNECTION_BAD) {
		result = new_result(PGRES_FATAL_ERROR);
		snprintf(result->message, sizeof(result->message), "%s", conn->message);
		return result;
	}
	if (conn->reply.sqlstate[0])
		return server_error("ERROR", conn->reply.sqlstate);
	result = new_result(!*conn->command                            ? PGRES_EMPTY_QUERY
			    : strncmp(conn->command, "SELECT", 6) == 0 ? PGRES_TUPLES_OK
								       : PGRES_COMMAND_OK);
	snprintf(result->command, sizeof(result->command), "%s", conn->command);
	return result;
}

/* Waits, as libpq's does. */
static void wait_for_result(struct fake_conn *conn)
{
	struct pollfd pollfd = { .fd = conn->fd, .events = POLLIN };

	while (conn->async == FAKE_ASYNC_BUSY && read_all(conn) && conn->async == FAKE_ASYNC_BUSY)
		poll(&pollfd, 1, -1);
	if (fake_fails())
		fake_lose(conn, CLOSED);
}

PGresult *fake_get_result(PGconn *pg)
{
	struct fake_conn *conn = fake_enter(pg, FAKE_get_result);
	struct fake_result *result = NULL;

	if (conn->async == FAKE_ASYNC_BUSY || conn->async == FAKE_ASYNC_READY) {
		wait_for_result(conn);
		result = make_result(conn);
		tell_watcher(conn, result);
		conn->async = conn->reply.answer == FAKE_IN_PIECES ? FAKE_ASYNC_PART
								   : FAKE_ASYNC_DONE;
	} else {
		conn->async = FAKE_ASYNC_IDLE;
	}
	fake_leave(conn, FAKE_get_result);
	return (PGresult *)result;
}

PGnotify *fake_notifies(PGconn *pg)
{
	struct fake_conn *conn = fake_enter(pg, FAKE_notifies);
	PGnotify *notification = NULL;

	if (conn->notifications > 0 && !fake_fails()) {
		conn->notifications--;
		notification = memory_of_libpq(sizeof(*notification));
		memset(notification, 0, sizeof(*notification));
	}
	fake_leave(conn, FAKE_notifies);
	return notification;
}

/* ---- the program's side --------------------------------------------------------------------- */

void fake_send(PGconn *pg, const char *sql)
{
	CHECK(fake_pq.send_query(pg, sql));
}

ExecStatusType fake_exec(PGconn *pg, const char *sql)
{
	ExecStatusType status = PGRES_FATAL_ERROR;
	PGresult *result;

	if (!fake_pq.send_query(pg, sql))
		return status;
	while ((result = fake_pq.get_result(pg)) != NULL) {
		status = fake_pq.result_status(result);
		fake_pq.clear(result);
	}
	return status;
}

void fake_set_pipeline(PGconn *pg, bool on)
{
	((struct fake_conn *)pg)->pipeline = on ? PQ_PIPELINE_ON : PQ_PIPELINE_OFF;
}

void fake_set_receiver(PGconn *pg)
{
	((struct fake_conn *)pg)->own_receiver = true;
}

int fake_notifications(PGconn *pg)
{
	return ((struct fake_conn *)pg)->notifications;
}
