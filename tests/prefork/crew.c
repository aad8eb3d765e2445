/* SPDX-License-Identifier: PostgreSQL */
/*
 * The supervisor's test program: a service whose workers do what a client tells them to, and whose
 * hooks write down where and when they ran. tests/prefork/crewtools.py drives it.
 *
 *	CREW_TRACE  file: a line for each hook
 *	CREW_MODE   file: how workers are to start; read by each of them
 *	CREW_KINDS  "web", "web task"
 *	CREW_RUNS   how often tine_master_run() is called, one after another
 *	CREW_POOL   a pool's conninfo, see pooled.c
 *
 * Settings come from the TINE_ variables. A client sends one line and gets one line: see serve().
 */
#include "crew.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 512

static const char *trace_path, *mode_path;
static int loads; /* in this process and its ancestors */

static void pause_ms(int ms)
{
	struct timespec rest = { ms / 1000, ms % 1000 * 1000000L };

	while (nanosleep(&rest, &rest) < 0 && errno == EINTR)
		continue;
}

static void hang(void)
{
	for (;;)
		pause_ms(1000);
}

/* ---- what is written down ------------------------------------------------------------------- */

void crew_trace(const char *line)
{
	int fd = open(trace_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, line, strlen(line)) < 0)
		abort();
	close(fd);
}

/* Bit N: signal N is blocked. */
static unsigned long blocked(void)
{
	unsigned long mask = 0;
	sigset_t set;

	sigprocmask(SIG_BLOCK, NULL, &set);
	for (int i = 1; i < 32; i++)
		if (sigismember(&set, i))
			mask |= 1UL << i;
	return mask;
}

/* Has somebody set a handler, or is it as before? */
static bool is_handled(int number)
{
	struct sigaction action;

	sigaction(number, NULL, &action);
	return action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN;
}

static int note(const tine_hook_event *hook, void *user_data)
{
	char line[LINE_BYTES];

	(void)user_data;
	snprintf(line, sizeof(line),
		 "hook=%s pid=%d worker=%s kind=%s of=%d ending=%s status=%d doing=%s units=%llu "
		 "time_us=%llu before=%d now=%d generation=%d blocked=%lx handled=%d%d%d%d "
		 "loads=%d main=%d listeners=%d\n",
		 tine_hook_name(hook->kind), (int)getpid(),
		 hook->worker ? tine_worker_name(hook->worker) : "-",
		 hook->worker_kind ? hook->worker_kind : "-", hook->pid,
		 tine_ending_name(hook->ending), hook->wait_status, hook->doing ? hook->doing : "-",
		 (unsigned long long)hook->units, (unsigned long long)hook->time_us, hook->before,
		 hook->now, hook->worker ? tine_worker_generation(hook->worker) : -1, blocked(),
		 is_handled(SIGTERM), is_handled(SIGCHLD), is_handled(SIGABRT), is_handled(SIGUSR2),
		 loads, gettid() == getpid(), tine_master_listener(hook->master, 0) >= 0);
	crew_trace(line);
	return 0;
}

/* ---- how workers start ---------------------------------------------------------------------- */

static bool mode_is(const char *wanted)
{
	char mode[64] = "";
	int fd = open(mode_path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? 0 : read(fd, mode, sizeof(mode) - 1);

	if (fd >= 0)
		close(fd);
	mode[got > 0 ? got : 0] = '\0';
	return strcmp(mode, wanted) == 0;
}

/* What a program does that reads its settings again. */
static int change(tine_master *master)
{
	tine_worker_config config;
	tine_error error;

	tine_worker_config_init(&config);
	config.workers = 3;
	config.threads = 5;
	if (tine_master_change(master, "web", &config, &error) == 0)
		return 0;
	crew_trace(error.text);
	return 1;
}

static int behave(const tine_hook_event *hook, void *user_data)
{
	char refusal[64];

	(void)user_data;
	snprintf(refusal, sizeof(refusal), "refuse %s", tine_hook_name(hook->kind));
	if (hook->kind == TINE_HOOK_LOAD)
		loads++;
	if (hook->kind == TINE_HOOK_AFTER_FORK && mode_is("crash"))
		abort();
	if (hook->kind == TINE_HOOK_AFTER_FORK && mode_is("exit"))
		_exit(7);
	if (hook->kind == TINE_HOOK_AFTER_FORK && mode_is("slow"))
		pause_ms(300);
	if (hook->kind == TINE_HOOK_AFTER_FORK && mode_is("hang"))
		hang();
	if (hook->kind == TINE_HOOK_REOPEN_LOGS && hook->worker && mode_is("reopen hangs"))
		hang();
	if (hook->kind == TINE_HOOK_BEFORE_RELOAD && mode_is("change"))
		return change(hook->master);
	if (hook->kind == TINE_HOOK_WORKER_ABORT && mode_is("abort hangs"))
		hang();
	if (hook->kind == TINE_HOOK_WORKER_EXIT && mode_is("exit hangs"))
		hang();
	return mode_is(refusal);
}

/* The program's own fork handler, before anything else of the supervisor's in the child. */
static void at_fork(void)
{
	if (mode_is("term at fork"))
		kill(getpid(), SIGTERM);
}

/* ---- work ----------------------------------------------------------------------------------- */

static void leak(size_t bytes)
{
	char *memory =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory != MAP_FAILED)
		memset(memory, 1, bytes);
}

/* Beats each few milliseconds, for longer than a unit may take without. */
static void beat(tine_unit *unit, int ms)
{
	for (; ms > 0; ms -= 10) {
		tine_unit_extend(unit, -1);
		pause_ms(10);
	}
}

/* A program that a worker starts is ended by TERM, as everywhere: its state is told. */
static void start_program(int fd)
{
	dprintf(fd, "%d\n", system("kill -TERM $$; exit 5"));
}

static void plain_fork(int fd)
{
	pid_t pid = fork();

	if (pid == 0) {
		close(fd);
		hang();
	}
	dprintf(fd, "%d\n", (int)pid);
}

static void serve(tine_worker *worker, int fd, const char *line)
{
	tine_error error;
	tine_unit *unit = tine_unit_begin(worker, line, &error);
	int number = 0;

	if (!unit) {
		dprintf(fd, "%s %s\n", tine_status_name(error.status), error.text);
		return;
	}
	sscanf(line, "%*s %d", &number);
	if (strncmp(line, "sleep", 5) == 0)
		pause_ms(number);
	else if (strncmp(line, "beat", 4) == 0)
		beat(unit, number);
	else if (strncmp(line, "exit", 4) == 0)
		_exit(number);
	else if (strncmp(line, "crash", 5) == 0)
		abort();
	else if (strncmp(line, "leak", 4) == 0)
		leak((size_t)number << 20);
	else if (strncmp(line, "system", 6) == 0)
		start_program(fd);
	else if (strncmp(line, "fork", 4) == 0)
		plain_fork(fd);
	else if (strncmp(line, "query", 5) == 0)
		crew_pool_query(fd);
	else if (strncmp(line, "hang", 4) == 0)
		hang();
	tine_unit_end(unit);
	if (strncmp(line, "deaf", 4) == 0)
		hang();
	dprintf(fd, "%d %s %d\n", (int)getpid(), tine_worker_name(worker),
		tine_worker_generation(worker));
}

static int web(tine_worker *worker, int thread, void *user_data)
{
	char line[LINE_BYTES];
	tine_error error;
	int fd;

	(void)thread;
	(void)user_data;
	while ((fd = tine_worker_accept(worker, -1, &error)) != TINE_E_CLOSED) {
		ssize_t got = fd < 0 ? -1 : recv(fd, line, sizeof(line) - 1, 0);

		if (got > 0) {
			line[got] = '\0';
			line[strcspn(line, "\n")] = '\0';
			serve(worker, fd, line);
		}
		if (fd >= 0)
			close(fd);
	}
	return 0;
}

static int task(tine_worker *worker, int thread, void *user_data)
{
	(void)thread;
	(void)user_data;
	if (mode_is("returns"))
		return 0;
	if (mode_is("fails"))
		return 1;
	while (tine_worker_wait(worker, 2) == TINE_E_TIMEOUT)
		tine_unit_end(tine_unit_begin(worker, "tick", NULL));
	return 0;
}

/* ---- the service ---------------------------------------------------------------------------- */

static int fail(const tine_error *error)
{
	fprintf(stderr, "%s: %s\n", tine_status_name(error->status), error->text);
	return 1;
}

static int add(tine_master *master, const char *name, tine_worker_fn fn, bool accepts)
{
	tine_worker_config config;
	tine_error error;

	if (!strstr(getenv("CREW_KINDS") ?: "web", name))
		return 0;
	tine_worker_config_init(&config);
	config.accepts = accepts;
	if (tine_worker_config_env(&config, name, &error) < 0 ||
	    tine_master_add(master, name, fn, NULL, &config, &error) < 0)
		return fail(&error);
	return 0;
}

static int announce(const tine_hook_event *hook, void *user_data)
{
	char line[LINE_BYTES];
	const char *name;

	(void)user_data;
	for (int i = 0; (name = tine_master_listener_name(hook->master, i)); i++) {
		snprintf(line, sizeof(line), "listens=%s fd=%d\n", name,
			 tine_master_listener(hook->master, i));
		crew_trace(line);
	}
	return 0;
}

static int run(tine_master *master)
{
	tine_error error;
	int failed = 0;

	for (int i = atoi(getenv("CREW_RUNS") ?: "1"); i > 0 && !failed; i--)
		if (tine_master_run(master, &error) < 0)
			failed = fail(&error);
	return failed;
}

int main(void)
{
	tine_master_config config;
	tine_master *master;
	tine_error error;
	int failed;

	trace_path = getenv("CREW_TRACE");
	mode_path = getenv("CREW_MODE");
	pthread_atfork(NULL, NULL, at_fork);
	if (getenv("CREW_REAPER"))
		prctl(PR_SET_CHILD_SUBREAPER, 1);
	tine_master_config_init(&config);
	if (tine_master_config_env(&config, &error) < 0)
		return fail(&error);
	master = tine_master_new(&config, &error);
	if (!master)
		return fail(&error);
	for (int kind = 0; kind < TINE_HOOK_COUNT; kind++)
		if (tine_master_on(master, kind, note, NULL) < 0 ||
		    tine_master_on(master, kind, behave, NULL) < 0)
			return 1;
	tine_master_on(master, TINE_HOOK_MASTER_READY, announce, NULL);
	crew_pool_begin(master);
	failed = add(master, "web", web, true) || add(master, "task", task, false) || run(master);
	tine_master_free(master);
	crew_pool_end();
	return failed;
}
