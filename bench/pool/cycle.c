/* SPDX-License-Identifier: PostgreSQL */
/*
 * Acquire and release with nothing in between. Usage:
 *
 *	cycle time THREADS ROUNDS ROUND_MS PEER...
 *
 * measures the peers in turns, each with as many connections as threads. Prints for each round and
 * peer, numbered since the same may be named twice: "0_wall", the time that passed for each cycle
 * of any thread, and "0_cpu", the processor time that a thread spent on one of its own.
 *
 *	cycle count PEER CYCLES
 *
 * makes so many cycles in one thread and nothing else, for tools that count.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "peer.h"

#define BETWEEN_LOOKS 64
#define PEERS_MAX 8

struct contest {
	const struct peer *peer;
	void *pool;
	_Atomic int64_t cycles;
	_Atomic int64_t cpu_ns;
};

static void work(int number, void *arg)
{
	struct contest *contest = arg;
	int64_t cycles = 0, cpu_ns = bench_cpu_ns();

	(void)number;
	while (!atomic_load_explicit(&bench_stop, memory_order_relaxed)) {
		contest->peer->cycle(contest->pool, BETWEEN_LOOKS);
		cycles += BETWEEN_LOOKS;
	}
	atomic_fetch_add(&contest->cpu_ns, bench_cpu_ns() - cpu_ns);
	atomic_fetch_add(&contest->cycles, cycles);
}

static void measure(struct contest *contest, int number, int threads, int64_t time_ns)
{
	int64_t elapsed_ns, cycles;
	char key[32];

	contest->cycles = 0;
	contest->cpu_ns = 0;
	elapsed_ns = bench_run(threads, work, contest, time_ns);
	cycles = contest->cycles;
	if (!cycles)
		bench_die("%s: no cycle within %lld ns", contest->peer->name, (long long)time_ns);
	snprintf(key, sizeof(key), "%d_wall", number);
	bench_print(key, (double)elapsed_ns / (double)cycles);
	snprintf(key, sizeof(key), "%d_cpu", number);
	bench_print(key, (double)contest->cpu_ns / (double)cycles);
}

static void take_time(int threads, int rounds, int64_t time_ns, char **names, int count)
{
	struct contest contests[PEERS_MAX] = { 0 };

	for (int i = 0; i < count; i++) {
		contests[i].peer = peer_find(names[i]);
		contests[i].pool = contests[i].peer->open(threads, threads);
		contests[i].peer->cycle(contests[i].pool, 1000);
	}
	for (int round = 0; round < rounds; round++)
		for (int i = 0; i < count; i++) {
			int turn = (round + i) % count;

			measure(&contests[turn], turn, threads, time_ns);
		}
}

int main(int argc, char **argv)
{
	if (argc >= 6 && argc <= 5 + PEERS_MAX && strcmp(argv[1], "time") == 0) {
		take_time(bench_number(argv[2], 1), bench_number(argv[3], 1),
			  bench_number(argv[4], 1) * BENCH_NS_PER_MS, argv + 5, argc - 5);
	} else if (argc == 4 && strcmp(argv[1], "count") == 0) {
		const struct peer *peer = peer_find(argv[2]);

		peer->cycle(peer->open(1, 1), bench_number(argv[3], 0));
	} else {
		bench_die("usage: cycle time THREADS ROUNDS ROUND_MS PEER... | count PEER CYCLES");
	}
	return 0;
}
