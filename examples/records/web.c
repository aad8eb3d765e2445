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
#include <sched.h>
#include <stdio.h>

#include "http.h"
#include "service.h"

#define ACCEPTS_AT_ONCE 2
#define STAND_BACK_MS 2
#define LOOK_MS 1000
#define NS_PER_MS INT64_C(1000000)

struct loop {
	struct http *http;
	struct service *service;
	tine_worker *worker;
	int64_t back_until_ns; /* others may accept until then */
	bool stood_back;       /* and if they did not, it is for us */
	int64_t next_look_ns;
};

static void accept_some(struct loop *loop)
{
	for (int i = 0; i < ACCEPTS_AT_ONCE; i++) {
		int fd = tine_worker_accept(loop->worker, 0, NULL);

		if (fd < 0)
			return;
		http_add(loop->http, fd);
	}
}

/* Something may be there to accept, or nothing is any more. */
static void mind_the_door(struct loop *loop, bool something, int64_t now_ns)
{
	const struct crowd *crowd = &loop->service->crowd;

	if (something && !loop->stood_back &&
	    crowd_others_have_fewer(crowd, tine_worker_number(loop->worker),
				    http_connections(loop->http))) {
		loop->stood_back = true;
		loop->back_until_ns = now_ns + STAND_BACK_MS * NS_PER_MS;
		return;
	}
	loop->stood_back = false;
	if (something)
		accept_some(loop);
}

/* @return is there something to accept, or could be? */
static bool wait_for_work(struct loop *loop, bool accepts, bool stands_back)
{
	int wait_ms = loop->next_look_ns || http_connections(loop->http) > 0 ? LOOK_MS : -1;
	int fd = accepts ? tine_worker_accept_fd(loop->worker) : tine_worker_stop_fd(loop->worker);

	if (stands_back)
		wait_ms = STAND_BACK_MS;
	return http_wait(loop->http, tine_worker_stopping(loop->worker) ? -1 : fd, wait_ms);
}

static void turn(struct loop *loop)
{
	int64_t now_ns = clock_ns();
	bool stands_back = now_ns < loop->back_until_ns;
	bool accepts =
		!tine_worker_stopping(loop->worker) && !stands_back && !http_is_full(loop->http);
	int busy_ms = queue_hurry(&loop->service->queue, now_ns);
	bool something = true;

	if (busy_ms >= 0)
		http_wait_for_answers(loop->http, busy_ms);
	else
		something = wait_for_work(loop, accepts, stands_back);
	if (accepts)
		mind_the_door(loop, something, now_ns);
	http_run(loop->http);
}

static void serve(struct loop *loop)
{
	struct service *service = loop->service;
	int number = tine_worker_number(loop->worker);

	while (!tine_worker_stopping(loop->worker)) {
		crowd_tell(&service->crowd, number, http_connections(loop->http));
		turn(loop);
		if (loop->next_look_ns && clock_ns() >= loop->next_look_ns) {
			tine_web_look(service->web);
			loop->next_look_ns = clock_ns() + LOOK_MS * NS_PER_MS;
		}
	}
	crowd_leave(&service->crowd, number);
	http_drain(loop->http);
	while (http_connections(loop->http) > 0)
		turn(loop);
}

/* One of the workers looks for all of them, so that the plots have a past when somebody comes. */
static int serve_clients(struct service *service, tine_worker *worker)
{
	bool looks = service->web && tine_worker_number(worker) == 0;
	struct loop loop = {
		.http = http_new(service, worker),
		.service = service,
		.worker = worker,
		.next_look_ns = looks ? 1 : 0,
	};

	if (!loop.http) {
		fprintf(stderr, "records: no memory or descriptor for a loop\n");
		queue_close(&service->queue);
		return 1;
	}
	serve(&loop);
	queue_close(&service->queue);
	http_free(loop.http);
	return 0;
}

/* Who wakes a handler is a server that has sent its answer and is about to wait itself, or the loop
 * in the middle of reading for others. To interrupt either of them costs more than a page; so a
 * handler waits until they have ended or the next tick comes. Where that is not allowed, it works
 * all the same. */
static void wait_for_ones_turn(void)
{
	const struct sched_param none = { 0 };

	if (sched_getscheduler(0) == SCHED_OTHER)
		sched_setscheduler(0, SCHED_BATCH, &none);
}

static int handlers(struct service *service)
{
	struct exchange *exchange;
	struct queue_seat seat;

	wait_for_ones_turn();
	queue_seat_init(&service->queue, &seat);
	while ((exchange = queue_take(&service->queue, &seat)) != NULL)
		http_answer(exchange);
	return 0;
}

int web_serve(tine_worker *worker, int thread, void *service)
{
	return thread == 0 ? serve_clients(service, worker) : handlers(service);
}
