/* SPDX-License-Identifier: PostgreSQL */
/*
 * Many threads at once, each with one short query, on a pool with a few idle connections and room
 * for one each. Usage: spike PEER THREADS IDLE QUERY_MS
 *
 * Prints "open", the connections that are open or on their way when the last thread is done, and
 * "total", how long all of them took.
 */
#include <stdio.h>

#include "harness.h"
#include "peer.h"

struct spike {
	const struct peer *peer;
	void *pool;
	char sql[64];
};

static void work(int number, void *arg)
{
	struct spike *spike = arg;

	(void)number;
	spike->peer->query(spike->pool, spike->sql);
}

int main(int argc, char **argv)
{
	struct spike spike;
	int threads, idle;
	int64_t elapsed_ns;

	if (argc != 5)
		bench_die("usage: spike PEER THREADS IDLE QUERY_MS");
	spike.peer = peer_find(argv[1]);
	threads = bench_number(argv[2], 1);
	idle = bench_number(argv[3], 0);
	snprintf(spike.sql, sizeof(spike.sql), "select pg_sleep(%d / 1000.0)",
		 bench_number(argv[4], 0));
	spike.pool = spike.peer->open(idle, threads);
	elapsed_ns = bench_run(threads, work, &spike, 0);
	bench_print("open", spike.peer->count(spike.pool));
	bench_print("total", (double)elapsed_ns);
	return 0;
}
