/* SPDX-License-Identifier: PostgreSQL */
/*
 * The memory that all processes share: who lives, what each thread does, whose each session is,
 * what was counted and what failed.
 *
 * Locks: none; all of it is atomic, since any process may be killed at any instruction. Fork: it is
 * the same memory in every child; `self` is the forking thread's until the child becomes another.
 */
#include "soak.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct board *board;
__thread struct self self;

static const char *const role_names[] = { "master", "worker", "child" };

static int most_pids(void)
{
	FILE *file = fopen("/proc/sys/kernel/pid_max", "re");
	int most = 0;

	if (!file || fscanf(file, "%d", &most) != 1 || most < 1)
		most = 4 << 20;
	if (file)
		fclose(file);
	return most + 1;
}

/* Pages that nobody touches cost nothing. */
void board_open(void)
{
	int count = most_pids();
	size_t size = sizeof(*board) + (size_t)count * sizeof(struct backend);

	board = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE,
		     -1, 0);
	if (board == MAP_FAILED) {
		perror("soak: mmap");
		exit(2);
	}
	board->backend_count = count;
}

int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * SECOND + now.tv_nsec;
}

void count(enum count what)
{
	atomic_fetch_add_explicit(&board->count[what], 1, memory_order_relaxed);
}

struct backend *backend_at(int backend)
{
	if (backend <= 0 || backend >= board->backend_count)
		fail("a session has the backend %d", backend);
	return &board->backends[backend];
}

/* ---- processes ------------------------------------------------------------------------------ */

static void clear_actors(struct process *process)
{
	for (int i = 0; i <= THREADS_MAX; i++) {
		atomic_store(&process->actors[i].touched_ns, 0);
		atomic_store(&process->actors[i].excused, false);
		atomic_store(&process->actors[i].steps, 0);
	}
}

struct process *process_claim(enum role role, int number)
{
	int children = 0;

	for (int i = 0; i < PROCESSES; i++)
		children +=
			atomic_load(&board->processes[i].pid) && board->processes[i].role == CHILD;
	if (role == CHILD && children >= CHILDREN_MAX)
		return NULL;
	for (int i = 0; i < PROCESSES; i++) {
		struct process *process = &board->processes[i];
		pid_t nobody = 0;

		if (!atomic_compare_exchange_strong(&process->pid, &nobody, -1))
			continue;
		atomic_store(&process->claimer, getpid());
		process->role = role;
		process->number = number;
		atomic_store(&process->doomed, false);
		atomic_store(&process->stopped, false);
		clear_actors(process);
		/* From now on its start is watched. */
		atomic_store(&process->resumed_ns, now_ns());
		atomic_store(&process->actors[0].touched_ns, now_ns());
		return process;
	}
	return NULL;
}

bool process_enter(struct process *process, pid_t claimer)
{
	pid_t claimed = -1;

	session_forget_all();
	if (atomic_load(&process->claimer) != claimer)
		return false;
	/* The parent may have been quicker to write it down. */
	return atomic_compare_exchange_strong(&process->pid, &claimed, getpid()) ||
	       claimed == getpid();
}

void process_free(struct process *process)
{
	clear_actors(process);
	atomic_store(&process->pid, 0);
}

struct process *process_find(pid_t pid)
{
	for (int i = 0; i < PROCESSES; i++)
		if (atomic_load(&board->processes[i].pid) == pid)
			return &board->processes[i];
	return NULL;
}

static size_t add_trail(char *text, size_t size, const struct actor *actor)
{
	uint32_t steps = atomic_load(&actor->steps);
	size_t used = 0;

	text[0] = '\0';
	for (uint32_t i = steps > TRAIL ? steps - TRAIL : 0; i < steps && used < size; i++)
		used += (size_t)snprintf(text + used, size - used, "%s%s", used ? ", " : "",
					 atomic_load(&actor->trail[i % TRAIL]));
	return used < size ? used : size - 1;
}

void process_describe(const struct process *process, char *text, size_t size)
{
	size_t used =
		(size_t)snprintf(text, size, "%s %d", role_names[process->role], process->number);

	for (int i = 0; i <= options.threads && used + 20 < size; i++) {
		if (!atomic_load(&process->actors[i].touched_ns))
			continue;
		used += (size_t)snprintf(text + used, size - used, "; thread %d: ", i);
		used += add_trail(text + used, size - used, &process->actors[i]);
	}
}

void process_judge(struct process *process, pid_t pid, int status)
{
	bool doomed = process && atomic_load(&process->doomed);
	char whose[900];

	if (atomic_load(&board->failed) || (WIFEXITED(status) && WEXITSTATUS(status) == 0))
		return;
	/* Without a place: a program that a killed worker had started. */
	if (!process || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && doomed))
		return;
	process_describe(process, whose, sizeof(whose));
	if (WIFSIGNALED(status))
		report_failure("process %d was ended by signal %d: %s", (int)pid, WTERMSIG(status),
			       whose);
	else
		report_failure("process %d exited with status %d: %s", (int)pid,
			       WEXITSTATUS(status), whose);
}

/* ---- threads -------------------------------------------------------------------------------- */

/* splitmix64 */
static uint64_t mix(uint64_t x)
{
	x += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

void self_become(struct process *process, int thread)
{
	uint64_t random = mix(self.random ^ options.seed);

	random = mix(random ^ (uint64_t)process->number << 32 ^ (uint64_t)thread << 16);
	self = (struct self){ .process = process,
			      .thread = thread,
			      .actor = &process->actors[thread],
			      .pid = getpid(),
			      .depth = self.depth,
			      .random = mix(random ^ atomic_fetch_add(&board->births, 1)) };
	step("begins");
}

void step(const char *what)
{
	uint32_t at = atomic_fetch_add_explicit(&self.actor->steps, 1, memory_order_relaxed);

	atomic_store_explicit(&self.actor->trail[at % TRAIL], what, memory_order_relaxed);
	atomic_store_explicit(&self.actor->touched_ns, now_ns(), memory_order_relaxed);
}

void excuse(bool excused)
{
	atomic_store(&self.actor->touched_ns, now_ns());
	atomic_store(&self.actor->excused, excused);
}

uint64_t random_below(uint64_t below)
{
	self.random += UINT64_C(0x9e3779b97f4a7c15);
	return mix(self.random) % below;
}

bool chance(unsigned percent)
{
	return random_below(100) < percent;
}

/* ---- failures ------------------------------------------------------------------------------- */

static void write_failure(char *text, const char *what)
{
	size_t used = (size_t)snprintf(text, FAILURE_BYTES, "FAILED seed %llu, process %d",
				       (unsigned long long)options.seed, (int)getpid());

	if (self.process)
		used += (size_t)snprintf(text + used, FAILURE_BYTES - used,
					 " (%s %d, thread %d, forked %d deep)",
					 role_names[self.process->role], self.process->number,
					 self.thread, self.depth);
	used += (size_t)snprintf(text + used, FAILURE_BYTES - used, ": %.1000s", what);
	if (self.actor) {
		used += (size_t)snprintf(text + used, FAILURE_BYTES - used, "\n  last: ");
		used += add_trail(text + used, FAILURE_BYTES - used, self.actor);
	}
	snprintf(text + used, FAILURE_BYTES - used, "\n");
}

static void note_failure(const char *format, va_list arguments)
{
	char what[1024], text[FAILURE_BYTES];
	int place;

	vsnprintf(what, sizeof(what), format, arguments);
	for (char *at = what; *at; at++)
		if (*at == '\n')
			*at = ' ';
	write_failure(text, what);
	place = atomic_fetch_add(&board->failures, 1);
	if (place < FAILURES) {
		memcpy(board->failure[place], text, sizeof(text));
		dprintf(STDERR_FILENO, "%s", text);
	}
	atomic_store(&board->failed, true);
}

void stand_still(void)
{
	if (self.process && self.process->role == MASTER && self.thread == 0)
		master_give_up();
	for (;;)
		pause();
}

void report_failure(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	note_failure(format, arguments);
	va_end(arguments);
}

void fail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	note_failure(format, arguments);
	va_end(arguments);
	stand_still();
}
