/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the board adds to acquire and release, in one process and in turns. Usage:
 *
 *	checkout time ROUNDS SLICE_MS
 *
 * Prints for each round the time of one cycle: "without" a board, "again" for a second pool without
 * one, and "with" a board.
 *
 *	checkout count with|without CYCLES
 *
 * does as many as it is told, for who counts instructions.
 *
 *	checkout watched PID ROUNDS SLICE_MS
 *
 * lets a tine top run and stops it, in turns. Prints for each round the processor time of one
 * cycle: "alone" and "again" without it, "watched" with it; and "top", what tine top used of each
 * second.
 */
#include <signal.h>
#include <string.h>
#include <time.h>

#include "harness.h"

#define BETWEEN_LOOKS 256
#define SLICES 8
#define BUDGET 8
#define WATCHED 64 /* connections to be shown */

enum way { WITHOUT, AGAIN, WITH, WAYS };

static const char *const keys[WAYS] = { "without", "again", "with" };

/* @param name  of its board, or NULL: it has none */
static tine_pool *open_pool(const char *name, int budget, int connections)
{
	tine_pool_config config;
	tine_error error;
	tine_pool *pool;

	tine_pool_config_init(&config);
	config.conninfo = bench_env("BENCH_CONNINFO");
	config.pool_size = connections;
	config.max_overflow = 0;
	config.acquire_timeout_ms = 60000;
	config.name = name;
	config.budget = budget;
	pool = tine_pool_new(&config, &error);
	if (!pool)
		bench_die("tine_pool_new: %s", error.text);
	bench_fill(pool, connections);
	return pool;
}

/* @return the time of one cycle, by that clock, in picoseconds: the difference that is looked for
 * is a few nanoseconds */
static int64_t take_slice(tine_pool *pool, int64_t (*clock)(void), int64_t time_ns)
{
	int64_t until_ns = bench_now_ns() + time_ns, began_ns = clock(), cycles = 0;

	do {
		for (int i = 0; i < BETWEEN_LOOKS; i++)
			tine_conn_release(bench_acquire(pool));
		cycles += BETWEEN_LOOKS;
	} while (bench_now_ns() < until_ns);
	return (clock() - began_ns) * 1000 / cycles;
}

static void take_round(tine_pool *const *pools, int64_t slice_ns)
{
	struct bench_samples samples[WAYS] = { 0 };

	for (int i = 0; i < SLICES * WAYS; i++) {
		/* Every order comes as often as any other. */
		int way = ((i / WAYS % 2 ? WAYS - 1 - i % WAYS : i % WAYS) + i / WAYS) % WAYS;

		bench_samples_add(&samples[way], take_slice(pools[way], bench_now_ns, slice_ns));
	}
	for (int way = 0; way < WAYS; way++) {
		/* What disturbs a slice only makes it longer. */
		bench_print(keys[way], (double)bench_samples_quantile(&samples[way], 0.25) / 1000);
		bench_samples_free(&samples[way]);
	}
}

static void compare(int rounds, int64_t slice_ns)
{
	tine_pool *pools[WAYS];

	pools[WITHOUT] = open_pool(NULL, 0, 1);
	pools[AGAIN] = open_pool(NULL, 0, 1);
	pools[WITH] = open_pool("bench-own", BUDGET, 1);
	while (rounds-- > 0)
		take_round(pools, slice_ns);
	for (int way = 0; way < WAYS; way++)
		tine_pool_free(pools[way]);
}

static void count(bool with, int cycles)
{
	tine_pool *pool = open_pool(with ? "bench-count" : NULL, with ? BUDGET : 0, 1);

	for (int i = 0; i < cycles; i++)
		tine_conn_release(bench_acquire(pool));
	tine_pool_free(pool);
}

static int64_t used_ns(clockid_t clock)
{
	struct timespec used;

	if (clock_gettime(clock, &used) < 0)
		bench_die("tine top has ended");
	return used.tv_sec * BENCH_NS_PER_S + used.tv_nsec;
}

/* @return what tine top used meanwhile of each second */
static int64_t take_watched(tine_pool *pool, pid_t top, clockid_t clock, int64_t slice_ns)
{
	int64_t began_ns = used_ns(clock);

	kill(top, SIGCONT);
	bench_print("watched", (double)take_slice(pool, bench_cpu_ns, slice_ns) / 1000);
	kill(top, SIGSTOP);
	return (used_ns(clock) - began_ns) * BENCH_NS_PER_S / slice_ns;
}

static void watch(pid_t top, int rounds, int64_t slice_ns)
{
	tine_pool *pool = open_pool("bench-watched", WATCHED, WATCHED);
	clockid_t clock;

	if (clock_getcpuclockid(top, &clock) != 0 || kill(top, SIGSTOP) < 0)
		bench_die("no process %d", (int)top);
	while (rounds-- > 0) {
		bench_print("alone", (double)take_slice(pool, bench_cpu_ns, slice_ns) / 1000);
		bench_print("top", (double)take_watched(pool, top, clock, slice_ns));
		bench_print("again", (double)take_slice(pool, bench_cpu_ns, slice_ns) / 1000);
	}
	kill(top, SIGCONT);
	tine_pool_free(pool);
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "time") == 0)
		compare(bench_number(argv[2], 1), bench_number(argv[3], 1) * BENCH_NS_PER_MS);
	else if (argc == 4 && strcmp(argv[1], "count") == 0)
		count(strcmp(argv[2], "with") == 0, bench_number(argv[3], 1));
	else if (argc == 5 && strcmp(argv[1], "watched") == 0)
		watch(bench_number(argv[2], 1), bench_number(argv[3], 1),
		      bench_number(argv[4], 1) * BENCH_NS_PER_MS);
	else
		bench_die("usage: checkout time ROUNDS SLICE_MS | count with|without CYCLES | "
			  "watched PID ROUNDS SLICE_MS");
	return 0;
}
