/* SPDX-License-Identifier: PostgreSQL */
/*
 * A web worker: its first thread is the loop, which accepts, reads and sends for all connections;
 * the others are handlers, which wait for the database. So an idle connection costs no thread, and
 * what needs no database is answered while all handlers wait for one.
 *
 * The end of a worker: the loop stops accepting (what comes stays in the socket's queue, for
 * another worker), lets each connection have its answer, and returns when none is left; then the
 * queue is closed, and the handlers return.
 */
#include <stdio.h>

#include "http.h"
#include "service.h"

#define ACCEPTS_AT_ONCE 16
#define LOOK_MS 1000

static void accept_some(struct http *http, tine_worker *worker)
{
	for (int i = 0; i < ACCEPTS_AT_ONCE; i++) {
		int fd = tine_worker_accept(worker, 0, NULL);

		if (fd < 0)
			return;
		http_add(http, fd);
	}
}

/* @param look_ms how long it may wait, -1 = no matter how long */
static void turn(struct http *http, tine_worker *worker, int look_ms)
{
	bool stopping = tine_worker_stopping(worker);
	bool accepts = !stopping && !http_is_full(http);
	int fd = accepts ? tine_worker_accept_fd(worker) : tine_worker_stop_fd(worker);

	if (http_connections(http) > 0)
		look_ms = LOOK_MS;
	if (http_wait(http, stopping ? -1 : fd, look_ms) && accepts)
		accept_some(http, worker);
	http_run(http);
}

/* One of the workers looks for all of them, so that the plots have a past when somebody comes. */
static int loop(struct service *service, tine_worker *worker)
{
	int64_t next_look_ns = 0;
	bool looks = service->web && tine_worker_number(worker) == 0;
	struct http *http = http_new(service, worker);

	if (!http) {
		fprintf(stderr, "records: no memory or descriptor for a loop\n");
		queue_close(&service->queue);
		return 1;
	}
	while (!tine_worker_stopping(worker)) {
		turn(http, worker, looks ? LOOK_MS : -1);
		if (looks && clock_ns() >= next_look_ns) {
			tine_web_look(service->web);
			next_look_ns = clock_ns() + LOOK_MS * INT64_C(1000000);
		}
	}
	http_drain(http);
	while (http_connections(http) > 0)
		turn(http, worker, -1);
	queue_close(&service->queue);
	http_free(http);
	return 0;
}

static int handlers(struct service *service)
{
	struct exchange *exchange;
	struct queue_seat seat;

	queue_seat_init(&seat);
	while ((exchange = queue_take(&service->queue, &seat)) != NULL)
		http_answer(exchange);
	return 0;
}

int web_serve(tine_worker *worker, int thread, void *service)
{
	return thread == 0 ? loop(service, worker) : handlers(service);
}
