/* SPDX-License-Identifier: PostgreSQL */
/*
 * Acquire without waiting: the machine of step.c, and one descriptor that becomes readable when it
 * has something to do. The descriptor is an epoll instance, which can be watched like any other;
 * in it are the connection's socket, an event descriptor for news from other threads, and a timer.
 *
 * Fork: the child shares the parent's epoll instance, so it only closes its copy.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "pool/acquire.h"
#include "pool/error.h"
#include "pool/fork.h"
#include "pool/slot.h"

static bool add(const struct tine_acquire *acquire, int fd)
{
	struct epoll_event event = { .events = EPOLLIN };

	return epoll_ctl(acquire->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

static bool open_descriptors(struct tine_acquire *acquire)
{
	acquire->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	acquire->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	return acquire->epoll_fd >= 0 && acquire->timer_fd >= 0 &&
	       tine_acquire_open_event(acquire) && add(acquire, acquire->timer_fd) &&
	       add(acquire, atomic_load(&acquire->event_fd)) &&
	       /* So that the caller's first wait ends at once. */
	       eventfd_write(atomic_load(&acquire->event_fd), 1) == 0;
}

static void close_one(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void destroy(struct tine_acquire *acquire)
{
	close_one(acquire->epoll_fd);
	close_one(acquire->timer_fd);
	close_one(atomic_load(&acquire->event_fd));
	free(acquire);
}

int tine_pool_acquire_start(tine_pool *pool, int wait_ms, tine_acquire **ret_acquire,
			    tine_error *error)
{
	const void *site = __builtin_return_address(0);
	struct tine_acquire *acquire;
	int saved_errno;

	if (!pool || !ret_acquire)
		return tine_error_set(error, TINE_E_INVALID, "tine_pool_acquire_start: %s is NULL",
				      pool ? "ret_acquire" : "pool");
	acquire = malloc(sizeof(*acquire));
	if (!acquire)
		return tine_error_set(error, TINE_E_NOMEM, "no memory for an acquire");
	tine_pool_enter(pool);
	tine_acquire_init(acquire, pool, wait_ms, site);
	if (open_descriptors(acquire)) {
		/* The pool's memory stays until this is freed, also when it is never polled. */
		tine_pool_lock(pool);
		pool->calls++;
		tine_pool_unlock(pool);
		acquire->counted = true;
		*ret_acquire = acquire;
		return 0;
	}
	saved_errno = errno;
	destroy(acquire);
	return tine_error_set_errno(error, TINE_E_SYSTEM, saved_errno,
				    "no descriptors for an acquire");
}

/* A number that was closed and opened again is a new entry; one that is still open an old one. */
static void watch(struct tine_acquire *acquire, int fd, short events)
{
	struct epoll_event event = { .events = (uint32_t)events };

	if (acquire->watched_fd >= 0 && acquire->watched_fd != fd)
		epoll_ctl(acquire->epoll_fd, EPOLL_CTL_DEL, acquire->watched_fd, NULL);
	acquire->watched_fd = fd;
	if (fd >= 0 && epoll_ctl(acquire->epoll_fd, EPOLL_CTL_MOD, fd, &event) < 0)
		epoll_ctl(acquire->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static void arm(struct tine_acquire *acquire)
{
	struct itimerspec when = {
		.it_value = { acquire->wake_ns / TINE_NS_PER_S, acquire->wake_ns % TINE_NS_PER_S },
	};

	timerfd_settime(acquire->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

static void quiet(const struct tine_acquire *acquire)
{
	eventfd_t unused;
	uint64_t expirations;

	eventfd_read(atomic_load(&acquire->event_fd), &unused);
	if (read(acquire->timer_fd, &expirations, sizeof(expirations)) < 0)
		return; /* it had not run out */
}

/* poll()'s events and epoll's are the same bits. */
_Static_assert(EPOLLIN == 0x001 && EPOLLOUT == 0x004, "as POLLIN and POLLOUT");

static int poll_once(struct tine_acquire *acquire, tine_conn **ret_conn, tine_error *error)
{
	tine_conn *conn;

	quiet(acquire);
	switch (tine_acquire_step(acquire, &conn)) {
	case TINE_STEP_DONE:
		watch(acquire, -1, 0);
		*ret_conn = conn;
		return 0;
	case TINE_STEP_FAILED:
		watch(acquire, -1, 0);
		return tine_error_copy(error, &acquire->error);
	default:
		if (acquire->slot)
			watch(acquire, acquire->slot->fd, acquire->slot->work.events);
		else
			watch(acquire, -1, 0);
		arm(acquire);
		/* What was told between the step and here is still to be heard. */
		return TINE_PENDING;
	}
}

int tine_acquire_poll(tine_acquire *acquire, tine_conn **ret_conn, tine_error *error)
{
	int cancel_state, rc;

	if (!acquire || !ret_conn)
		return tine_error_set(error, TINE_E_INVALID, "tine_acquire_poll: %s is NULL",
				      acquire ? "ret_conn" : "acquire");
	if (tine_acquire_is_foreign(acquire) || acquire->over) {
		if (acquire->error.status)
			return tine_error_copy(error, &acquire->error);
		return tine_error_set(error, TINE_E_STALE,
				      "this acquire has given its connection already");
	}
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
	rc = poll_once(acquire, ret_conn, error);
	pthread_setcancelstate(cancel_state, NULL);
	return rc;
}

int tine_acquire_fd(const tine_acquire *acquire)
{
	return acquire && !tine_origin_changed() &&
			       atomic_load(&acquire->pool->generation) == acquire->generation
		       ? acquire->epoll_fd
		       : -1;
}

void tine_acquire_cancel(tine_acquire *acquire)
{
	int cancel_state;

	if (!acquire)
		return;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
	if (!tine_acquire_is_foreign(acquire))
		watch(acquire, -1, 0);
	tine_acquire_end(acquire);
	pthread_setcancelstate(cancel_state, NULL);
	destroy(acquire);
}
