/* SPDX-License-Identifier: PostgreSQL */
/*
 * The master: makes the pool, uses it in threads of its own, forks the workers and replaces those
 * it kills. Stops and continues some. It is the reaper of every process that lost its parent.
 *
 * Locks: none. Fork: always from the main thread, while the others have connections in their hands.
 */
#include "soak.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define OWN_THREADS 3
#define LOOK_MS 5
#define STOP_NS (2 * SECOND) /* the longest */

static pid_t auditor;
static bool auditor_ended;

/* ---- ends ----------------------------------------------------------------------------------- */

/* Places of a process that is gone: claimed for a child that was not forked any more, or of one
 * that it has buried and not yet crossed out. */
static void withdraw_claims(pid_t claimer)
{
	for (int i = 0; i < PROCESSES; i++) {
		struct process *process = &board->processes[i];
		pid_t pid = atomic_load(&process->pid);

		if (pid && atomic_load(&process->claimer) == claimer &&
		    (pid == -1 || (kill(pid, 0) < 0 && errno == ESRCH)))
			process_free(process);
	}
}

static void ended(pid_t pid, int status)
{
	struct process *process = process_find(pid);

	if (pid == auditor) {
		auditor_ended = true;
		if (status != 0)
			report_failure("the auditor ended with status %#x", (unsigned)status);
		return;
	}
	process_judge(process, pid, status);
	if (process)
		process_free(process);
	withdraw_claims(pid);
}

static void reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		ended(pid, status);
}

static int living(void)
{
	int count = 0;

	for (int i = 0; i < PROCESSES; i++)
		count +=
			atomic_load(&board->processes[i].pid) && board->processes[i].role != MASTER;
	return count;
}

static void kill_process(struct process *process)
{
	pid_t pid = atomic_load(&process->pid);

	if (pid <= 0 || process->role == MASTER)
		return;
	atomic_store(&process->doomed, true);
	kill(pid, SIGKILL);
}

/* After a failure. Those whose parents hang or are gone come to us in turn. */
void master_give_up(void)
{
	int64_t until_ns = now_ns() + 10 * SECOND;

	while (living() > 0 && now_ns() < until_ns) {
		for (int i = 0; i < PROCESSES; i++)
			kill_process(&board->processes[i]);
		reap();
		poll(NULL, 0, LOOK_MS);
	}
	if (!auditor_ended)
		kill(auditor, SIGKILL);
	_exit(1);
}

/* ---- disturbances --------------------------------------------------------------------------- */

static void start_worker(int number)
{
	struct process *process = process_claim(WORKER, number);
	pid_t claimer = getpid(), pid, claimed = -1;

	if (!process)
		return;
	step("forks a worker");
	pid = fork();
	if (pid == 0)
		worker_main(process, claimer);
	if (pid < 0)
		report_failure("fork: errno %d", errno);
	atomic_compare_exchange_strong(&process->pid, &claimed, pid);
}

static struct process *find_worker(int number)
{
	for (int i = 0; i < PROCESSES; i++) {
		struct process *process = &board->processes[i];

		if (atomic_load(&process->pid) > 0 && process->role == WORKER &&
		    process->number == number)
			return process;
	}
	return NULL;
}

static void replace_workers(void)
{
	for (int number = 0; number < options.workers; number++)
		if (!find_worker(number))
			start_worker(number);
}

/* Those of the lower half live to the end, to be measured. */
static void kill_one(void)
{
	int half = options.workers / 2;
	struct process *process;

	if (options.workers - half < 1)
		return;
	process = find_worker(half + (int)random_below((uint64_t)(options.workers - half)));
	if (!process)
		return;
	step("kills a worker");
	count(KILLS);
	kill_process(process);
}

static struct process *stopped;
static int64_t continue_ns;

static void stop_one(void)
{
	struct process *process;

	if (stopped || options.workers < 1)
		return;
	process = find_worker((int)random_below((uint64_t)options.workers));
	if (!process)
		return;
	step("stops a worker");
	count(STOPS);
	atomic_store(&process->stopped, true);
	kill(atomic_load(&process->pid), SIGSTOP);
	stopped = process;
	continue_ns = now_ns() + (int64_t)random_below(STOP_NS);
}

static void continue_stopped(bool now)
{
	pid_t pid;

	if (!stopped || (!now && now_ns() < continue_ns))
		return;
	pid = atomic_load(&stopped->pid);
	atomic_store(&stopped->resumed_ns, now_ns());
	atomic_store(&stopped->stopped, false);
	if (pid > 0)
		kill(pid, SIGCONT);
	stopped = NULL;
}

/* Due about every period; @return whether it is now */
static bool is_due(int64_t *next_ns, int period_ms)
{
	int64_t now = now_ns();

	if (!period_ms || now < *next_ns)
		return false;
	*next_ns = now + (int64_t)random_below(2 * (uint64_t)period_ms * MS);
	return true;
}

/* ---- the run -------------------------------------------------------------------------------- */

static void supervise(void)
{
	int64_t next_kill_ns = now_ns() + options.kill_ms * MS;
	int64_t next_stop_ns = now_ns() + options.stop_ms * MS;

	while (now_ns() < board->ends_ns) {
		step("supervises");
		if (atomic_load(&board->failed))
			master_give_up();
		reap();
		replace_workers();
		continue_stopped(false);
		if (is_due(&next_kill_ns, options.kill_ms))
			kill_one();
		if (is_due(&next_stop_ns, options.stop_ms))
			stop_one();
		poll(NULL, 0, LOOK_MS);
	}
	continue_stopped(true);
}

static void wait_for_all(void)
{
	while (living() > 0) {
		step("waits for its workers");
		if (atomic_load(&board->failed))
			master_give_up();
		reap();
		poll(NULL, 0, LOOK_MS);
	}
}

static void wait_for_auditor(void)
{
	while (!auditor_ended) {
		reap();
		poll(NULL, 0, LOOK_MS);
	}
	if (atomic_load(&board->failed))
		master_give_up();
}

static void begin(struct process *process)
{
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	auditor = audit_start();
	process_enter(process, getpid());
	self_become(process, 0);
	while (!atomic_load(&board->ready)) {
		reap();
		if (auditor_ended)
			master_give_up();
		poll(NULL, 0, LOOK_MS);
	}
	board->began_ns = now_ns();
	board->ends_ns = board->began_ns + options.seconds * SECOND;
}

/* None where forks are to have no other thread beside them. */
static int own_threads(void)
{
	if (!options.workers)
		return options.threads;
	return options.forks ? OWN_THREADS : 0;
}

void master_run(void)
{
	struct process *process = process_claim(MASTER, 0);
	struct team team;

	begin(process);
	if (options.bare)
		bare_open();
	else
		pool = pool_make(false);
	team_start(&team, own_threads());
	supervise();
	atomic_store(&board->stop, true);
	wait_for_all();
	team_finish(&team);
	if (!options.bare)
		tine_pool_free(pool);
	atomic_store(&board->over, true);
	process_free(process);
	wait_for_auditor();
}
