/* SPDX-License-Identifier: PostgreSQL */
/*
 * One scope for each request: a connection when it is first needed, a transaction around all of it,
 * a rollback on every way out but the one that commits.
 *
 *	cc request.c -o request $(pkg-config --cflags --libs tine)
 *	DATABASE_URL=postgresql://app:secret@db.example.org/app ./request
 *
 * Makes the table tine_example_lots, and removes it.
 */
#include <stdio.h>
#include <stdlib.h>

#include <libpq-fe.h>
#include <tine/tine.h>

static int run(PGconn *pg, const char *sql, int count, const char *const *values)
{
	PGresult *result = PQexecParams(pg, sql, count, NULL, values, NULL, NULL, 0);
	int failed = PQresultStatus(result) != PGRES_COMMAND_OK;

	if (failed)
		fprintf(stderr, "    %s", PQerrorMessage(pg));
	PQclear(result);
	return failed;
}

/* The HTTP status of "put a lot up for sale". There is one return for each thing that can go wrong,
 * and none of them has to remember the connection. */
static int post_lot(tine_pool *pool, const char *name, const char *price)
{
	TINE_SCOPE(scope, pool, TINE_SCOPE_REQUEST, "POST /lots");
	const char *values[] = { name, price };
	tine_error error;
	PGconn *pg;

	if (!*name)
		return 400; /* the pool was not asked for anything */
	pg = tine_scope_conn(scope, &error);
	if (!pg) {
		fprintf(stderr, "    %s: %s\n", tine_status_name(error.status), error.text);
		return 503;
	}
	if (run(pg, "insert into tine_example_lots values ($1, $2)", 2, values) != 0)
		return 409;
	if (atoi(price) < 10)
		return 422; /* the row is in the table, and leaves it now */
	if (tine_scope_commit(scope, &error) < 0) {
		fprintf(stderr, "    %s: %s\n", tine_status_name(error.status), error.text);
		return 500;
	}
	return 201;
}

/* A script is a unit of work as well. */
static int change_schema(tine_pool *pool, const char *sql)
{
	TINE_SCOPE(scope, pool, TINE_SCOPE_SCRIPT, "schema");
	tine_error error;
	PGconn *pg = tine_scope_conn(scope, &error);

	if (pg && run(pg, sql, 0, NULL) == 0 && tine_scope_commit(scope, &error) == 0)
		return 0;
	if (!pg)
		fprintf(stderr, "%s: %s\n", tine_status_name(error.status), error.text);
	return 1;
}

static int count_lots(tine_pool *pool)
{
	TINE_SCOPE(scope, pool, TINE_SCOPE_REQUEST, "GET /lots");
	PGconn *pg = tine_scope_conn(scope, NULL);
	PGresult *result = pg ? PQexec(pg, "select count(*) from tine_example_lots") : NULL;
	int count = PQresultStatus(result) == PGRES_TUPLES_OK ? atoi(PQgetvalue(result, 0, 0)) : -1;

	PQclear(result);
	return count;
}

static int serve(tine_pool *pool)
{
	static const struct {
		const char *name, *price;
	} requests[] = { { "chair", "120" }, { "", "15" }, { "chair", "80" }, { "nail", "1" } };
	tine_pool_stats stats;

	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
		printf("POST /lots '%s' at %s: %d\n", requests[i].name, requests[i].price,
		       post_lot(pool, requests[i].name, requests[i].price));
	printf("lots: %d\n", count_lots(pool));
	if (tine_pool_status(pool, &stats) < 0)
		return 1;
	printf("connections opened: %d, in use: %d\n", (int)stats.opened, stats.busy);
	return 0;
}

int main(void)
{
	tine_pool_config config;
	tine_error error;
	tine_pool *pool = NULL;
	int failed;

	tine_pool_config_init(&config);
	if (tine_pool_config_env(&config, &error) == 0)
		pool = tine_pool_new(&config, &error);
	if (!pool) {
		fprintf(stderr, "%s\n", error.text);
		return 1;
	}
	failed = change_schema(pool, "create table tine_example_lots "
				     "(name text primary key, price integer not null)");
	if (!failed) {
		failed = serve(pool);
		failed |= change_schema(pool, "drop table tine_example_lots");
	}
	tine_pool_free(pool);
	return failed;
}
