/* SPDX-License-Identifier: PostgreSQL */
/*
 * One thread, one epoll loop: it waits for a connection, then for a query, and never stands still.
 * A timer that ticks all the while shows it. The pool has one connection, which is held at first,
 * so that there is something to wait for.
 *
 *	cc epoll.c -o epoll $(pkg-config --cflags --libs tine)
 *	DATABASE_URL=postgresql://app:secret@db.example.org/app ./epoll
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <libpq-fe.h>
#include <tine/tine.h>

#define TICK_MS 20
#define HOLD_TICKS 5

struct loop {
	int epoll_fd, timer_fd;
	int ticks;
	tine_pool *pool;
	tine_conn *held;       /* until HOLD_TICKS have passed */
	tine_acquire *acquire; /* while waiting for a connection */
	tine_conn *conn;       /* while waiting for an answer */
	bool answered;
};

static void fail(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s\n", what, why);
	exit(1);
}

static void watch(const struct loop *loop, int how, int fd, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.fd = fd };

	if (epoll_ctl(loop->epoll_fd, how, fd, &event) < 0) {
		perror("epoll_ctl");
		exit(1);
	}
}

/* What libpq could not send at once goes out when the socket takes it. */
static void flush(const struct loop *loop, PGconn *pg, int how)
{
	int unsent = PQflush(pg);

	if (unsent < 0)
		fail("sending", PQerrorMessage(pg));
	watch(loop, how, PQsocket(pg), unsent ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static void send_query(struct loop *loop, tine_conn *conn)
{
	PGconn *pg = tine_conn_pg(conn);

	printf("tick %d: got a connection\n", loop->ticks);
	loop->conn = conn;
	if (PQsetnonblocking(pg, 1) < 0 || !PQsendQuery(pg, "select 42 from pg_sleep(0.2)"))
		fail("sending", PQerrorMessage(pg));
	flush(loop, pg, EPOLL_CTL_ADD);
}

/* The acquire's descriptor is readable: let it do what there is to do. */
static void on_acquire(struct loop *loop)
{
	tine_error error;
	tine_conn *conn;
	int rc = tine_acquire_poll(loop->acquire, &conn, &error);

	if (rc == TINE_PENDING)
		return;
	if (rc < 0)
		fail(tine_status_name(rc), error.text);
	watch(loop, EPOLL_CTL_DEL, tine_acquire_fd(loop->acquire), 0);
	tine_acquire_cancel(loop->acquire); /* frees it; the connection is ours */
	loop->acquire = NULL;
	send_query(loop, conn);
}

static void on_answer(struct loop *loop)
{
	PGconn *pg = tine_conn_pg(loop->conn);
	PGresult *result;

	if (!PQconsumeInput(pg))
		fail("receiving", PQerrorMessage(pg));
	flush(loop, pg, EPOLL_CTL_MOD);
	while (!PQisBusy(pg)) {
		result = PQgetResult(pg);
		if (!result) {
			watch(loop, EPOLL_CTL_DEL, PQsocket(pg), 0);
			tine_conn_release(loop->conn); /* also ends non-blocking mode */
			loop->conn = NULL;
			loop->answered = true;
			return;
		}
		if (PQresultStatus(result) != PGRES_TUPLES_OK)
			fail("query", PQresultErrorMessage(result));
		printf("tick %d: the answer is %s\n", loop->ticks, PQgetvalue(result, 0, 0));
		PQclear(result);
	}
}

static void on_tick(struct loop *loop)
{
	uint64_t expirations;

	if (read(loop->timer_fd, &expirations, sizeof(expirations)) < 0) {
		perror("read");
		exit(1);
	}
	if (++loop->ticks == HOLD_TICKS) {
		printf("tick %d: the connection goes back to the pool\n", loop->ticks);
		tine_conn_release(loop->held);
	}
}

static void run(struct loop *loop)
{
	struct epoll_event events[8];

	while (!loop->answered) {
		int count = epoll_wait(loop->epoll_fd, events, 8, -1);

		if (count < 0 && errno != EINTR) {
			perror("epoll_wait");
			exit(1);
		}
		for (int i = 0; i < count; i++) {
			if (events[i].data.fd == loop->timer_fd)
				on_tick(loop);
			else if (loop->acquire)
				on_acquire(loop);
			else
				on_answer(loop);
		}
	}
}

static void make_pool(struct loop *loop)
{
	tine_pool_config config;
	tine_error error;

	tine_pool_config_init(&config);
	if (tine_pool_config_env(&config, &error) < 0)
		fail("environment", error.text);
	config.pool_size = 1;
	config.max_overflow = 0;
	loop->pool = tine_pool_new(&config, &error);
	if (!loop->pool)
		fail("pool", error.text);
	if (tine_pool_acquire(loop->pool, -1, &loop->held, &error) < 0)
		fail(tine_status_name(error.status), error.text);
}

static void start(struct loop *loop)
{
	struct itimerspec tick = { .it_interval.tv_nsec = TICK_MS * 1000000L,
				   .it_value.tv_nsec = TICK_MS * 1000000L };
	tine_error error;

	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	loop->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	if (loop->epoll_fd < 0 || loop->timer_fd < 0 ||
	    timerfd_settime(loop->timer_fd, 0, &tick, NULL) < 0) {
		perror("start");
		exit(1);
	}
	watch(loop, EPOLL_CTL_ADD, loop->timer_fd, EPOLLIN);
	if (tine_pool_acquire_start(loop->pool, -1, &loop->acquire, &error) < 0)
		fail(tine_status_name(error.status), error.text);
	watch(loop, EPOLL_CTL_ADD, tine_acquire_fd(loop->acquire), EPOLLIN);
}

int main(void)
{
	struct loop loop = { 0 };

	make_pool(&loop);
	start(&loop);
	run(&loop);
	printf("tick %d: done\n", loop.ticks);
	tine_pool_free(loop.pool);
	close(loop.timer_fd);
	close(loop.epoll_fd);
	return 0;
}
