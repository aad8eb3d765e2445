/* SPDX-License-Identifier: PostgreSQL */
/*
 * libuv: six requests in one loop share two connections. A request waits for a connection through a
 * uv_poll_t on tine_acquire_fd(), then for its answer through another one on PQsocket().
 *
 *	cc uv.c -o uv $(pkg-config --cflags --libs tine libuv)
 *	DATABASE_URL=postgresql://app:secret@db.example.org/app ./uv
 */
#include <stdio.h>
#include <stdlib.h>

#include <libpq-fe.h>
#include <tine/tine.h>
#include <uv.h>

#define REQUESTS 6
#define TICK_MS 20

struct request {
	int number;
	uv_poll_t poll; /* of the acquire, then of the connection's socket */
	tine_acquire *acquire;
	tine_conn *conn;
};

static struct {
	uv_loop_t *loop;
	uv_timer_t timer;
	int ticks, left;
} program;

static void fail(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s\n", what, why);
	exit(1);
}

static void must(const char *what, int rc)
{
	if (rc < 0)
		fail(what, uv_strerror(rc));
}

static void watch(struct request *request, int fd, uv_poll_cb on_ready)
{
	must("uv_poll_init", uv_poll_init(program.loop, &request->poll, fd));
	request->poll.data = request;
	must("uv_poll_start", uv_poll_start(&request->poll, UV_READABLE, on_ready));
}

static void finished(uv_handle_t *handle)
{
	(void)handle;
	if (--program.left == 0)
		uv_close((uv_handle_t *)&program.timer, NULL);
}

/* The connection may go back as soon as the loop does not watch it any more. */
static void done(struct request *request)
{
	uv_close((uv_handle_t *)&request->poll, finished);
	tine_conn_release(request->conn);
}

static void on_answer(uv_poll_t *poll, int status, int events)
{
	struct request *request = poll->data;
	PGconn *pg = tine_conn_pg(request->conn);
	PGresult *result;

	(void)events;
	must("poll", status);
	if (!PQconsumeInput(pg))
		fail("receiving", PQerrorMessage(pg));
	while (!PQisBusy(pg)) {
		result = PQgetResult(pg);
		if (!result) {
			done(request);
			return;
		}
		if (PQresultStatus(result) != PGRES_TUPLES_OK)
			fail("query", PQresultErrorMessage(result));
		printf("request %d: answered by server process %s\n", request->number,
		       PQgetvalue(result, 0, 0));
		PQclear(result);
	}
}

/* The acquire's descriptor is closed, and the socket can be watched with the same handle. A query
 * of a few bytes is sent whole at once; for long ones see PQsetnonblocking() in epoll.c. */
static void on_unwatched(uv_handle_t *handle)
{
	struct request *request = handle->data;
	PGconn *pg = tine_conn_pg(request->conn);

	tine_acquire_cancel(request->acquire);
	if (!PQsendQuery(pg, "select pg_backend_pid() from pg_sleep(0.1)"))
		fail("sending", PQerrorMessage(pg));
	watch(request, PQsocket(pg), on_answer);
}

static void on_acquire(uv_poll_t *poll, int status, int events)
{
	struct request *request = poll->data;
	tine_error error;
	int rc;

	(void)events;
	must("poll", status);
	rc = tine_acquire_poll(request->acquire, &request->conn, &error);
	if (rc == TINE_PENDING)
		return;
	if (rc < 0)
		fail(tine_status_name(rc), error.text);
	uv_close((uv_handle_t *)poll, on_unwatched);
}

static void on_tick(uv_timer_t *timer)
{
	(void)timer;
	program.ticks++;
}

static tine_pool *make_pool(void)
{
	tine_pool_config config;
	tine_error error;
	tine_pool *pool;

	tine_pool_config_init(&config);
	if (tine_pool_config_env(&config, &error) < 0)
		fail("environment", error.text);
	config.pool_size = 2;
	config.max_overflow = 0;
	pool = tine_pool_new(&config, &error);
	if (!pool)
		fail("pool", error.text);
	return pool;
}

static void start(tine_pool *pool, struct request *request)
{
	tine_error error;

	if (tine_pool_acquire_start(pool, -1, &request->acquire, &error) < 0)
		fail(tine_status_name(error.status), error.text);
	watch(request, tine_acquire_fd(request->acquire), on_acquire);
	program.left++;
}

int main(void)
{
	struct request requests[REQUESTS] = { 0 };
	tine_pool *pool = make_pool();

	program.loop = uv_default_loop();
	must("uv_timer_init", uv_timer_init(program.loop, &program.timer));
	must("uv_timer_start", uv_timer_start(&program.timer, on_tick, TICK_MS, TICK_MS));
	for (int i = 0; i < REQUESTS; i++) {
		requests[i].number = i + 1;
		start(pool, &requests[i]);
	}
	must("uv_run", uv_run(program.loop, UV_RUN_DEFAULT));
	printf("the loop ticked %d times\n", program.ticks);
	must("uv_loop_close", uv_loop_close(program.loop));
	tine_pool_free(pool);
	return 0;
}
