/* SPDX-License-Identifier: PostgreSQL */
/*
 * The auditor, a process that sees all of it from outside, with a superuser's session:
 *   - every session of the server belongs to a living process that has not closed it, or is gone
 *     before long;
 *   - no process has more than the limit of its pool;
 *   - every thread makes progress;
 *   - descriptors and memory do not grow;
 * and it terminates backends at random, each written down before. A line on its standard input says
 * that the server is about to go away ("begin"), or is back ("end").
 *
 * Locks: none. Fork: it is forked before there is a pool, and has one thread.
 */
#include "soak.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOOK_MS 20
#define CENSUS_NS (200 * MS)
#define TELL_NS (10 * SECOND)
#define LONG_BREAK_NS (3 * SECOND) /* in our own time: the machine had none to give */
#define SEEN_MAX 1024

static const char *const query =
	"select pid, (extract(epoch from backend_start) * 1000000)::bigint from pg_stat_activity "
	"where usename = 'app'";

struct seen {
	int pid;
	int64_t start_us;
	int64_t doubtful_ns; /* since when nobody says that it is his */
	bool now;
};

static PGconn *admin;
static struct seen seen[SEEN_MAX];
static int seen_count;

/* ---- sessions ------------------------------------------------------------------------------- */

static struct seen *find_seen(int pid, int64_t start_us)
{
	for (int i = 0; i < seen_count; i++)
		if (seen[i].pid == pid && seen[i].start_us == start_us)
			return &seen[i];
	if (seen_count == SEEN_MAX)
		return NULL;
	seen[seen_count] = (struct seen){ .pid = pid, .start_us = start_us };
	return &seen[seen_count++];
}

static bool is_open(const struct backend *backend)
{
	return atomic_load(&backend->opened_ns) > atomic_load(&backend->closed_ns);
}

/* The living process that says that the session is its own, or NULL. */
static struct process *owner_of(const struct backend *backend)
{
	pid_t owner = atomic_load(&backend->owner);

	return is_open(backend) && owner > 0 ? process_find(owner) : NULL;
}

static void judge_session(struct seen *session, int64_t now)
{
	const struct backend *backend = &board->backends[session->pid];

	session->now = true;
	if (owner_of(backend)) {
		session->doubtful_ns = 0;
		return;
	}
	if (!session->doubtful_ns)
		session->doubtful_ns = now;
	if (now - session->doubtful_ns > options.vanish_ms * MS)
		report_failure(
			"the session %d, opened by process %d%s, has been nobody's for %d ms",
			session->pid, (int)atomic_load(&backend->owner),
			is_open(backend) ? ", which is gone" : " and closed", options.vanish_ms);
}

static void count_sessions(struct process *process)
{
	pid_t pid = atomic_load(&process->pid);
	int open = 0;

	for (int i = 0; i < seen_count; i++) {
		const struct backend *backend = &board->backends[seen[i].pid];

		open += is_open(backend) && !atomic_load(&backend->extra) &&
			atomic_load(&backend->owner) == pid;
	}
	if (open > atomic_load(&board->most_sessions))
		atomic_store(&board->most_sessions, open);
	if (open > LIMIT)
		report_failure("process %d has %d sessions, with a limit of %d", (int)pid, open,
			       LIMIT);
}

static void forget_gone(void)
{
	int kept = 0;

	for (int i = 0; i < seen_count; i++)
		if (seen[i].now)
			seen[kept++] = seen[i];
	seen_count = kept;
}

static void judge_sessions(const PGresult *rows)
{
	int64_t now = now_ns();

	for (int i = 0; i < seen_count; i++)
		seen[i].now = false;
	for (int row = 0; row < PQntuples(rows); row++) {
		struct seen *session =
			find_seen(atoi(PQgetvalue(rows, row, 0)), atoll(PQgetvalue(rows, row, 1)));

		if (session)
			judge_session(session, now);
	}
	forget_gone();
	for (int i = 0; i < PROCESSES && !options.bare; i++)
		if (atomic_load(&board->processes[i].pid) > 0)
			count_sessions(&board->processes[i]);
	count(SAMPLES);
}

/* ---- its own session ------------------------------------------------------------------------ */

static void open_admin(void)
{
	admin = PQconnectdb(options.admin);
	if (PQstatus(admin) != CONNECTION_OK)
		report_failure("the auditor cannot connect: %s", PQerrorMessage(admin));
	/* That a session was gone before it could be terminated is none of its business. */
	PQclear(PQexec(admin, "set client_min_messages to error"));
}

/* @return NULL while the server is away */
static PGresult *ask_admin(const char *sql)
{
	PGresult *result;

	if (is_outage())
		return NULL;
	result = PQexec(admin, sql);
	if (PQresultStatus(result) == PGRES_TUPLES_OK || PQresultStatus(result) == PGRES_COMMAND_OK)
		return result;
	report_failure("the auditor: %s", PQerrorMessage(admin));
	PQclear(result);
	return NULL;
}

static void look_at_sessions(void)
{
	PGresult *rows = ask_admin(query);

	if (rows)
		judge_sessions(rows);
	PQclear(rows);
}

/* Written down first, so that its owner can tell the cause of its loss. */
static void terminate_one(void)
{
	struct backend *backend;
	char sql[64];
	int pid;

	if (!seen_count)
		return;
	pid = seen[random_below((uint64_t)seen_count)].pid;
	backend = &board->backends[pid];
	atomic_store(&backend->terminated_ns, now_ns());
	atomic_store(&board->terminated_ns, now_ns());
	if (!is_open(backend))
		atomic_store(&board->early_hit_ns, now_ns());
	snprintf(sql, sizeof(sql), "select pg_terminate_backend(%d)", pid);
	PQclear(ask_admin(sql));
	count(TERMINATED);
}

/* ---- progress ------------------------------------------------------------------------------- */

/* For the reader of a log: where its threads are. */
static void show_stacks(pid_t pid)
{
	char number[16];
	pid_t child;

	snprintf(number, sizeof(number), "%d", (int)pid);
	child = fork();
	if (child == 0) {
		dup2(STDERR_FILENO, STDOUT_FILENO);
		execlp("gdb", "gdb", "-nx", "-batch", "-ex", "thread apply all bt 25", "-p", number,
		       (char *)NULL);
		_exit(127);
	}
	waitpid(child, NULL, 0);
}

static void watch(struct process *process, int thread, int64_t since_ns)
{
	const struct actor *actor = &process->actors[thread];
	int64_t last_ns = atomic_load(&actor->touched_ns), resumed_ns;
	char whose[900];

	if (!last_ns || atomic_load(&actor->excused) || atomic_load(&process->stopped))
		return;
	resumed_ns = atomic_load(&process->resumed_ns);
	if (last_ns < resumed_ns)
		last_ns = resumed_ns;
	if (last_ns < since_ns)
		last_ns = since_ns;
	if (now_ns() - last_ns < options.watch_ms * MS)
		return;
	process_describe(process, whose, sizeof(whose));
	/* First: after a failure everything ends. What hangs may be the parent, who does not look
	 * after a child that is gone. */
	show_stacks(atomic_load(&process->pid));
	if (process->role == CHILD)
		show_stacks(atomic_load(&process->claimer));
	report_failure("thread %d of process %d hangs: %s", thread, (int)atomic_load(&process->pid),
		       whose);
}

static void watch_all(int64_t since_ns)
{
	for (int i = 0; i < PROCESSES; i++)
		for (int thread = 0; thread <= options.threads; thread++)
			if (atomic_load(&board->processes[i].pid) > 0 &&
			    !atomic_load(&board->failed))
				watch(&board->processes[i], thread, since_ns);
}

/* ---- the loop ------------------------------------------------------------------------------- */

static void obey(const char *order)
{
	if (strcmp(order, "begin") == 0) {
		atomic_store(&board->outage_began_ns, now_ns());
		count(RESTARTS);
		dprintf(STDOUT_FILENO, "noted\n");
	} else if (strcmp(order, "end") == 0) {
		atomic_store(&board->outage_ended_ns, now_ns());
		PQfinish(admin);
		open_admin();
	}
}

static void listen_to_orders(void)
{
	static char line[64];
	static size_t used;
	char byte;

	while (read(STDIN_FILENO, &byte, 1) == 1) {
		if (byte != '\n') {
			line[used] = byte;
			used = (used + 1) % (sizeof(line) - 1);
			continue;
		}
		line[used] = '\0';
		used = 0;
		obey(line);
	}
}

static uint64_t counted(enum count what)
{
	return atomic_load(&board->count[what]);
}

static void tell(int64_t *next_ns)
{
	static uint64_t before;
	int64_t now = now_ns();

	if (now < *next_ns)
		return;
	*next_ns += TELL_NS;
	dprintf(STDOUT_FILENO,
		"%5lld s  %9llu checkouts (%llu/s), %llu forks, %llu killed, %llu terminated, %llu "
		"lost\n",
		(long long)((now - board->began_ns) / SECOND),
		(unsigned long long)counted(CHECKOUTS),
		(unsigned long long)((counted(CHECKOUTS) - before) / (TELL_NS / SECOND)),
		(unsigned long long)counted(FORKS), (unsigned long long)counted(KILLS),
		(unsigned long long)counted(TERMINATED),
		(unsigned long long)counted(LOST_SESSIONS));
	before = counted(CHECKOUTS);
}

static bool is_due(int64_t *next_ns, int64_t period_ns)
{
	int64_t now = now_ns();

	if (!period_ns || now < *next_ns)
		return false;
	*next_ns = now + period_ns;
	return true;
}

static void watch_the_run(void)
{
	int64_t next_terminate = 0, next_census = 0, next_tell = board->began_ns + TELL_NS;
	int64_t last_ns = now_ns(), since_ns = 0;

	while (!atomic_load(&board->over) && !atomic_load(&board->failed)) {
		struct pollfd orders = { .fd = STDIN_FILENO, .events = POLLIN };

		if (poll(&orders, 1, LOOK_MS) > 0 && !(orders.revents & POLLIN))
			poll(NULL, 0, LOOK_MS);
		if (now_ns() - last_ns > LONG_BREAK_NS)
			since_ns = now_ns();
		last_ns = now_ns();
		listen_to_orders();
		look_at_sessions();
		if (!is_outage() && is_due(&next_terminate, options.terminate_ms * MS))
			terminate_one();
		if (is_due(&next_census, CENSUS_NS))
			census_take();
		watch_all(since_ns);
		tell(&next_tell);
	}
}

/* ---- the end -------------------------------------------------------------------------------- */

static void expect_no_session(void)
{
	int64_t until_ns = now_ns() + options.vanish_ms * MS;

	do {
		look_at_sessions();
		poll(NULL, 0, LOOK_MS);
	} while (seen_count && now_ns() < until_ns && !atomic_load(&board->failed));
	if (seen_count)
		report_failure("%d sessions are left in the end", seen_count);
}

static void expect_no_ghost(void)
{
	PGresult *result = ask_admin("select count(*), min(nonce) from soak_ghost");

	if (result && atoi(PQgetvalue(result, 0, 0)))
		report_failure("%s rows were committed of transactions that were not, such as '%s'",
			       PQgetvalue(result, 0, 0), PQgetvalue(result, 0, 1));
	PQclear(result);
}

static void prepare(void)
{
	PQclear(ask_admin("drop table if exists soak_ghost, soak_kept"));
	PQclear(ask_admin("create unlogged table soak_ghost (nonce text)"));
	PQclear(ask_admin("create unlogged table soak_kept (nonce text primary key)"));
	PQclear(ask_admin("grant all on soak_ghost, soak_kept to app"));
}

pid_t audit_start(void)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	self.random = options.seed;
	fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
	open_admin();
	prepare();
	atomic_store(&board->ready, true);
	while (!board->ends_ns && !atomic_load(&board->failed))
		poll(NULL, 0, 1);
	watch_the_run();
	if (!atomic_load(&board->failed)) {
		expect_no_session();
		expect_no_ghost();
	}
	PQfinish(admin);
	_exit(0);
}
