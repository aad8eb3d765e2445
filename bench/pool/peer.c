/* SPDX-License-Identifier: PostgreSQL */
#include "peer.h"

#include <string.h>

#include "harness.h"

static void *open_pool(int connections, int most)
{
	tine_pool *pool = bench_pool(most, TINE_PING_AUTO);

	bench_fill(pool, connections);
	return pool;
}

static void cycle(void *pool, long cycles)
{
	tine_conn *conn;

	while (cycles-- > 0) {
		if (tine_pool_acquire(pool, -1, &conn, NULL) < 0 || !tine_conn_pg(conn))
			bench_die("tine_pool_acquire failed");
		tine_conn_release(conn);
	}
}

/* Nobody asked for the PGconn, so nobody can have changed anything on it. */
static void cycle_unused(void *pool, long cycles)
{
	tine_conn *conn;

	while (cycles-- > 0) {
		if (tine_pool_acquire(pool, -1, &conn, NULL) < 0)
			bench_die("tine_pool_acquire failed");
		tine_conn_release(conn);
	}
}

static void query(void *pool, const char *sql)
{
	tine_conn *conn = bench_acquire(pool);

	bench_exec(tine_conn_pg(conn), sql);
	tine_conn_release(conn);
}

static int count(void *pool)
{
	return bench_status(pool).open;
}

static const struct peer tine = {
	.name = "tine", .open = open_pool, .cycle = cycle, .query = query, .count = count
};

static const struct peer tine_unused = { .name = "tine-unused",
					 .open = open_pool,
					 .cycle = cycle_unused,
					 .query = query,
					 .count = count };

static const struct peer *const peers[] = {
	&tine,
	&tine_unused,
#ifdef HAVE_ZDB
	&peer_zdb,
#endif
};

const struct peer *peer_find(const char *name)
{
	for (size_t i = 0; i < sizeof(peers) / sizeof(peers[0]); i++)
		if (strcmp(name, peers[i]->name) == 0)
			return peers[i];
	bench_die("'%s' was not built", name);
}
