/* SPDX-License-Identifier: PostgreSQL */
/* The pool of the test program: made and in use in the master when it forks. */
#include "crew.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static tine_pool *pool;
static tine_conn *masters;

static int use_in_master(const tine_hook_event *hook, void *user_data)
{
	char line[128];

	(void)hook;
	(void)user_data;
	if (tine_pool_acquire(pool, -1, &masters, NULL) < 0)
		return 1;
	snprintf(line, sizeof(line), "pool=master pid=%d backend=%d\n", (int)getpid(),
		 PQbackendPID(tine_conn_pg(masters)));
	crew_trace(line);
	return 0;
}

/* The first thing of the program in a worker: what did the pool leave for it? */
static int look_in_worker(const tine_hook_event *hook, void *user_data)
{
	tine_pool_stats stats;
	char line[128];

	(void)hook;
	(void)user_data;
	tine_pool_status(pool, &stats);
	snprintf(line, sizeof(line), "pool=worker pid=%d open=%d handle=%s\n", (int)getpid(),
		 stats.open, tine_conn_pg(masters) ? "usable" : "forked");
	crew_trace(line);
	return 0;
}

static int see_master_alive(const tine_hook_event *hook, void *user_data)
{
	PGresult *result = PQexec(tine_conn_pg(masters), "select 1");
	char line[128];

	(void)hook;
	(void)user_data;
	snprintf(line, sizeof(line), "pool=end pid=%d backend=%d ok=%d\n", (int)getpid(),
		 PQbackendPID(tine_conn_pg(masters)), PQresultStatus(result) == PGRES_TUPLES_OK);
	crew_trace(line);
	PQclear(result);
	return 0;
}

void crew_pool_begin(tine_master *master)
{
	tine_pool_config config;
	tine_error error;

	if (!getenv("CREW_POOL"))
		return;
	tine_pool_config_init(&config);
	if (tine_pool_config_env(&config, &error) < 0)
		abort();
	config.conninfo = getenv("CREW_POOL");
	pool = tine_pool_new(&config, &error);
	if (!pool || tine_master_on(master, TINE_HOOK_MASTER_INIT, use_in_master, NULL) < 0 ||
	    tine_master_on(master, TINE_HOOK_AFTER_FORK, look_in_worker, NULL) < 0 ||
	    tine_master_on(master, TINE_HOOK_MASTER_EXIT, see_master_alive, NULL) < 0)
		abort();
}

void crew_pool_end(void)
{
	tine_conn_release(masters);
	tine_pool_free(pool);
}

void crew_pool_query(int fd)
{
	tine_conn *conn;

	if (tine_pool_acquire(pool, -1, &conn, NULL) < 0) {
		dprintf(fd, "no connection\n");
		return;
	}
	PQclear(PQexec(tine_conn_pg(conn), "begin"));
	dprintf(fd, "backend %d\n", PQbackendPID(tine_conn_pg(conn)));
	PQclear(PQexec(tine_conn_pg(conn), "select pg_sleep(0.3)"));
	PQclear(PQexec(tine_conn_pg(conn), "commit"));
	tine_conn_release(conn);
}
