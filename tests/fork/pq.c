/* SPDX-License-Identifier: PostgreSQL */
/*
 * libpq as the cells use it: answers with a deadline (a spoiled session may never answer), a nonce
 * in every query, and a table of all handles of the process for finalizers and collectors.
 * The table is filled before the fork and copied by it, as a program's own globals are.
 */
#include "cell.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static PGconn *handle[MAX_HANDLES];
static int n_handles;

static void silent(void *arg, const char *text)
{
	(void)arg;
	(void)text;
}

void pq_quiet(PGconn *conn)
{
	PQsetNoticeProcessor(conn, silent, NULL);
}

/* Puts a handle into the table of those that finalizers will find. */
void pq_keep(PGconn *conn)
{
	if (n_handles == MAX_HANDLES)
		die(SETUP, "too many handles");
	handle[n_handles++] = conn;
}

PGconn *pq_open(const char *conninfo, int trouble)
{
	PGconn *conn = PQconnectdb(conninfo);

	if (PQstatus(conn) != CONNECTION_OK)
		die(trouble, "cannot connect: %s", PQerrorMessage(conn));
	pq_quiet(conn);
	return conn;
}

void pq_finish(PGconn *conn)
{
	for (int i = 0; i < n_handles; i++)
		if (handle[i] == conn)
			handle[i] = NULL;
	PQfinish(conn);
}

/* Last opened, first finished: the order of static destructors and of most collectors. */
void pq_finish_all(void)
{
	while (n_handles) {
		PGconn *conn = handle[--n_handles];
		if (conn)
			PQfinish(conn);
	}
}

bool pq_wait(PGconn *conn, short events, long long end)
{
	long long left = end - now_ms();
	struct pollfd p = { .fd = PQsocket(conn), .events = events };

	return poll(&p, 1, left > 0 ? (int)left : 0) > 0;
}

PGresult *pq_next(PGconn *conn)
{
	long long end = now_ms() + scene->deadline_ms;

	while (PQisBusy(conn)) {
		if (!pq_wait(conn, POLLIN, end))
			die(BROKE, "no answer within %d ms while: %s", scene->deadline_ms,
			    scene->phase[self()]);
		if (!PQconsumeInput(conn))
			break;
	}
	return PQgetResult(conn);
}

/* The last result of a statement, or NULL where it could not even be sent. */
PGresult *pq_run(PGconn *conn, const char *sql)
{
	PGresult *last = NULL, *next;

	if (!PQsendQuery(conn, sql))
		return NULL;
	while ((next = pq_next(conn)) != NULL) {
		PQclear(last);
		last = next;
		if (PQresultStatus(next) == PGRES_COPY_IN)
			break;
	}
	return last;
}

/* A query that nobody else asks; `from` is empty or a FROM clause. */
struct question pq_pose(const char *from)
{
	static _Atomic unsigned int count;
	struct question q;

	snprintf(q.nonce, sizeof(q.nonce), "%s.%d.%u", scene->id, (int)self(),
		 atomic_fetch_add(&count, 1));
	snprintf(q.sql, sizeof(q.sql), "SELECT pg_backend_pid(), '%s' %s", q.nonce, from);
	return q;
}

/* The pid of the backend that answered, 0 where there is no answer. A wrong row is the end. */
int pq_answer(const struct question *q, const PGresult *r)
{
	if (PQresultStatus(r) != PGRES_TUPLES_OK)
		return 0;
	if (PQntuples(r) != 1 || PQnfields(r) != 2)
		die(BROKE, "wrong result: asked for %s, got %d rows of %d fields", q->nonce,
		    PQntuples(r), PQnfields(r));
	if (strcmp(PQgetvalue(r, 0, 1), q->nonce) != 0)
		die(BROKE, "wrong row: asked for %s, got %s", q->nonce, PQgetvalue(r, 0, 1));
	return atoi(PQgetvalue(r, 0, 0));
}

int pq_ask_from(PGconn *conn, const char *from)
{
	struct question q = pq_pose(from);
	PGresult *r = pq_run(conn, q.sql);
	int pid = pq_answer(&q, r);

	PQclear(r);
	return pid;
}

int pq_ask(PGconn *conn)
{
	return pq_ask_from(conn, "");
}

/* The session must still be there, with the same backend. */
void pq_expect(PGconn *conn, int backend)
{
	int pid = pq_ask(conn);

	if (!pid)
		die(BROKE, "the session of backend %d is lost while: %s: %s", backend,
		    scene->phase[self()], PQerrorMessage(conn));
	if (pid != backend)
		die(BROKE, "backend %d answered instead of %d", pid, backend);
}

void pq_do(PGconn *conn, const char *fmt, ...)
{
	char sql[600];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(sql, sizeof(sql), fmt, ap);
	va_end(ap);

	PGresult *r = pq_run(conn, sql);
	ExecStatusType st = PQresultStatus(r);
	if (st != PGRES_COMMAND_OK && st != PGRES_TUPLES_OK && st != PGRES_COPY_IN)
		die(BROKE, "%.60s: %s", sql, PQerrorMessage(conn));
	PQclear(r);
}

/* Takes a connection attempt some steps further, or to its end with steps < 0. */
void pq_drive(PGconn *conn, PostgresPollingStatusType *st, int steps)
{
	long long end = now_ms() + scene->deadline_ms;

	while (steps-- != 0 && *st != PGRES_POLLING_OK && *st != PGRES_POLLING_FAILED) {
		if (!pq_wait(conn, *st == PGRES_POLLING_READING ? POLLIN : POLLOUT, end))
			die(BROKE, "the connection attempt stands still while: %s",
			    scene->phase[self()]);
		*st = PQconnectPoll(conn);
	}
}
