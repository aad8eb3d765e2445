/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the parent is doing when it forks: how it comes there, its part of a concurrent act, and
 * what must be true when the child is gone. Rows left behind are counted by the oracle.
 */
#include "cell.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { QUERIES = 20, ROWS = 2500, ROWS_BEFORE = 10, COPY_ROWS = 20 };

static int row; /* the next row of the result under way */

static void open_session(struct cell *c)
{
	c->target[0] = pq_open(c->conninfo, SETUP);
	c->n_targets = 1;
	pq_keep(c->target[0]);
	c->backend[0] = PQbackendPID(c->target[0]);
	session_theirs(c->backend[0], PQsocket(c->target[0]));
	pq_expect(c->target[0], c->backend[0]);
}

static void expect_same(struct cell *c)
{
	pq_expect(c->target[0], c->backend[0]);
}

static void query_on(struct cell *c)
{
	for (int i = 0; i < QUERIES; i++)
		expect_same(c);
}

/* A transaction with a row in it, to be committed after the child is gone. */
static void begin(PGconn *conn)
{
	pq_do(conn, "BEGIN");
	pq_do(conn, "INSERT INTO fork_cell VALUES ('%s', %d)", scene->id, PQbackendPID(conn) * 2);
}

static void commit(PGconn *conn)
{
	pq_do(conn, "INSERT INTO fork_cell VALUES ('%s', %d)", scene->id,
	      PQbackendPID(conn) * 2 + 1);
	pq_do(conn, "COMMIT");
	if (PQtransactionStatus(conn) != PQTRANS_IDLE)
		die(BROKE, "the transaction did not end");
	atomic_fetch_add(&scene->rows, 2);
}

/* The owner's session while a worker of it plays the parent (refork). */
void outer_open(const struct cell *c, PGconn **outer)
{
	*outer = pq_open(c->conninfo, SETUP);
	pq_keep(*outer);
	scene->outer = PQbackendPID(*outer);
	session_theirs(scene->outer, PQsocket(*outer));
	begin(*outer);
}

void outer_verify(PGconn *outer)
{
	pq_expect(outer, PQbackendPID(outer));
	commit(outer);
}

static void prepare_tx(struct cell *c)
{
	open_session(c);
	begin(c->target[0]);
}

static void verify_tx(struct cell *c)
{
	expect_same(c);
	commit(c->target[0]);
	expect_same(c);
}

static void check_row(const PGresult *r)
{
	char text[80];

	snprintf(text, sizeof(text), "%s-%d", scene->id, row);
	if (PQntuples(r) != 1 || PQnfields(r) != 3 || atoi(PQgetvalue(r, 0, 0)) != row ||
	    strcmp(PQgetvalue(r, 0, 1), text) != 0 || strlen(PQgetvalue(r, 0, 2)) != 80)
		die(BROKE, "row %d of the result is wrong", row);
	row++;
}

/* Reads on until row `last_row`; past the last one the statement's end must be a right one, too. */
static void read_rows(struct cell *c, int last_row)
{
	PGconn *conn = c->target[0];

	while (row <= last_row) {
		PGresult *r = pq_next(conn);
		const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
		if (PQresultStatus(r) == PGRES_SINGLE_TUPLE) {
			check_row(r);
		} else if (c->act->cancels && state && !strcmp(state, "57014")) {
			row = ROWS + 2;
		} else if (PQresultStatus(r) == PGRES_TUPLES_OK && row == ROWS + 1) {
			row++;
		} else {
			die(BROKE, "result broken off at row %d: %s", row, PQerrorMessage(conn));
		}
		PQclear(r);
	}
}

static void prepare_mid(struct cell *c)
{
	char sql[200];

	open_session(c);
	snprintf(sql, sizeof(sql),
		 "SELECT i, '%s-' || i, repeat('r', 80) FROM "
		 "generate_series(1, %d) i",
		 scene->id, ROWS);
	if (!PQsendQuery(c->target[0], sql) || !PQsetSingleRowMode(c->target[0]))
		die(SETUP, "single row mode: %s", PQerrorMessage(c->target[0]));
	row = 1;
	read_rows(c, ROWS_BEFORE);
}

static void during_mid(struct cell *c)
{
	read_rows(c, ROWS);
}

static void verify_mid(struct cell *c)
{
	read_rows(c, ROWS + 1);
	PGresult *end = pq_next(c->target[0]);
	if (end)
		die(BROKE, "something came after the result's end");
	expect_same(c);
}

static void prepare_listen(struct cell *c)
{
	open_session(c);
	pq_do(c->target[0], "LISTEN %s", scene->id);
}

static void expect_notify(struct cell *c, const char *payload)
{
	long long end = now_ms() + scene->deadline_ms;
	PGconn *conn = c->target[0];
	PGnotify *n;

	while ((n = PQnotifies(conn)) == NULL)
		if (!pq_wait(conn, POLLIN, end) || !PQconsumeInput(conn))
			die(BROKE, "NOTIFY %s did not arrive: %s", payload, PQerrorMessage(conn));
	if (strcmp(n->relname, scene->id) != 0 || strcmp(n->extra, payload) != 0)
		die(BROKE, "NOTIFY %s instead of %s", n->extra, payload);
	PQfreemem(n);
}

static void verify_listen(struct cell *c)
{
	expect_notify(c, "before");
	expect_notify(c, "after");
	expect_same(c);
}

static void copy_rows(struct cell *c, int from, int last_row)
{
	char line[80];

	for (int i = from; i < last_row; i++) {
		int len = snprintf(line, sizeof(line), "%s\t%d\n", scene->id, -1 - i);
		if (PQputCopyData(c->target[0], line, len) != 1 || PQflush(c->target[0]))
			die(BROKE, "COPY: %s", PQerrorMessage(c->target[0]));
	}
}

static void prepare_copy(struct cell *c)
{
	open_session(c);
	pq_do(c->target[0], "COPY fork_cell FROM STDIN");
	copy_rows(c, 0, COPY_ROWS / 2);
	c->copied = COPY_ROWS / 2;
}

static void during_copy(struct cell *c)
{
	copy_rows(c, c->copied, COPY_ROWS - 1);
	c->copied = COPY_ROWS - 1;
}

static void verify_copy(struct cell *c)
{
	PGconn *conn = c->target[0];

	copy_rows(c, c->copied, COPY_ROWS);
	if (PQputCopyEnd(conn, NULL) != 1)
		die(BROKE, "end of COPY: %s", PQerrorMessage(conn));

	PGresult *r = pq_next(conn);
	const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
	if (PQresultStatus(r) == PGRES_COMMAND_OK && atoi(PQcmdTuples(r)) == COPY_ROWS)
		atomic_fetch_add(&scene->rows, COPY_ROWS);
	else if (!c->act->cancels || !state || strcmp(state, "57014") != 0)
		die(BROKE, "COPY ended with %s rows: %s", PQcmdTuples(r), PQerrorMessage(conn));
	PQclear(r);
	PQclear(pq_next(conn));
	expect_same(c);
}

static bool wants_tls(const struct cell *c)
{
	PQconninfoOption *options = PQconninfoParse(c->conninfo, NULL);
	bool tls = false;

	for (PQconninfoOption *o = options; o && o->keyword; o++)
		if (!strcmp(o->keyword, "sslmode"))
			tls = o->val && !strcmp(o->val, "require");
	PQconninfoFree(options);
	return tls;
}

/*
 * Several attempts at once, each after another number of polls. The first is fresh from
 * PQconnectStart and has not sent a byte over TCP; the second has just sent its first packet; over
 * TLS the third is in the handshake; the last is in the authentication.
 */
static void prepare_connecting(struct cell *c)
{
	static const int tls_steps[] = { 0, 2, 3, 6, -1 }, steps[] = { 0, 2, 3, -1 };
	const int *step = wants_tls(c) ? tls_steps : steps;

	for (int i = 0; step[i] >= 0; i++) {
		PGconn *conn = PQconnectStart(c->conninfo);
		if (PQstatus(conn) == CONNECTION_BAD)
			die(SETUP, "PQconnectStart: %s", PQerrorMessage(conn));
		pq_quiet(conn);
		pq_keep(conn);
		c->target[i] = conn;
		c->polling[i] = PGRES_POLLING_WRITING;
		c->n_targets = i + 1;
		pq_drive(conn, &c->polling[i], step[i]);
		if (PQstatus(conn) == CONNECTION_OK || PQstatus(conn) == CONNECTION_BAD)
			die(SETUP, "attempt %d is over: %s", i, PQerrorMessage(conn));
		if (step[i])
			socket_theirs(PQsocket(conn));
	}
}

static void finish_connecting(struct cell *c)
{
	for (int i = 0; i < c->n_targets; i++) {
		pq_drive(c->target[i], &c->polling[i], -1);
		if (PQstatus(c->target[i]) != CONNECTION_OK)
			die(BROKE, "attempt %d failed: %s", i, PQerrorMessage(c->target[i]));
	}
}

static void verify_connecting(struct cell *c)
{
	finish_connecting(c);
	for (int i = 0; i < c->n_targets; i++) {
		int pid = PQbackendPID(c->target[i]), n = atomic_load(&scene->n_own);
		pq_expect(c->target[i], pid);
		for (int k = 0; k < n; k++)
			if (scene->own[k] == pid)
				die(BROKE, "backend %d answered the child, too", pid);
	}
}

/* The parent never gets beyond this. */
static void wait_for_death(struct cell *c)
{
	while (c->act->concurrent)
		expect_same(c);
	for (;;)
		pause();
}

const struct state states[] = {
	{ .name = "idle",
	  .prepare = open_session,
	  .during = query_on,
	  .verify = expect_same,
	  .reuse = true },
	{ .name = "tx",
	  .prepare = prepare_tx,
	  .during = query_on,
	  .verify = verify_tx,
	  .rows = true },
	{ .name = "mid", .prepare = prepare_mid, .during = during_mid, .verify = verify_mid },
	{ .name = "listen",
	  .prepare = prepare_listen,
	  .during = query_on,
	  .verify = verify_listen,
	  .notified = true },
	{ .name = "copy",
	  .prepare = prepare_copy,
	  .during = during_copy,
	  .verify = verify_copy,
	  .rows = true },
	{ .name = "connecting",
	  .prepare = prepare_connecting,
	  .during = finish_connecting,
	  .verify = verify_connecting,
	  .connecting = true },
	{ .name = "killed",
	  .prepare = prepare_tx,
	  .during = wait_for_death,
	  .killed = true,
	  .rows = true },
	{ .name = NULL },
};
