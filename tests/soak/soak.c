/* SPDX-License-Identifier: PostgreSQL */
/*
 * The program: options, and what is said in the end.
 *
 * Exit status: 0 nothing was wrong, 1 something was, 2 usage or set-up.
 */
#include "soak.h"

#include <execinfo.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FRAMES 40

struct options options = {
	.seconds = 20,
	.workers = 8,
	.threads = 8,
	.kill_ms = 2000,
	.stop_ms = 3000,
	.terminate_ms = 200,
	.watch_ms = 20000,
	.vanish_ms = 10000,
	.growth_kib = 4096,
	.forks = true,
};

static const char usage[] =
	"Usage: soak --conninfo TEXT --admin TEXT [OPTION...]\n"
	"  --conninfo TEXT   of the sessions under test\n"
	"  --admin TEXT      a superuser's way into the same database\n"
	"  --seconds N       how long (20)\n"
	"  --seed N          of all that is random (the time)\n"
	"  --workers N       processes, 0 = the master alone (8)\n"
	"  --threads N       threads of each (8)\n"
	"  --kill-ms N       a worker is killed about so often, 0 = never (2000)\n"
	"  --stop-ms N       a worker is stopped for a while about so often, 0 = never (3000)\n"
	"  --terminate-ms N  a backend is terminated so often, 0 = never (200)\n"
	"  --watch-ms N      a thread without progress for so long hangs (20000)\n"
	"  --vanish-ms N     a session without an owner must be gone after it (10000)\n"
	"  --growth-kib N    what the memory of a process may grow by (4096)\n"
	"  --reset NAME      rollback, full or tracked (rollback)\n"
	"  --no-forks        no forks while other threads run: for the runtimes of sanitizers,\n"
	"                    whose own locks do not survive it\n"
	"  --bare            no pool: connections shared over fork; must fail\n"
	"  --break NAME      a deliberate defect; must fail\n";

static _Noreturn void refuse(const char *what)
{
	fprintf(stderr, "soak: %s\n%s", what, usage);
	exit(2);
}

static int number(const char *text, int most)
{
	char *end;
	long value = strtol(text, &end, 10);

	if (end == text || *end || value < 0 || value > most)
		refuse("a number is out of range");
	return (int)value;
}

static int reset_named(const char *name)
{
	static const char *const names[] = { [TINE_RESET_ROLLBACK] = "rollback",
					     [TINE_RESET_FULL] = "full",
					     [TINE_RESET_TRACKED] = "tracked" };

	for (int i = 0; i < 3; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	refuse("no such reset");
}

static const struct option long_options[] = {
	{ "conninfo", required_argument, NULL, 'c' },
	{ "admin", required_argument, NULL, 'a' },
	{ "seconds", required_argument, NULL, 's' },
	{ "seed", required_argument, NULL, 'r' },
	{ "workers", required_argument, NULL, 'w' },
	{ "threads", required_argument, NULL, 't' },
	{ "kill-ms", required_argument, NULL, 'k' },
	{ "stop-ms", required_argument, NULL, 'p' },
	{ "terminate-ms", required_argument, NULL, 'e' },
	{ "watch-ms", required_argument, NULL, 'h' },
	{ "vanish-ms", required_argument, NULL, 'v' },
	{ "growth-kib", required_argument, NULL, 'g' },
	{ "reset", required_argument, NULL, 'x' },
	{ "no-forks", no_argument, NULL, 'n' },
	{ "bare", no_argument, NULL, 'b' },
	{ "break", required_argument, NULL, 'd' },
	{ 0 },
};

static void set_number(int letter, const char *text)
{
	static const struct {
		int letter;
		int *value;
		int most;
	} numbers[] = {
		{ 's', &options.seconds, 1000000 },     { 'w', &options.workers, WORKERS_MAX },
		{ 't', &options.threads, THREADS_MAX }, { 'k', &options.kill_ms, 1000000 },
		{ 'p', &options.stop_ms, 1000000 },     { 'e', &options.terminate_ms, 1000000 },
		{ 'h', &options.watch_ms, 1000000 },    { 'v', &options.vanish_ms, 1000000 },
		{ 'g', &options.growth_kib, 1 << 30 },
	};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (numbers[i].letter == letter)
			*numbers[i].value = number(text, numbers[i].most);
}

static void set(int letter, const char *text)
{
	switch (letter) {
	case '?':
		refuse("no such option");
	case 'c':
		options.conninfo = text;
		break;
	case 'a':
		options.admin = text;
		break;
	case 'r':
		options.seed = strtoull(text, NULL, 10);
		break;
	case 'x':
		options.reset = reset_named(text);
		break;
	case 'n':
		options.forks = false;
		break;
	case 'b':
		options.bare = true;
		break;
	case 'd':
		options.breaks = text;
		break;
	default:
		set_number(letter, text);
	}
}

static void read_options(int argc, char **argv)
{
	int letter;

	options.seed = (uint64_t)time(NULL);
	while ((letter = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		set(letter, optarg);
	if (!options.conninfo || !options.admin)
		refuse("--conninfo and --admin are needed");
	if (options.breaks && !defect_is_known())
		refuse("no such defect");
}

/* ---- the end -------------------------------------------------------------------------------- */

static void show_count(const char *name, enum count what)
{
	uint64_t value = atomic_load(&board->count[what]);

	printf("%-22s %10llu  %8.1f/s\n", name, (unsigned long long)value,
	       (double)value / options.seconds);
}

static void show_counts(void)
{
	static const char *const names[COUNTS] = {
		[TURNS] = "turns",
		[CHECKOUTS] = "checkouts",
		[ANSWERS] = "right answers",
		[CONNECTS] = "connects",
		[COMMITS] = "commits",
		[CANCELS] = "cancelled acquires",
		[FORKS] = "forks",
		[SPAWNS] = "programs started",
		[KILLS] = "workers killed",
		[STOPS] = "workers stopped",
		[TERMINATED] = "backends terminated",
		[RESTARTS] = "restarts",
		[LOST_SESSIONS] = "sessions lost in use",
		[SAMPLES] = "looks from outside",
	};

	for (enum count what = 0; what < COUNTS; what++)
		show_count(names[what], what);
	for (int i = 0; i < STATUSES; i++)
		if (atomic_load(&board->refused[i]))
			printf("%-22s %10llu\n", tine_status_name(-i),
			       (unsigned long long)atomic_load(&board->refused[i]));
	printf("most sessions of one process %d, limit %d; memory left at an end: %lld bytes\n",
	       atomic_load(&board->most_sessions), LIMIT,
	       (long long)atomic_load(&board->worst_heap_bytes));
}

/* ---- crashes -------------------------------------------------------------------------------- */

static void show_frames(int number)
{
	void *frames[FRAMES];

	dprintf(STDERR_FILENO, "soak: signal %d in process %d\n", number, (int)getpid());
	backtrace_symbols_fd(frames, backtrace(frames, FRAMES), STDERR_FILENO);
	/* SA_RESETHAND: it is the default now. */
	raise(number);
}

static void show_crashes(void)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL };
	struct sigaction action = { .sa_handler = show_frames, .sa_flags = (int)SA_RESETHAND };
	void *frame;

	/* Loads what it needs, while that is safe. */
	backtrace(&frame, 1);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		struct sigaction present;

		/* A sanitizer has its own. */
		sigaction(signals[i], NULL, &present);
		if (present.sa_handler == SIG_DFL)
			sigaction(signals[i], &action, NULL);
	}
}

int main(int argc, char **argv)
{
	read_options(argc, argv);
	show_crashes();
	board_open();
	printf("soak: seed %llu, %d s, %d workers x %d threads, pools of %d + %d\n",
	       (unsigned long long)options.seed, options.seconds, options.workers, options.threads,
	       POOL_SIZE, MAX_OVERFLOW);
	fflush(stdout);
	master_run();
	census_judge();
	show_counts();
	return atomic_load(&board->failed) ? 1 : 0;
}
