/* SPDX-License-Identifier: PostgreSQL */
/*
 * The parent of a cell: opens witnesses and sessions, forks in the way under test, and verifies
 * when the child is gone. With `refork` that is a worker, and the owner above it has a session too;
 * with `thread` the fork happens in a thread while others query on sessions of their own.
 */
#include "cell.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { THREADS = 2 };

static long long written_before[MAX_TARGETS];

static struct {
	pthread_t thread;
	PGconn *conn;
	_Atomic int answers;
} busy[THREADS];

static _Atomic int stop;

/* ------------------------------------------------------------------ the child */

static void look_around(const struct cell *c)
{
	phase("look at the descriptors");
	if (c->guarded)
		sessions_severed();
	witness_check(c);
}

/*
 * Where no atfork handler ran, the act's first call must be the one that notices: the child looks
 * at its descriptors only afterwards.
 */
_Noreturn static void child_main(struct cell *c)
{
	become(CHILD, 1);
	if (!c->kind->missed)
		look_around(c);
	post(&scene->born);
	need(&scene->go, "told to act");
	c->act->run(c);
	look_around(c);
	_exit(0);
}

/* ------------------------------------------------------------------ the parent */

static void open_extra(struct cell *c)
{
	c->extra = pq_open(c->conninfo, SETUP);
	pq_keep(c->extra);
	c->extra_backend = PQbackendPID(c->extra);
	session_theirs(c->extra_backend, PQsocket(c->extra));
}

/* libpq's sockets close on exec; some drivers' do not, and nor does a copy by dup(2). */
static void let_survive_exec(struct cell *c)
{
	for (int i = 0; i < c->n_targets; i++) {
		int fd = PQsocket(c->target[i]);
		if (fcntl(fd, F_SETFD, 0) || (c->copy[i] = dup(fd)) < 0)
			die(SETUP, "dup: %m");
	}
}

static void prepare(struct cell *c)
{
	phase("prepare");
	witness_open(c);
	if (c->act->extra)
		open_extra(c);
	c->state->prepare(c);
	if (c->act->execs)
		let_survive_exec(c);
	if (c->kind->spawn) {
		phase("spawn");
		c->kind->spawn(c);
	}
	for (int i = 0; i < c->n_targets; i++)
		written_before[i] = bytes_written(PQsocket(c->target[i]));
}

static void await_child(const struct cell *c, pid_t pid)
{
	phase("wait for the child");
	if (c->kind->grandchild)
		need(&scene->gone, "the grandchild's end");
	else
		reap(pid, CHILD, 0);
	if (atomic_load(&scene->verdict))
		_exit(BROKE);
}

/* The parent was still while the child acted: what was written to its sockets came from there. */
static void check_still(const struct cell *c, const long long *written)
{
	for (int i = 0; i < c->n_targets; i++)
		if (!c->act->concurrent && written[i] != written_before[i])
			die(BROKE, "the child wrote %lld bytes to the parent's connection",
			    written[i] - written_before[i]);
}

static void verify(struct cell *c)
{
	long long written[MAX_TARGETS] = { 0 };

	for (int i = 0; i < c->n_targets; i++)
		written[i] = bytes_written(PQsocket(c->target[i]));
	post(&scene->acted);
	need(&scene->verify, "told to verify");
	phase("verify");
	c->state->verify(c);
	if (c->extra)
		pq_expect(c->extra, c->extra_backend);
	witness_check(c);
	check_still(c, written);
}

/* Forks. A parent that is to die may do so inside daemon(3), and nothing is left to return to. */
static pid_t fork_child(const struct cell *c)
{
	if (c->state->killed && c->kind->owner_leaves) {
		daemon_of_owner();
		return 0;
	}

	pid_t pid = c->kind->fork();
	if (pid < 0)
		die(SETUP, "%s: %m", c->kind->name);
	return pid;
}

static void hold(struct cell *c)
{
	prepare(c);

	pid_t pid = fork_child(c);
	if (!pid)
		child_main(c);
	if (c->kind->grandchild)
		reap(pid, MIDDLE, 0);
	post(&scene->ready);
	if (c->state->killed || c->act->concurrent) {
		if (!c->state->killed)
			need(&scene->started, "the child's start");
		phase("go on beside the child");
		c->state->during(c);
	}
	await_child(c, pid);
	verify(c);
	for (int i = 0; i < c->n_targets; i++)
		pq_finish(c->target[i]);
	if (c->extra)
		pq_finish(c->extra);
}

/* ------------------------------------------------------------------ with threads */

/* The answers take a moment, so that the thread is mostly in the middle of a query. */
static void *query_on(void *arg)
{
	int i = (int)(long)arg, pid = PQbackendPID(busy[i].conn);

	while (!atomic_load(&stop)) {
		if (pq_ask_from(busy[i].conn, "FROM pg_sleep(0.003)") != pid)
			die(BROKE, "thread %d: the session of backend %d is lost: %s", i, pid,
			    PQerrorMessage(busy[i].conn));
		atomic_fetch_add(&busy[i].answers, 1);
	}
	return NULL;
}

static void *hold_in_thread(void *arg)
{
	hold(arg);
	return NULL;
}

static void wait_answers(int i, int last_row)
{
	long long end = now_ms() + scene->deadline_ms;

	while (atomic_load(&busy[i].answers) < last_row && now_ms() < end)
		poll(NULL, 0, 1);
	if (atomic_load(&busy[i].answers) < last_row)
		die(BROKE, "the querying thread %d stands still", i);
}

/* Those sessions are in use by other threads at the fork: the child leaves their handles alone. */
static void hold_with_threads(struct cell *c)
{
	pthread_t holder;

	for (long i = 0; i < THREADS; i++) {
		busy[i].conn = pq_open(c->conninfo, SETUP);
		session_theirs(PQbackendPID(busy[i].conn), PQsocket(busy[i].conn));
		if (pthread_create(&busy[i].thread, NULL, query_on, (void *)i))
			die(SETUP, "cannot start a thread");
		wait_answers((int)i, 1);
	}
	if (pthread_create(&holder, NULL, hold_in_thread, c))
		die(SETUP, "cannot start a thread");
	pthread_join(holder, NULL);
	for (int i = 0; i < THREADS; i++)
		wait_answers(i, atomic_load(&busy[i].answers) + 2);
	atomic_store(&stop, 1);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(busy[i].thread, NULL);
		PQfinish(busy[i].conn);
	}
}

/* ------------------------------------------------------------------ with a worker between */

static void hold_in_worker(struct cell *c)
{
	PGconn *outer;

	outer_open(c, &outer);
	pid_t pid = fork();
	if (pid < 0)
		die(SETUP, "fork: %m");
	if (!pid) {
		become(WORKER, 2);
		hold(c);
		_exit(0);
	}

	phase("wait for the worker");
	reap(pid, WORKER, c->state->killed ? SIGKILL : 0);
	if (c->state->killed)
		post(&scene->acted);
	if (atomic_load(&scene->verdict))
		_exit(BROKE);
	phase("verify the owner's session");
	outer_verify(outer);
	pq_finish(outer);
}

_Noreturn void owner_main(struct cell *c)
{
	become(OWNER, 3);
	need(&scene->begin, "the table");
	if (c->act->finalizers)
		atexit(pq_finish_all);
	if (c->kind->threads)
		hold_with_threads(c);
	else if (c->kind->refork)
		hold_in_worker(c);
	else
		hold(c);
	exit(0);
}
