/* SPDX-License-Identifier: PostgreSQL */
#include "case.h"

tine_pool *new_pool(int kind, int pool_size, int max_overflow)
{
	tine_pool_config config;
	tine_error error;
	tine_pool *pool;

	tine_pool_config_init(&config);
	if (tine_pool_config_env(&config, &error) < 0)
		check_fail(__FILE__, __LINE__, "%s", error.text);
	config.kind = kind;
	config.pool_size = pool_size;
	config.max_overflow = max_overflow;
	pool = tine_pool_new(&config, &error);
	if (!pool)
		check_fail(__FILE__, __LINE__, "%s", error.text);
	return pool;
}

tine_conn *take(tine_pool *pool)
{
	tine_error error;
	tine_conn *conn;

	if (tine_pool_acquire(pool, -1, &conn, &error) < 0)
		check_fail(__FILE__, __LINE__, "%s: %s", tine_status_name(error.status),
			   error.text);
	return conn;
}

bool answers(PGconn *pg)
{
	static _Atomic int counter;
	int nonce = getpid() * 1000 + counter++ % 1000;
	char query[64];
	PGresult *result;
	bool good;

	snprintf(query, sizeof(query), "select %d", nonce);
	result = PQexec(pg, query);
	good = PQresultStatus(result) == PGRES_TUPLES_OK;
	if (good)
		CHECK_INT(atoi(PQgetvalue(result, 0, 0)), ==, nonce);
	else if (PQstatus(pg) == CONNECTION_OK)
		check_fail(__FILE__, __LINE__, "not an answer: %s '%s' %s",
			   PQresStatus(PQresultStatus(result)), PQcmdStatus(result),
			   PQerrorMessage(pg));
	PQclear(result);
	return good;
}

void use(tine_pool *pool)
{
	tine_conn *conn = take(pool);

	if (!answers(tine_conn_pg(conn)))
		check_fail(__FILE__, __LINE__, "%s", PQerrorMessage(tine_conn_pg(conn)));
	CHECK_INT(tine_conn_release(conn), ==, 0);
}

long long number(PGconn *pg, const char *query)
{
	PGresult *result = PQexec(pg, query);
	long long value;

	if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1)
		check_fail(__FILE__, __LINE__, "%s: %s", query, PQerrorMessage(pg));
	value = atoll(PQgetvalue(result, 0, 0));
	PQclear(result);
	return value;
}

void execute(PGconn *pg, const char *statement)
{
	PGresult *result = PQexec(pg, statement);

	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		check_fail(__FILE__, __LINE__, "%s: %s", statement, PQerrorMessage(pg));
	PQclear(result);
}

static void *crew_member(void *arg)
{
	struct crew *crew = arg;

	while (!atomic_load(&crew->stop)) {
		crew->work(crew->pool);
		atomic_fetch_add(&crew->rounds, 1);
	}
	return NULL;
}

void crew_start(struct crew *crew, tine_pool *pool, int size, void (*work)(tine_pool *pool))
{
	crew->pool = pool;
	crew->work = work;
	crew->size = size;
	crew->stop = false;
	crew->rounds = 0;
	for (int i = 0; i < size; i++)
		CHECK(pthread_create(&crew->thread[i], NULL, crew_member, crew) == 0);
}

void crew_stop(struct crew *crew)
{
	atomic_store(&crew->stop, true);
	for (int i = 0; i < crew->size; i++)
		CHECK(pthread_join(crew->thread[i], NULL) == 0);
}

CHECK_TABLE(T(fork_while_busy), T(fork_while_connecting), T(fork_without_handlers),
	    T(exit_of_a_child), T(spawn_in_traffic), T(signal_storm), T(broken_pipe),
	    T(cancelled_while_waiting), T(cancelled_while_holding), T(cancelled_while_sending),
	    T(cancelled_in_a_scope), T(cancelled_in_transact), T(cancelled_in_back_off),
	    T(ended_while_holding), T(leaks_are_told), T(ended_in_transact), T(clock_jumps),
	    T(suspend))
