/* SPDX-License-Identifier: PostgreSQL */
/*
 * A whole service to begin with: a supervisor, a pool, one page.
 *	cc minimal.c -o minimal $(pkg-config --cflags --libs tine)
 *	DATABASE_URL=postgresql://app:secret@db.example.org/app TINE_LISTEN=:8000 ./minimal
 *
 * Dead or hanging workers and lost connections are replaced; TLS is required on TCP; HUP reloads.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <libpq-fe.h>
#include <tine/tine.h>

static void answer(int client, const char *status, const char *body)
{
	char text[1024];
	int length =
		snprintf(text, sizeof(text),
			 "HTTP/1.0 %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n%s",
			 status, strlen(body), body);

	send(client, text, (size_t)length, MSG_NOSIGNAL);
}

static void page(tine_pool *pool, int client)
{
	TINE_SCOPE(scope, pool, TINE_SCOPE_REQUEST, "GET /"); /* rolled back on every way out */
	tine_error error;
	PGconn *pg = tine_scope_conn(scope, &error);
	PGresult *result = pg ? PQexec(pg, "select 'hello from ' || current_user || e'\\n'") : NULL;

	if (result && PQntuples(result) == 1 && tine_scope_commit(scope, &error) == 0)
		answer(client, "200 OK", PQgetvalue(result, 0, 0));
	else
		answer(client, "503 Service Unavailable", "no database at the moment\n");
	PQclear(result);
}

static int serve(tine_worker *worker, int thread, void *pool)
{
	const struct timeval patience = { .tv_sec = 5 }; /* with a client that says nothing */
	char request[4096];
	int client;

	(void)thread;
	while ((client = tine_worker_accept(worker, -1, NULL)) != TINE_E_CLOSED) {
		tine_unit *unit = tine_unit_begin(worker, "GET /", NULL);

		setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
		if (unit && recv(client, request, sizeof(request), 0) > 0)
			page(pool, client);
		close(client);
		tine_unit_end(unit);
	}
	return 0;
}

int main(void)
{
	tine_pool_config database;
	tine_master *master = NULL;
	tine_pool *pool = NULL;
	tine_error error = { 0 };

	tine_pool_config_init(&database);
	if (tine_pool_config_env(&database, &error) == 0)
		pool = tine_pool_new(&database, &error); /* connects nothing yet */
	if (pool)
		master = tine_master_new(NULL, &error); /* settings by the environment */
	if (master && tine_master_add(master, "web", serve, pool, NULL, &error) == 0)
		tine_master_run(master, &error);
	if (error.status < 0)
		fprintf(stderr, "%s\n", error.text);
	tine_master_free(master);
	tine_pool_free(pool);
	return error.status < 0;
}
