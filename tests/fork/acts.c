/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a child does with what it inherited. Each act uses the handles as an unsuspecting program
 * does, with blocking libpq calls; the process's watchdog ends one that hangs. Whatever the child
 * gets, it must not come from the parent's backend; and in the end it has a session of its own.
 */
#include "cell.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONCURRENT_QUERIES = 20, PROBE_LEAKED = 3 };

/* A session of the child's own: another backend, which answers right. */
static void own_session(PGconn *conn)
{
	int pid = pq_ask(conn);

	if (!pid)
		die(BROKE, "no session of its own: %s", PQerrorMessage(conn));
	session_own(pid);
}

static void connect_anew(const struct cell *c)
{
	phase("connect anew");
	PGconn *conn = pq_open(c->conninfo, BROKE);
	own_session(conn);
	PQfinish(conn);
}

static void reset(PGconn *conn)
{
	phase("PQreset of an inherited handle");
	PQreset(conn);
	if (PQstatus(conn) != CONNECTION_OK)
		die(BROKE, "PQreset: %s", PQerrorMessage(conn));
	own_session(conn);
}

/* One query on an inherited handle. An error is right; an answer must come from elsewhere. */
static void use(const struct cell *c, PGconn *conn)
{
	struct question q = pq_pose("");

	phase("query on an inherited handle");
	PGresult *r = PQexec(conn, q.sql);
	int pid = pq_answer(&q, r);
	if (pid) {
		session_own(pid);
	} else if (c->guarded && PQstatus(conn) != CONNECTION_BAD) {
		die(BROKE, "the handle does not know that its connection is lost: %s",
		    PQerrorMessage(conn));
	}
	PQclear(r);
}

/* Where the parent was still connecting, the child goes on with the attempt where it is. */
static void use_target(struct cell *c, int i)
{
	if (!c->state->connecting) {
		use(c, c->target[i]);
		return;
	}
	phase("PQconnectPoll on an inherited attempt");
	pq_drive(c->target[i], &c->polling[i], -1);
	if (PQstatus(c->target[i]) == CONNECTION_OK)
		own_session(c->target[i]);
}

static void act_exit_now(struct cell *c)
{
	(void)c;
	_exit(0);
}

static void act_exit(struct cell *c)
{
	(void)c;
	phase("exit with finalizers");
	exit(0);
}

static void act_close(struct cell *c)
{
	phase("PQfinish");
	for (int i = 0; i < c->n_targets; i++)
		pq_finish(c->target[i]);
	connect_anew(c);
}

/* The child's own session must outlive the collection of the handles it has no use for. */
static void act_gc(struct cell *c)
{
	phase("connect, then collect");
	PGconn *mine = pq_open(c->conninfo, BROKE);
	own_session(mine);
	pq_finish_all();
	own_session(mine);
	PQfinish(mine);
}

static void act_closefd(struct cell *c)
{
	phase("close of the descriptor, then PQfinish");
	for (int i = 0; i < c->n_targets; i++) {
		close(PQsocket(c->target[i]));
		pq_finish(c->target[i]);
	}
	connect_anew(c);
}

static void act_query(struct cell *c)
{
	for (int i = 0; i < c->n_targets; i++) {
		use_target(c, i);
		reset(c->target[i]);
	}
}

static void act_concurrent(struct cell *c)
{
	post(&scene->started);
	for (int i = 0; i < c->n_targets; i++) {
		use_target(c, i);
		reset(c->target[i]);
		for (int n = 0; n < CONCURRENT_QUERIES / c->n_targets; n++)
			own_session(c->target[i]);
	}
}

static void act_reset(struct cell *c)
{
	for (int i = 0; i < c->n_targets; i++)
		reset(c->target[i]);
}

/*
 * PQcancel opens a new connection and sends the key that was copied at the fork. Whatever guards
 * the inherited socket has no part in that: a statement of the parent that runs just then is
 * cancelled, as if another program knew the key. So this is asserted and no more: nothing moves on
 * the parent's own socket (its count of bytes, in holder.c); an idle session, or one between the
 * statements of a transaction, notices nothing; a running statement or COPY either completes or
 * fails with 57014 (query_canceled), and the session goes on with the same backend.
 */
static void act_cancel(struct cell *c)
{
	for (int i = 0; i < c->n_targets; i++) {
		char text[256] = "";
		phase("PQcancel");
		PGcancel *cancel = PQgetCancel(c->target[i]);
		if (cancel && !PQcancel(cancel, text, sizeof(text)))
			die(BROKE, "PQcancel: %s", text);
		PQfreeCancel(cancel);
	}
	connect_anew(c);
}

/* The sessions' numbers go to another program: both the handle's own and a copy made by dup(2). */
static void act_exec(struct cell *c)
{
	static char name[] = "cell", probe[] = "--probe";
	char arg[2 * MAX_TARGETS + 1][24];
	char *argv[2 * MAX_TARGETS + 4] = { name, probe };
	int n = 0;

	for (int i = 0; i < c->n_targets; i++) {
		snprintf(arg[n++], sizeof(arg[0]), "use=%d", PQsocket(c->target[i]));
		snprintf(arg[n++], sizeof(arg[0]), "use=%d", c->copy[i]);
	}
	snprintf(arg[n++], sizeof(arg[0]), "closed=%d", PQsocket(c->extra));
	for (int i = 0; i < n; i++)
		argv[2 + i] = arg[i];
	phase("exec");
	execv("/proc/self/exe", argv);
	die(SETUP, "exec: %m");
}

/*
 * What was executed: uses the numbers it is told of, if they are open, and says nothing. One that
 * should have been closed by exec shows in the exit status.
 */
int probe_main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	for (int i = 2; i < argc; i++) {
		char buf[64];
		int fd = atoi(strchr(argv[i], '=') + 1);
		if (fcntl(fd, F_GETFD) < 0)
			continue;
		if (!strncmp(argv[i], "closed", 6))
			return PROBE_LEAKED;
		while (recv(fd, buf, sizeof(buf), MSG_DONTWAIT) > 0)
			;
		if (write(fd, "GARBAGE from another program", 28) < 0 && errno == EBADF)
			return SETUP;
	}
	return 0;
}

const struct act acts[] = {
	{ .name = "_exit", .run = act_exit_now },
	{ .name = "exit", .run = act_exit, .finalizers = true },
	{ .name = "close", .run = act_close },
	{ .name = "gc", .run = act_gc, .extra = true },
	{ .name = "closefd", .run = act_closefd },
	{ .name = "query", .run = act_query },
	{ .name = "concurrent", .run = act_concurrent, .concurrent = true },
	{ .name = "reset", .run = act_reset },
	{ .name = "cancel", .run = act_cancel, .cancels = true },
	{ .name = "exec", .run = act_exec, .extra = true, .execs = true },
	{ .name = NULL },
};
