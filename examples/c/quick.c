/* SPDX-License-Identifier: PostgreSQL */
/*
 * A pool, a query over TLS, and every failure told.
 *
 *	cc quick.c -o quick $(pkg-config --cflags --libs tine)
 *	DATABASE_URL=postgresql://app:secret@db.example.org/app ./quick
 */
#include <stdio.h>

#include <libpq-fe.h>
#include <tine/tine.h>

#define QUERY                                                                                      \
	"select current_user, coalesce(version, 'no TLS') from pg_stat_ssl "                       \
	"where pid = pg_backend_pid()"

static int ask(tine_pool *pool)
{
	tine_error error;
	tine_conn *conn;
	PGresult *result;
	int failed;

	if (tine_pool_acquire(pool, -1, &conn, &error) < 0) {
		fprintf(stderr, "%s: %s\n", tine_status_name(error.status), error.text);
		return 1;
	}
	result = PQexec(tine_conn_pg(conn), QUERY);
	failed = PQresultStatus(result) != PGRES_TUPLES_OK;
	if (failed)
		fprintf(stderr, "%s", PQerrorMessage(tine_conn_pg(conn)));
	else
		printf("user %s, %s\n", PQgetvalue(result, 0, 0), PQgetvalue(result, 0, 1));
	PQclear(result);
	tine_conn_release(conn);
	return failed;
}

int main(void)
{
	tine_pool_config config;
	tine_error error;
	tine_pool *pool = NULL;
	int failed;

	tine_pool_config_init(&config);
	if (tine_pool_config_env(&config, &error) == 0) /* DATABASE_URL, TINE_POOL_SIZE ... */
		pool = tine_pool_new(&config, &error);  /* connects nothing yet */
	if (!pool) {
		fprintf(stderr, "%s\n", error.text);
		return 1;
	}
	failed = ask(pool);
	tine_pool_free(pool);
	return failed;
}
