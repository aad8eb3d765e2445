/* SPDX-License-Identifier: PostgreSQL */
/*
 * Acquires of connections that were idle for long enough to be looked at. Usage:
 * idle POOLS CONNECTIONS ROUNDS
 *
 * Prints for each round the median over all connections of all pools, which are emptied one after
 * the other: "unseen", just returned, with no need to look; "seen", idle for a while; "ping", the
 * same with ping=always; "cold", idle for so long that what the processor knew of them is in no
 * cache any more; and "peek", what looking is by itself then: recv(MSG_PEEK) on as many sockets.
 */
#include <stdlib.h>
#include <sys/socket.h>

#include "harness.h"

/* The pool looks at what was idle for longer than 10 ms. Awake, so that the caches stay as they
 * are.
 */
#define AWAKE_NS (15 * BENCH_NS_PER_MS)
#define ASLEEP_NS (600 * BENCH_NS_PER_MS)

struct group {
	tine_pool **pools;
	tine_conn **conns;
	int count, connections;
};

static void open_group(struct group *group, enum tine_ping ping)
{
	int all = group->count * group->connections;

	group->pools = calloc((size_t)group->count, sizeof(tine_pool *));
	group->conns = calloc((size_t)all, sizeof(tine_conn *));
	if (!group->pools || !group->conns)
		bench_die("out of memory");
	for (int i = 0; i < group->count; i++) {
		group->pools[i] = bench_pool(group->connections, ping);
		bench_fill(group->pools[i], group->connections);
	}
}

static void close_group(struct group *group)
{
	for (int i = 0; i < group->count; i++)
		tine_pool_free(group->pools[i]);
	free(group->pools);
	free(group->conns);
}

static void take_all(struct group *group, const char *key)
{
	struct bench_samples samples = { 0 };
	int all = group->count * group->connections;

	for (int i = 0; i < all; i++) {
		int64_t began_ns = bench_now_ns();

		group->conns[i] = bench_acquire(group->pools[i / group->connections]);
		bench_samples_add(&samples, bench_now_ns() - began_ns);
	}
	for (int i = 0; i < all; i++)
		tine_conn_release(group->conns[i]);
	bench_print(key, (double)bench_samples_quantile(&samples, 0.5));
	bench_samples_free(&samples);
}

static PGconn **connect_all(int count)
{
	PGconn **connections = calloc((size_t)count, sizeof(PGconn *));

	if (!connections)
		bench_die("out of memory");
	for (int i = 0; i < count; i++)
		connections[i] = bench_connect();
	return connections;
}

static void peek_at_all(PGconn **connections, int count)
{
	struct bench_samples samples = { 0 };
	char byte;

	for (int i = 0; i < count; i++) {
		int fd = PQsocket(connections[i]);
		int64_t began_ns = bench_now_ns();

		if (recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0)
			bench_die("an idle connection is readable");
		bench_samples_add(&samples, bench_now_ns() - began_ns);
	}
	bench_print("peek", (double)bench_samples_quantile(&samples, 0.5));
	bench_samples_free(&samples);
}

static void finish_all(PGconn **connections, int count)
{
	for (int i = 0; i < count; i++)
		PQfinish(connections[i]);
	free(connections);
}

int main(int argc, char **argv)
{
	struct group seen = { 0 }, pinged;
	PGconn **bare;
	int rounds, all;

	if (argc != 4)
		bench_die("usage: idle POOLS CONNECTIONS ROUNDS");
	seen.count = bench_number(argv[1], 1);
	seen.connections = bench_number(argv[2], 1);
	rounds = bench_number(argv[3], 1);
	all = seen.count * seen.connections;
	pinged = seen;
	open_group(&seen, TINE_PING_AUTO);
	open_group(&pinged, TINE_PING_ALWAYS);
	bare = connect_all(all);
	for (int i = 0; i < rounds; i++) {
		bench_sleep_ns(ASLEEP_NS);
		take_all(&seen, "cold");
		peek_at_all(bare, all);
		take_all(&seen, "unseen");
		bench_spin_ns(AWAKE_NS);
		take_all(&seen, "seen");
		take_all(&pinged, "ping");
	}
	close_group(&seen);
	close_group(&pinged);
	finish_all(bare, all);
	return 0;
}
