/* SPDX-License-Identifier: PostgreSQL */
/*
 * A server of the prefork kind: the master makes the pool, uses it, and forks its workers while it
 * is in a transaction. Nothing is said to the pool about the fork. Each process has connections of
 * its own, as the numbers of the server's processes show.
 *
 *	cc prefork.c -o prefork $(pkg-config --cflags --libs tine)
 *	DATABASE_URL=postgresql://app:secret@db.example.org/app ./prefork
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libpq-fe.h>
#include <tine/tine.h>

#define WORKERS 3

static tine_pool *make_pool(void)
{
	tine_pool_config config;
	tine_error error;
	tine_pool *pool = NULL;

	tine_pool_config_init(&config);
	if (tine_pool_config_env(&config, &error) == 0)
		pool = tine_pool_new(&config, &error);
	if (!pool)
		fprintf(stderr, "%s\n", error.text);
	return pool;
}

static tine_conn *take(tine_pool *pool)
{
	tine_error error;
	tine_conn *conn;

	if (tine_pool_acquire(pool, -1, &conn, &error) == 0)
		return conn;
	fprintf(stderr, "%s: %s\n", tine_status_name(error.status), error.text);
	return NULL;
}

static int run(tine_conn *conn, const char *sql)
{
	PGresult *result = PQexec(tine_conn_pg(conn), sql);
	ExecStatusType status = PQresultStatus(result);
	int failed = status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK;

	if (failed)
		fprintf(stderr, "%s", PQerrorMessage(tine_conn_pg(conn)));
	PQclear(result);
	return failed;
}

static void tell(const char *who, tine_conn *conn)
{
	printf("%s: process %d has server process %d\n", who, (int)getpid(),
	       PQbackendPID(tine_conn_pg(conn)));
}

/* In the child. The pool is empty here; the handle is the master's, and stays so. */
static int work(tine_pool *pool, tine_conn *masters)
{
	int failed = tine_conn_pg(masters) != NULL;
	tine_conn *conn;

	for (int i = 0; i < 2 && !failed; i++) {
		conn = take(pool);
		if (!conn)
			return 1;
		tell("worker", conn);
		failed = run(conn, "select 1");
		tine_conn_release(conn);
	}
	/* Frees this process's copy; the master's session does not notice. */
	if (tine_conn_release(masters) != TINE_E_FORKED)
		failed = 1;
	tine_pool_free(pool);
	return failed;
}

static int start_workers(tine_pool *pool, tine_conn *masters)
{
	for (int i = 0; i < WORKERS; i++) {
		switch (fork()) {
		case -1:
			perror("fork");
			return 1;
		case 0:
			exit(work(pool, masters));
		default:
			break;
		}
	}
	return 0;
}

static int wait_for_workers(void)
{
	int status, failed = 0;

	while (wait(&status) > 0)
		failed |= !WIFEXITED(status) || WEXITSTATUS(status) != 0;
	return failed;
}

static int serve(tine_pool *pool)
{
	tine_conn *conn = take(pool);
	int failed;

	if (!conn)
		return 1;
	tell("master", conn);
	failed = run(conn, "begin") || start_workers(pool, conn);
	failed |= wait_for_workers();
	/* Still the same session, and in the same transaction. */
	failed = failed || run(conn, "commit");
	tell("master", conn);
	tine_conn_release(conn);
	return failed;
}

int main(void)
{
	tine_pool *pool;
	int failed;

	setvbuf(stdout, NULL, _IOLBF, 0); /* so that no worker inherits half a line */
	pool = make_pool();
	if (!pool)
		return 1;
	failed = serve(pool);
	tine_pool_free(pool);
	return failed;
}
