/* SPDX-License-Identifier: PostgreSQL */
/* libzdb. Its functions throw; what nobody catches goes to the abort handler. */
#include "peer.h"

#include <stdio.h>
#include <zdb.h>

#include "harness.h"

static void failed(const char *error)
{
	bench_die("libzdb: %s", error);
}

static void *open_pool(int connections, int most)
{
	URL_T url = URL_new(bench_env("BENCH_ZDB_URL"));
	ConnectionPool_T pool = url ? ConnectionPool_new(url) : NULL;

	if (!pool)
		bench_die("libzdb does not take BENCH_ZDB_URL");
	ConnectionPool_setAbortHandler(pool, failed);
	ConnectionPool_setInitialConnections(pool, connections);
	ConnectionPool_setMaxConnections(pool, most);
	ConnectionPool_start(pool);
	return pool;
}

static void cycle(void *pool, long cycles)
{
	while (cycles-- > 0) {
		Connection_T conn = ConnectionPool_getConnection(pool);

		if (!conn)
			bench_die("libzdb has no connection");
		Connection_close(conn);
	}
}

static void query(void *pool, const char *sql)
{
	Connection_T conn = ConnectionPool_getConnection(pool);

	if (!conn)
		bench_die("libzdb has no connection");
	Connection_executeQuery(conn, "%s", sql);
	Connection_close(conn);
}

static int count(void *pool)
{
	return ConnectionPool_size(pool);
}

const struct peer peer_zdb = {
	.name = "libzdb",
	.open = open_pool,
	.cycle = cycle,
	.query = query,
	.count = count,
};
