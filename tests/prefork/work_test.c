/* SPDX-License-Identifier: PostgreSQL */
/* Units, accept and wait on a worker that was put together by hand: no process, no master. */
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "prefork/master.h"
#include "support/check.h"

#define UNITS 4
#define THREADS 8
#define ROUNDS 2000

static struct tine_master master;
static struct tine_kind kind = { .name = "web" };
static struct tine_worker worker = { .master = &master, .kind = &kind, .name = "web/0" };
static struct tine_unit units[UNITS];
static int said; /* the master's end of the channel */
static tine_error error;
static _Atomic int under_way, most, refused;

static void make(uint64_t limit)
{
	int ends[2];

	CHECK_INT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends), ==, 0);
	said = ends[0];
	worker.unit_count = UNITS;
	worker.config.unit_timeout_ms = 1000;
	worker.heart = tine_heart_new(UNITS);
	worker.own.channel = ends[1];
	worker.own.stop_fd = eventfd(0, EFD_NONBLOCK);
	worker.own.accept_fd = -1;
	worker.own.units = units;
	worker.own.units_limit = limit;
	for (int i = 0; i < UNITS; i++) {
		units[i].worker = &worker;
		units[i].watch = &worker.heart->watches[i];
	}
}

/* @return what the worker said to the master, 0 when nothing */
static char hear(void)
{
	char what = 0;

	return recv(said, &what, 1, MSG_DONTWAIT) == 1 ? what : 0;
}

TEST(a_unit_has_a_place_a_name_and_a_deadline)
{
	char name[TINE_UNIT_NAME_BYTES];
	int64_t before = tine_clock_coarse_ns(), deadline;
	tine_unit *unit;

	make(0);
	unit = tine_unit_begin(&worker, "GET /", &error);
	CHECK(unit == &units[0]);
	tine_watch_name(unit->watch, name);
	CHECK_STR(name, "GET /");
	deadline = unit->watch->deadline_ns;
	CHECK_INT(deadline, >=, before + 1000LL * TINE_NS_PER_MS);
	CHECK_INT(deadline, <=, tine_clock_ns() + 1000LL * TINE_NS_PER_MS);
	tine_unit_extend(unit, 5000);
	CHECK_INT(unit->watch->deadline_ns, >=, before + 5000LL * TINE_NS_PER_MS);
	tine_unit_extend(unit, 0);
	CHECK_INT(unit->watch->deadline_ns, ==, 0);
	tine_unit_extend(unit, -1);
	CHECK_INT(unit->watch->deadline_ns, >=, deadline);
	tine_unit_end(unit);
	CHECK(!tine_heart_longest(worker.heart, UNITS));
	CHECK_INT(worker.heart->units_done, ==, 1);
	tine_unit_end(NULL);
}

TEST(the_limit_is_told_once)
{
	make(3);
	for (int i = 1; i <= 5; i++) {
		tine_unit_end(tine_unit_begin(&worker, "x", &error));
		CHECK_INT(hear(), ==, i == 3 ? TINE_SAYS_UNITS : 0);
	}
}

static void *begin_and_end(void *arg)
{
	(void)arg;
	for (int i = 0; i < ROUNDS; i++) {
		tine_unit *unit = tine_unit_begin(&worker, "x", NULL);
		int now, seen = atomic_load(&most);

		if (!unit) {
			atomic_fetch_add(&refused, 1);
			continue;
		}
		now = atomic_fetch_add(&under_way, 1) + 1;
		while (now > seen && !atomic_compare_exchange_weak(&most, &seen, now))
			continue;
		atomic_fetch_sub(&under_way, 1);
		tine_unit_end(unit);
	}
	return NULL;
}

TEST(threads_never_share_a_place)
{
	pthread_t threads[THREADS];

	make(0);
	for (int i = 0; i < THREADS; i++)
		CHECK_INT(pthread_create(&threads[i], NULL, begin_and_end, NULL), ==, 0);
	for (int i = 0; i < THREADS; i++)
		CHECK_INT(pthread_join(threads[i], NULL), ==, 0);
	CHECK_INT(most, <=, UNITS);
	CHECK_INT(worker.own.units_done + (uint64_t)refused, ==, THREADS * ROUNDS);
	for (int i = 0; i < UNITS; i++)
		CHECK(!units[i].taken);
}

TEST(more_than_there_is_room_for)
{
	tine_unit *held[UNITS];

	make(0);
	for (int i = 0; i < UNITS; i++)
		held[i] = tine_unit_begin(&worker, "x", &error);
	CHECK(!tine_unit_begin(&worker, "x", &error));
	CHECK_INT(error.status, ==, TINE_E_QUEUE_FULL);
	CHECK_CONTAINS(error.text, "4 units of work are under way");
	tine_unit_end(held[2]);
	CHECK(tine_unit_begin(&worker, "x", &error) == held[2]);
}

TEST(wait_ends_when_the_worker_is_to_stop)
{
	make(0);
	CHECK_INT(tine_worker_wait(&worker, 0), ==, TINE_E_TIMEOUT);
	CHECK_INT(tine_worker_wait(&worker, 10), ==, TINE_E_TIMEOUT);
	CHECK_INT(tine_worker_accept(&worker, 0, &error), ==, TINE_E_INVALID);
	CHECK_CONTAINS(error.text, "the kind 'web' have no socket");
	CHECK_INT(tine_worker_accept_fd(&worker), ==, -1);
	tine_child_stop(&worker);
	tine_child_stop(&worker);
	CHECK(tine_worker_stopping(&worker));
	CHECK_INT(tine_worker_wait(&worker, -1), ==, TINE_E_CLOSED);
	CHECK_INT(hear(), ==, TINE_SAYS_LEAVING);
	CHECK_INT(hear(), ==, 0);
}

static void *accept_until_closed(void *arg)
{
	(void)arg;
	return tine_worker_accept(&worker, -1, NULL) == TINE_E_CLOSED ? &worker : NULL;
}

TEST(all_threads_that_accept_hear_of_the_end)
{
	struct epoll_event event = { .events = EPOLLIN };
	struct pollfd waiting = { .events = POLLIN };
	pthread_t threads[THREADS];
	void *closed;

	make(0);
	event.data.fd = worker.own.stop_fd;
	worker.own.accept_fd = epoll_create1(0);
	CHECK_INT(epoll_ctl(worker.own.accept_fd, EPOLL_CTL_ADD, worker.own.stop_fd, &event), ==,
		  0);
	CHECK_INT(tine_worker_accept(&worker, 10, &error), ==, TINE_E_TIMEOUT);
	for (int i = 0; i < THREADS; i++)
		CHECK_INT(pthread_create(&threads[i], NULL, accept_until_closed, NULL), ==, 0);
	waiting.fd = tine_worker_accept_fd(&worker);
	CHECK_INT(poll(&waiting, 1, 0), ==, 0);
	tine_child_stop(&worker);
	CHECK_INT(poll(&waiting, 1, 0), ==, 1);
	for (int i = 0; i < THREADS; i++) {
		CHECK_INT(pthread_join(threads[i], &closed), ==, 0);
		CHECK(closed == &worker);
	}
}

CHECK_TABLE(T(a_unit_has_a_place_a_name_and_a_deadline), T(the_limit_is_told_once),
	    T(threads_never_share_a_place), T(more_than_there_is_room_for),
	    T(wait_ends_when_the_worker_is_to_stop), T(all_threads_that_accept_hear_of_the_end))
