/* SPDX-License-Identifier: PostgreSQL */
/*
 * cell: plays cells of the fork matrix and gives a verdict on each.
 *
 *	cell --transport-conninfo STR --control STR [--guarded] [--serve-port N] [--jobs N]
 *	     [--deadline-ms N] [--outlive-ms N] KIND/ACT/STATE ...
 *	cell --list
 *	cell --probe [use=FD | closed=FD] ...		(what the act `exec` executes)
 *
 * Every cell has processes of its own, and prints one line: its status, its name, what broke. The
 * status is 0 when the oracle holds, 1 when it does not, 2 when the cell could not be set up; the
 * program ends with the highest.
 *
 * This file owns the options and the oracle. The oracle process opens its own session only after
 * the owner was forked, so no other process inherits it, and is the subreaper of all the others:
 * it sees every end that nobody else does.
 */
#include "cell.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { DEADLINE_MS = 20000 };

#ifdef __SANITIZE_ADDRESS__
const char *__asan_default_options(void);

/* A child forked from a thread has the memory of the other threads, and no thread to free it. */
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}
#endif

static const char create_table[] =
	"SELECT pg_advisory_xact_lock(7215);"
	"DO $$BEGIN IF to_regclass('fork_cell') IS NULL THEN "
	"CREATE UNLOGGED TABLE fork_cell (id text, n int, PRIMARY KEY (id, n)); "
	"GRANT ALL ON fork_cell TO PUBLIC; "
	"END IF; END$$";

_Noreturn static void usage(void)
{
	fprintf(stderr,
		"usage: cell --transport-conninfo STR --control STR [--guarded]\n"
		"            [--serve-port N] [--jobs N] [--deadline-ms N] [--outlive-ms N]\n"
		"            KIND/ACT/STATE ...\n"
		"       cell --list\n");
	exit(SETUP);
}

static int list(void)
{
	for (const struct kind *k = kinds; k->name; k++)
		printf("fork %s\n", k->name);
	for (const struct act *a = acts; a->name; a++)
		printf("act %s\n", a->name);
	for (const struct state *s = states; s->name; s++)
		printf("state %s\n", s->name);
	return 0;
}

/* ------------------------------------------------------------------ the oracle */

static PGconn *control;

static void open_control(const char *conninfo)
{
	control = PQconnectdb(conninfo);
	pq_quiet(control);
}

/*
 * The first field as a number. The session is opened when it is first needed, which is after the
 * fork of the owner; the oracle's watchdog ends what hangs.
 */
static int ask(const struct cell *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int ask(const struct cell *c, const char *fmt, ...)
{
	char sql[600];
	int n = 0;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(sql, sizeof(sql), fmt, ap);
	va_end(ap);

	if (!control)
		open_control(c->control);
	PGresult *r = PQexec(control, sql);
	if (PQresultStatus(r) == PGRES_TUPLES_OK)
		n = PQntuples(r) ? atoi(PQgetvalue(r, 0, 0)) : 0;
	else if (PQresultStatus(r) != PGRES_COMMAND_OK)
		note(SETUP, "control session: %s", PQerrorMessage(control));
	PQclear(r);
	return n;
}

static bool holds(void)
{
	return !atomic_load(&scene->verdict);
}

static bool arrived(sem_t *s, const char *what)
{
	if (await(s))
		return true;
	note(BROKE, "waited in vain: %s (owner: %s; worker: %s; child: %s)", what,
	     scene->phase[OWNER], scene->phase[WORKER], scene->phase[CHILD]);
	return false;
}

/* The owner is dead, the child alive: every backend of the owner's must end now. */
static void expect_backends_gone(const struct cell *c, int outlive_ms)
{
	static const struct timespec pause = { .tv_nsec = 2000000 };
	long long end = now_ms() + outlive_ms;

	for (int i = 0; i < atomic_load(&scene->n_theirs) && holds(); i++) {
		int pid = scene->theirs[i];
		while (pid != scene->outer &&
		       ask(c, "SELECT count(*) FROM pg_stat_activity WHERE pid = %d", pid)) {
			if (now_ms() >= end) {
				note(BROKE,
				     "backend %d outlives its owner by %d ms, "
				     "while the child lives",
				     pid, outlive_ms);
				return;
			}
			nanosleep(&pause, NULL);
		}
	}
}

/*
 * Ends the parent, or finds it ended by daemon(3). When this returns the child is the oracle's own
 * to wait for. False when the owner is still to be reaped: it was a worker that was killed.
 */
static bool end_holder(const struct cell *c)
{
	if (c->kind->owner_leaves) {
		reap(scene->pid[OWNER], OWNER, 0);
		return true;
	}
	kill(scene->pid[c->kind->refork ? WORKER : OWNER], SIGKILL);
	if (c->kind->refork) {
		arrived(&scene->acted, "the end of the worker");
		return false;
	}
	reap(scene->pid[OWNER], OWNER, SIGKILL);
	return true;
}

static void play(const struct cell *c, int outlive_ms)
{
	bool reaped = false;

	if (!arrived(&scene->born, "the child"))
		return;
	if (!(c->state->killed && c->kind->owner_leaves) &&
	    !arrived(&scene->ready, "the parent after the fork"))
		return;
	if (c->state->killed) {
		reaped = end_holder(c);
		expect_backends_gone(c, outlive_ms);
	}
	if (c->state->notified)
		ask(c, "NOTIFY %s, 'before'", scene->id);
	if (!holds())
		return;
	post(&scene->go);
	if (c->state->killed || c->kind->grandchild) {
		reap(scene->pid[CHILD], CHILD, 0);
		post(&scene->gone);
	}
	if (!c->state->killed) {
		if (!arrived(&scene->acted, "the end of the child"))
			return;
		if (c->state->notified)
			ask(c, "NOTIFY %s, 'after'", scene->id);
		post(&scene->verify);
	}
	if (!reaped)
		reap(scene->pid[OWNER], OWNER, 0);
}

/* Everything that was started has been waited for. */
static void expect_no_strays(void)
{
	int st;

	for (pid_t pid; (pid = waitpid(-1, &st, 0)) > 0;)
		note(BROKE, "process %d was left over, wait status %#x", (int)pid,
		     (unsigned int)st);
}

static bool leaves_rows(const struct cell *c)
{
	return c->state->rows || c->kind->refork;
}

/* Counts the rows that were left, and removes them. */
static void take_rows(const struct cell *c)
{
	int n = ask(c,
		    "WITH gone AS (DELETE FROM fork_cell WHERE id = '%s' RETURNING 1) "
		    "SELECT count(*) FROM gone",
		    scene->id);

	if (n != atomic_load(&scene->rows))
		note(BROKE, "%d rows in the table instead of %d", n, atomic_load(&scene->rows));
}

/* After a failure: kills this process's children, and theirs as they become its own. */
static void end_all(void)
{
	char path[64];
	int pid, st;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	do {
		FILE *f = fopen(path, "r");
		while (f && fscanf(f, "%d", &pid) == 1)
			kill(pid, SIGKILL);
		if (f)
			fclose(f);
	} while (waitpid(-1, &st, 0) > 0);
}

static char hung[160]; /* the line to print from the signal handler */

static void on_alarm(int sig)
{
	(void)sig;
	_exit(write(STDOUT_FILENO, hung, strlen(hung)) < 0 ? SETUP : BROKE);
}

/* Every wait of the cell's processes ends with a verdict, and this process then ends the rest. */
static void on_stop(int sig)
{
	(void)sig;
	atomic_store(&scene->verdict, SETUP);
}

/* Stopped by a signal, or because the program that started all cells is gone. */
static void listen_for_stop(void)
{
	struct sigaction stop = { .sa_handler = on_stop };

	sigaction(SIGINT, &stop, NULL);
	sigaction(SIGTERM, &stop, NULL);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
}

static int run(struct cell *c, const char *name, int outlive_ms)
{
	snprintf(hung, sizeof(hung), "%d %s oracle: the cell hangs\n", BROKE, name);
	become(ORACLE, 4);
	signal(SIGALRM, on_alarm);
	listen_for_stop();
	prctl(PR_SET_CHILD_SUBREAPER, 1);

	scene->pid[OWNER] = fork();
	if (!scene->pid[OWNER])
		owner_main(c);

	if (leaves_rows(c))
		ask(c, create_table);
	post(&scene->begin);
	play(c, outlive_ms);
	if (holds())
		expect_no_strays();
	end_all();
	if (leaves_rows(c))
		take_rows(c);
	PQfinish(control);
	dprintf(STDOUT_FILENO, "%d %s %s\n", scene->verdict, name, scene->why);
	return scene->verdict;
}

/* ------------------------------------------------------------------ options */

/* KIND/ACT/STATE into the cell; false where one of them is none. */
static bool find(struct cell *c, const char *name)
{
	char kind[32], act[32], state[32];

	if (sscanf(name, "%31[^/]/%31[^/]/%31s", kind, act, state) != 3)
		return false;
	for (c->kind = kinds; c->kind->name && strcmp(c->kind->name, kind) != 0;)
		c->kind++;
	for (c->act = acts; c->act->name && strcmp(c->act->name, act) != 0;)
		c->act++;
	for (c->state = states; c->state->name && strcmp(c->state->name, state) != 0;)
		c->state++;
	return c->kind->name && c->act->name && c->state->name;
}

static int wait_one(void)
{
	int st;

	if (wait(&st) < 0)
		return SETUP;
	return WIFEXITED(st) ? WEXITSTATUS(st) : BROKE;
}

static int run_all(struct cell *c, char **name, int jobs, int deadline_ms, int outlive_ms)
{
	int running = 0, worst = 0;

	for (; *name || running; running--) {
		for (; *name && running < jobs; running++, name++) {
			if (!find(c, *name))
				usage();
			pid_t pid = fork();
			if (pid < 0) {
				perror("cell: fork");
				exit(SETUP);
			}
			if (!pid) {
				scene_open(deadline_ms);
				_exit(run(c, *name, outlive_ms));
			}
		}
		int status = wait_one();
		worst = status > worst ? status : worst;
	}
	return worst;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "transport-conninfo", required_argument, NULL, 't' },
		{ "control", required_argument, NULL, 'c' },
		{ "guarded", no_argument, NULL, 'g' },
		{ "serve-port", required_argument, NULL, 'p' },
		{ "jobs", required_argument, NULL, 'j' },
		{ "deadline-ms", required_argument, NULL, 'd' },
		{ "outlive-ms", required_argument, NULL, 'o' },
		{ NULL, 0, NULL, 0 },
	};
	struct cell c = { 0 };
	int jobs = 1, deadline_ms = DEADLINE_MS, outlive_ms = 0;

	if (argc > 1 && !strcmp(argv[1], "--probe"))
		return probe_main(argc, argv);
	if (argc == 2 && !strcmp(argv[1], "--list"))
		return list();

	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (o) {
		case 't':
			c.conninfo = optarg;
			break;
		case 'c':
			c.control = optarg;
			break;
		case 'g':
			c.guarded = true;
			break;
		case 'p':
			c.serve_port = atoi(optarg);
			break;
		case 'j':
			jobs = atoi(optarg);
			break;
		case 'd':
			deadline_ms = atoi(optarg);
			break;
		case 'o':
			outlive_ms = atoi(optarg);
			break;
		default:
			usage();
		}
	}
	if (!c.conninfo || !c.control || jobs < 1 || deadline_ms < 1 || optind == argc)
		usage();
	return run_all(&c, argv + optind, jobs, deadline_ms, outlive_ms ? outlive_ms : deadline_ms);
}
