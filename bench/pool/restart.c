/* SPDX-License-Identifier: PostgreSQL */
/*
 * The server has ended every idle connection, and as many threads want one at once. Usage:
 *
 *	restart CONNECTIONS ROUNDS
 *
 * Prints for each round "tine", the time until all have a living one; "bare", the same by as many
 * threads that call PQconnectdb(); "connect", one connect alone; and "opened", how many the pool
 * has opened in the round. BENCH_CONTROL is the way to the server on which nothing is slow.
 */
#include <poll.h>
#include <stdlib.h>

#include "harness.h"

#define DEADLINE_MS 20000

/* Idle for longer than this, a connection is looked at before it is handed out. */
#define IDLE_NS (600 * BENCH_NS_PER_MS)

struct scene {
	int connections;
	tine_pool *pool;
	tine_conn **conns;
	PGconn **bare;
	struct pollfd *sockets; /* of the idle connections */
};

static void take(int number, void *arg)
{
	struct scene *scene = arg;

	scene->conns[number] = bench_acquire(scene->pool);
}

static void connect_bare(int number, void *arg)
{
	struct scene *scene = arg;

	scene->bare[number] = bench_connect();
}

static void open_scene(struct scene *scene, int connections)
{
	scene->connections = connections;
	scene->conns = calloc((size_t)connections, sizeof(tine_conn *));
	scene->bare = calloc((size_t)connections, sizeof(PGconn *));
	scene->sockets = calloc((size_t)connections, sizeof(struct pollfd));
	if (!scene->conns || !scene->bare || !scene->sockets)
		bench_die("out of memory");
	scene->pool = bench_pool(connections, TINE_PING_AUTO);
	bench_fill(scene->pool, connections);
	bench_run(connections, take, scene, 0);
}

/* Every connection has to be alive. */
static void give_back(struct scene *scene)
{
	for (int i = 0; i < scene->connections; i++) {
		PGconn *pg = tine_conn_pg(scene->conns[i]);

		bench_exec(pg, "");
		scene->sockets[i] = (struct pollfd){ .fd = PQsocket(pg), .events = POLLIN };
	}
	for (int i = 0; i < scene->connections; i++)
		tine_conn_release(scene->conns[i]);
}

/* Until the news has arrived at every socket. */
static void end_sessions(const struct scene *scene)
{
	PGconn *control = PQconnectdb(bench_env("BENCH_CONTROL"));

	if (PQstatus(control) != CONNECTION_OK)
		bench_die("cannot connect: %s", PQerrorMessage(control));
	bench_exec(control, "select pg_terminate_backend(pid) from pg_stat_activity"
			    " where usename = current_user and pid <> pg_backend_pid()");
	PQfinish(control);
	for (int i = 0; i < scene->connections; i++)
		if (poll(&scene->sockets[i], 1, DEADLINE_MS) != 1)
			bench_die("the server did not end a session within %d ms", DEADLINE_MS);
}

static void measure_bare(struct scene *scene)
{
	int64_t began_ns = bench_now_ns();

	PQfinish(bench_connect());
	bench_print("connect", (double)(bench_now_ns() - began_ns));
	bench_print("bare", (double)bench_run(scene->connections, connect_bare, scene, 0));
	for (int i = 0; i < scene->connections; i++)
		PQfinish(scene->bare[i]);
}

static void measure_pool(struct scene *scene)
{
	uint64_t opened;

	give_back(scene);
	bench_sleep_ns(IDLE_NS);
	end_sessions(scene);
	opened = bench_status(scene->pool).opened;
	bench_print("tine", (double)bench_run(scene->connections, take, scene, 0));
	bench_print("opened", (double)(bench_status(scene->pool).opened - opened));
}

int main(int argc, char **argv)
{
	struct scene scene;

	if (argc != 3)
		bench_die("usage: restart CONNECTIONS ROUNDS");
	open_scene(&scene, bench_number(argv[1], 1));
	for (int rounds = bench_number(argv[2], 1); rounds > 0; rounds--) {
		measure_bare(&scene);
		measure_pool(&scene);
	}
	give_back(&scene);
	tine_pool_free(scene.pool);
	return 0;
}
