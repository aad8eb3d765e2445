/* SPDX-License-Identifier: PostgreSQL */
/*
 * The worker's process, from its fork to its end. Its first thread looks after signals, the master
 * and time; the kind's function runs in others. All hooks of the worker but those of units run in
 * the first thread.
 *
 * The end of the master is seen in two ways: the channel's other end is closed, and the kernel
 * sends a signal (PR_SET_PDEATHSIG). The first asks for an orderly end. The second is SIGKILL while
 * a hook runs, since a hook that hangs would then have nobody to end it, and SIGTERM else. An
 * orphan that takes longer than graceful_timeout_ms is killed by a timer of its own.
 *
 * Locks: the gate, before threads begin. Fork: this is the child; what the program forks from here
 * is the program's.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "prefork/master.h"
#include "prefork/signals.h"

struct thread_start {
	struct tine_worker *worker;
	int number;
	pthread_t thread;
	pthread_mutex_t *gate;
};

/* ---- hooks ---------------------------------------------------------------------------------- */

static bool is_orphan(const struct tine_worker *worker)
{
	return getppid() != worker->own.master_pid;
}

/* The setting is lost when the process changes its user, so it is made again each time. */
static void die_with_master(const struct tine_worker *worker, int number)
{
	prctl(PR_SET_PDEATHSIG, number);
	if (number == SIGKILL && is_orphan(worker))
		_exit(TINE_EXIT_FAILED);
}

/* An orphan has its timer. The kernel's signal may come after the end of the channel, in the midst
 * of the hooks of an orderly end. */
static int call(struct tine_worker *worker, struct tine_hook_event *hook)
{
	int rc;

	hook->worker = worker;
	if (!worker->own.orphan)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	rc = tine_hook_call(worker->master, hook);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	return rc;
}

static int call_plain(struct tine_worker *worker, enum tine_hook_kind kind)
{
	struct tine_hook_event hook = { .kind = kind };

	return call(worker, &hook);
}

/* ---- the end -------------------------------------------------------------------------------- */

static int ending_of(const struct tine_worker *worker)
{
	if (worker->own.orphan || is_orphan(worker))
		return TINE_END_ORPHAN;
	return atomic_load(&worker->heart->ending);
}

static void call_exit(struct tine_worker *worker)
{
	struct tine_hook_event hook = {
		.kind = TINE_HOOK_WORKER_EXIT,
		.ending = ending_of(worker),
		.units = atomic_load(&worker->own.units_done),
	};

	/* From here on it may take graceful_timeout_ms, also when nobody asked it to end. */
	tine_child_say(worker, TINE_SAYS_LEAVING);
	call(worker, &hook);
}

/* Not exit(): what the master registered with atexit() is the master's to do. */
_Noreturn static void leave(struct tine_worker *worker, int status)
{
	call_exit(worker);
	fflush(NULL);
	_exit(status);
}

/* Threads are at work, and may hold the locks of stdio. */
_Noreturn static void leave_now(struct tine_worker *worker)
{
	call_exit(worker);
	_exit(0);
}

_Noreturn static void leave_by_abort(struct tine_worker *worker)
{
	call_plain(worker, TINE_HOOK_WORKER_ABORT);
	signal(SIGABRT, SIG_DFL);
	raise(SIGABRT);
	_exit(TINE_EXIT_FAILED);
}

/* Nothing but this will end an orphan that hangs. */
static void kill_later(int ms)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL };
	struct itimerspec when = {
		.it_value = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * TINE_NS_PER_MS },
	};
	timer_t timer;

	if (timer_create(CLOCK_MONOTONIC, &event, &timer) < 0 ||
	    timer_settime(timer, 0, &when, NULL) < 0)
		_exit(TINE_EXIT_FAILED);
}

void tine_child_say(struct tine_worker *worker, char what)
{
	send(worker->own.channel, &what, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void tine_child_stop(struct tine_worker *worker)
{
	uint64_t one = 1;
	ssize_t written;

	if (atomic_exchange(&worker->own.stopping, true))
		return;
	tine_child_say(worker, TINE_SAYS_LEAVING);
	written = write(worker->own.stop_fd, &one, sizeof(one));
	(void)written;
}

/* ---- threads -------------------------------------------------------------------------------- */

static void *run_thread(void *arg)
{
	const struct thread_start *start = arg;
	struct tine_worker *worker = start->worker;

	pthread_mutex_lock(start->gate);
	pthread_mutex_unlock(start->gate);
	if (worker->kind->fn(worker, start->number, worker->kind->user_data) != 0) {
		atomic_store(&worker->own.status, TINE_EXIT_FAILED);
		tine_child_stop(worker);
	}
	atomic_fetch_sub(&worker->own.threads_left, 1);
	tine_signals_wake();
	return NULL;
}

/* They begin when the gate is opened: none may do something before the worker counts as ready. */
static int start_threads(struct tine_worker *worker, struct thread_start *starts,
			 pthread_mutex_t *gate)
{
	int count = worker->config.threads;

	atomic_store(&worker->own.threads_left, count);
	for (int i = 0; i < count; i++) {
		int rc;

		starts[i] = (struct thread_start){ .worker = worker, .number = i, .gate = gate };
		rc = pthread_create(&starts[i].thread, NULL, run_thread, &starts[i]);
		if (rc != 0) {
			tine_master_say(worker->master, worker, "cannot start thread %d of %d: %s",
					i + 1, count, strerrordesc_np(rc));
			return -rc;
		}
	}
	return 0;
}

static void join_threads(const struct tine_worker *worker, struct thread_start *starts)
{
	for (int i = 0; i < worker->config.threads; i++)
		pthread_join(starts[i].thread, NULL);
}

/* ---- what comes in -------------------------------------------------------------------------- */

static void tell_late(struct tine_worker *worker)
{
	int64_t now_ns = tine_clock_ns();

	for (int i = 0; i < worker->unit_count; i++) {
		struct tine_unit *unit = &worker->own.units[i];
		uint32_t serial = atomic_load(&unit->watch->serial);
		struct tine_hook_event hook = { .kind = TINE_HOOK_WORKER_TIMEOUT };
		char name[TINE_UNIT_NAME_BYTES];

		if (!tine_watch_is_late(unit->watch, now_ns) || unit->told == serial)
			continue;
		unit->told = serial;
		tine_watch_name(unit->watch, name);
		hook.doing = name;
		hook.time_us = tine_watch_time_us(unit->watch, now_ns);
		tine_master_say(worker->master, worker, "'%s' is late: %.1f s", name,
				(double)hook.time_us / 1e6);
		call(worker, &hook);
	}
}

static void obey(struct tine_worker *worker, uint64_t signals)
{
	if (tine_signals_has(signals, SIGABRT))
		leave_by_abort(worker);
	if (tine_signals_has(signals, SIGINT) || tine_signals_has(signals, SIGQUIT))
		leave_now(worker);
	if (tine_signals_has(signals, SIGTERM))
		tine_child_stop(worker);
	if (tine_signals_has(signals, SIGUSR1))
		call_plain(worker, TINE_HOOK_REOPEN_LOGS);
	if (tine_signals_has(signals, SIGUSR2))
		tell_late(worker);
}

static void become_orphan(struct tine_worker *worker)
{
	tine_master_say(worker->master, worker, "the master is gone");
	worker->own.orphan = true;
	close(worker->own.channel);
	worker->own.channel = -1;
	kill_later(worker->config.graceful_timeout_ms);
	tine_child_stop(worker);
}

/* Until all threads have returned. */
static void look_after(struct tine_worker *worker)
{
	while (atomic_load(&worker->own.threads_left) > 0) {
		struct pollfd fds[] = {
			{ .fd = tine_signals_fd(), .events = POLLIN },
			{ .fd = worker->own.channel, .events = POLLIN },
		};

		poll(fds, 2, -1);
		obey(worker, tine_signals_take());
		if (worker->own.channel >= 0 && (fds[1].revents || is_orphan(worker)))
			become_orphan(worker);
	}
}

/* ---- the beginning -------------------------------------------------------------------------- */

/* What is the master's, and what it has of other workers. */
static void leave_master(struct tine_worker *worker)
{
	struct tine_master *master = worker->master;

	for (int k = 0; k < master->kind_count; k++)
		for (int i = 0; i < master->kinds[k].count; i++) {
			struct tine_worker *other = master->kinds[k].workers[i];

			if (other->channel >= 0)
				close(other->channel);
			other->channel = -1;
			if (other == worker)
				continue;
			tine_heart_free(other->heart, other->unit_count);
			other->heart = NULL;
		}
	if (!worker->config.accepts)
		tine_listeners_close(&master->listeners, false);
}

static int open_accept(struct tine_worker *worker)
{
	const struct tine_listeners *listeners = &worker->master->listeners;
	struct epoll_event event = { .events = EPOLLIN, .data.fd = worker->own.stop_fd };

	worker->own.accept_fd = epoll_create1(EPOLL_CLOEXEC);
	if (worker->own.accept_fd < 0 ||
	    epoll_ctl(worker->own.accept_fd, EPOLL_CTL_ADD, worker->own.stop_fd, &event) < 0)
		return -errno;
	/* Not EPOLLEXCLUSIVE: a connection whose one woken process dies before it accepts would
	 * wait for the next connection to wake another. */
	for (int i = 0; i < listeners->count; i++) {
		event.data.fd = listeners->items[i].fd;
		if (epoll_ctl(worker->own.accept_fd, EPOLL_CTL_ADD, event.data.fd, &event) < 0)
			return -errno;
	}
	return 0;
}

static int make_own(struct tine_worker *worker)
{
	struct tine_worker_own *own = &worker->own;

	own->accept_fd = -1;
	own->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	own->units = calloc((size_t)worker->unit_count, sizeof(*own->units));
	if (own->stop_fd < 0 || !own->units)
		return -errno;
	for (int i = 0; i < worker->unit_count; i++) {
		own->units[i].worker = worker;
		own->units[i].watch = &worker->heart->watches[i];
	}
	return worker->master->listeners.count > 0 ? open_accept(worker) : 0;
}

/* The first step that fails decides. */
static const char *boot(struct tine_worker *worker)
{
	struct tine_hook_event ready = { .kind = TINE_HOOK_WORKER_READY };

	if (make_own(worker) < 0)
		return "no descriptor or memory left";
	if (call_plain(worker, TINE_HOOK_AFTER_FORK) != 0)
		return "refused by after_fork";
	if (!worker->master->config.preload_app && call_plain(worker, TINE_HOOK_LOAD) != 0)
		return "refused by load";
	ready.time_us = (uint64_t)(tine_clock_ns() - worker->forked_ns) / TINE_NS_PER_US;
	if (call(worker, &ready) != 0)
		return "refused by worker_ready";
	return NULL;
}

_Noreturn void tine_child(struct tine_worker *worker, int channel, const sigset_t *mask,
			  pid_t master_pid)
{
	pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
	struct thread_start *starts;
	const char *failed;

	worker->own.master_pid = master_pid;
	die_with_master(worker, SIGKILL);
	leave_master(worker);
	worker->own.channel = channel;
	if (tine_signals_become_worker() < 0)
		_exit(TINE_EXIT_BOOT);
	pthread_sigmask(SIG_SETMASK, mask, NULL);
	failed = boot(worker);
	starts = failed ? NULL : calloc((size_t)worker->config.threads, sizeof(*starts));
	pthread_mutex_lock(&gate);
	if (!starts || start_threads(worker, starts, &gate) < 0) {
		tine_master_say(worker->master, worker, "%s", failed ?: "no memory or thread left");
		_exit(TINE_EXIT_BOOT);
	}
	tine_child_say(worker, TINE_SAYS_READY);
	pthread_mutex_unlock(&gate);
	look_after(worker);
	join_threads(worker, starts);
	leave(worker, atomic_load(&worker->own.status));
}
