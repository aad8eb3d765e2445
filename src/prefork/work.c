/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the program calls in a worker.
 *
 * Locks: none; a unit's place is taken by compare-and-swap, and belongs then to who took it. Fork:
 * a process that the program forks from a worker must not call these.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "pool/error.h"
#include "prefork/master.h"

/* How long an accept waits when there is no descriptor for the connection. */
#define FULL_MS 100

const char *tine_worker_name(const tine_worker *worker)
{
	return worker->name;
}

int tine_worker_number(const tine_worker *worker)
{
	return worker->number;
}

int tine_worker_generation(const tine_worker *worker)
{
	return worker->generation;
}

bool tine_worker_stopping(const tine_worker *worker)
{
	return atomic_load(&worker->own.stopping);
}

int tine_worker_stop_fd(const tine_worker *worker)
{
	return worker->own.stop_fd;
}

static int64_t deadline_of(int wait_ms)
{
	return wait_ms < 0 ? TINE_NEVER_NS : tine_clock_ns() + (int64_t)wait_ms * TINE_NS_PER_MS;
}

int tine_worker_wait(tine_worker *worker, int wait_ms)
{
	int64_t deadline_ns = deadline_of(wait_ms);
	struct pollfd fd = { .fd = worker->own.stop_fd, .events = POLLIN };

	while (!tine_worker_stopping(worker)) {
		int64_t now_ns = tine_clock_ns();

		if (now_ns >= deadline_ns)
			return TINE_E_TIMEOUT;
		poll(&fd, 1, tine_clock_poll_ms(deadline_ns, now_ns));
	}
	return TINE_E_CLOSED;
}

/* ---- accept --------------------------------------------------------------------------------- */

/* @return a descriptor; -EAGAIN when another thread was quicker; -errno */
static int try_accept(const struct tine_worker *worker, int wait_ms)
{
	struct epoll_event event;
	int fd, count = epoll_wait(worker->own.accept_fd, &event, 1, wait_ms);

	if (count <= 0 || event.data.fd == worker->own.stop_fd)
		return -EAGAIN;
	fd = accept4(event.data.fd, NULL, NULL, SOCK_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int tine_worker_accept_fd(const tine_worker *worker)
{
	return worker->own.accept_fd;
}

static bool is_passing(int os_errno)
{
	return os_errno == EAGAIN || os_errno == EINTR || os_errno == ECONNABORTED ||
	       os_errno == EPROTO || os_errno == EPERM;
}

int tine_worker_accept(tine_worker *worker, int wait_ms, tine_error *error)
{
	int64_t deadline_ns = deadline_of(wait_ms);

	if (worker->own.accept_fd < 0)
		return tine_error_set(error, TINE_E_INVALID,
				      "workers of the kind '%s' have no socket to accept from",
				      worker->kind->name);
	while (!tine_worker_stopping(worker)) {
		int64_t now_ns = tine_clock_ns();
		int fd = try_accept(worker, tine_clock_poll_ms(deadline_ns, now_ns));

		if (fd >= 0)
			return fd;
		if (!is_passing(-fd)) {
			tine_worker_wait(worker, FULL_MS);
			return tine_error_set_errno(error, TINE_E_SYSTEM, -fd, "accept");
		}
		if (tine_clock_ns() >= deadline_ns)
			return tine_error_set(error, TINE_E_TIMEOUT, "no connection came");
	}
	return tine_error_set(error, TINE_E_CLOSED, "the worker is to end");
}

/* ---- units ---------------------------------------------------------------------------------- */

static int64_t unit_deadline(const struct tine_worker *worker, int wait_ms, int64_t now_ns)
{
	int ms = wait_ms < 0 ? worker->config.unit_timeout_ms : wait_ms;

	return ms == 0 ? 0 : now_ns + (int64_t)ms * TINE_NS_PER_MS;
}

static struct tine_unit *take_place(struct tine_worker *worker)
{
	for (int i = 0; i < worker->unit_count; i++) {
		struct tine_unit *unit = &worker->own.units[i];
		bool taken = false;

		if (!atomic_load_explicit(&unit->taken, memory_order_relaxed) &&
		    atomic_compare_exchange_strong(&unit->taken, &taken, true))
			return unit;
	}
	return NULL;
}

static int call_hook(struct tine_unit *unit, enum tine_hook_kind kind, int64_t now_ns)
{
	char name[TINE_UNIT_NAME_BYTES];
	struct tine_hook_event hook = {
		.kind = kind,
		.worker = unit->worker,
		.doing = name,
		.time_us = tine_watch_time_us(unit->watch, now_ns),
	};

	if (!unit->worker->master->hooks[kind][0].fn)
		return 0;
	tine_watch_name(unit->watch, name);
	return tine_hook_call(unit->worker->master, &hook);
}

static void give_back(struct tine_unit *unit)
{
	tine_watch_end(unit->watch);
	atomic_store(&unit->taken, false);
}

tine_unit *tine_unit_begin(tine_worker *worker, const char *name, tine_error *error)
{
	struct tine_unit *unit = take_place(worker);
	int64_t now_ns = tine_clock_coarse_ns();

	if (!unit) {
		tine_error_set(error, TINE_E_QUEUE_FULL,
			       "%d units of work are under way, and 'units' allows no more",
			       worker->unit_count);
		return NULL;
	}
	tine_watch_begin(unit->watch, name, now_ns, unit_deadline(worker, -1, now_ns));
	if (call_hook(unit, TINE_HOOK_BEFORE_UNIT, now_ns) != 0) {
		give_back(unit);
		tine_error_set(error, TINE_E_REFUSED, "the hook before_unit refused");
		return NULL;
	}
	return unit;
}

void tine_unit_extend(tine_unit *unit, int wait_ms)
{
	tine_watch_extend(unit->watch,
			  unit_deadline(unit->worker, wait_ms, tine_clock_coarse_ns()));
}

void tine_unit_end(tine_unit *unit)
{
	struct tine_worker *worker;
	uint64_t done;

	if (!unit)
		return;
	worker = unit->worker;
	call_hook(unit, TINE_HOOK_AFTER_UNIT, tine_clock_ns());
	give_back(unit);
	done = atomic_fetch_add(&worker->own.units_done, 1) + 1;
	atomic_store(&worker->heart->units_done, done);
	if (done == worker->own.units_limit)
		tine_child_say(worker, TINE_SAYS_UNITS);
}
