/* SPDX-License-Identifier: PostgreSQL */
/*
 * A program that is linked with libtine and has a connection of its own too. It forks with both
 * open, and its child uses its own. CONNINFO says where the server is.
 */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <tine/tine.h>
#include <unistd.h>

int main(void)
{
	tine_pool_config config;
	tine_error error;
	tine_pool *pool;
	tine_conn *handle;
	PGconn *own = PQconnectdb(getenv("CONNINFO"));
	int status = 1;

	tine_pool_config_init(&config);
	config.conninfo = getenv("CONNINFO");
	pool = tine_pool_new(&config, &error);
	if (!pool || tine_pool_acquire(pool, -1, &handle, &error) < 0) {
		fprintf(stderr, "%s\n", error.text);
		return 1;
	}
	if (fork() == 0)
		_exit(PQresultStatus(PQexec(own, "select 1")) != PGRES_TUPLES_OK);
	wait(&status);
	tine_conn_release(handle);
	tine_pool_free(pool);
	PQfinish(own);
	return status;
}
