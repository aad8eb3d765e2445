/* SPDX-License-Identifier: PostgreSQL */
/*
 * The thread of tine_bounded_call(). It cannot be ended from outside without leaving locks of libc
 * taken, so it is left behind, and ends with the process; which then ends without taking down what
 * the thread may be using (OpenSSL's tables, for one).
 *
 * Owns a struct call, which whoever comes last frees. Locks: the call's. Fork: not to be forked in.
 */
#include "doctor/bounded.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

struct call {
	pthread_mutex_t lock;
	pthread_cond_t ended;
	void (*fn)(void *arg);
	void *arg;
	bool has_ended, left_behind;
};

static void call_free(struct call *call)
{
	pthread_cond_destroy(&call->ended);
	pthread_mutex_destroy(&call->lock);
	free(call);
}

static struct call *call_new(void (*fn)(void *arg), void *arg)
{
	struct call *call = malloc(sizeof(*call));
	pthread_condattr_t attributes;

	if (!call)
		return NULL;
	*call = (struct call){ .fn = fn, .arg = arg };
	pthread_mutex_init(&call->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&call->ended, &attributes);
	pthread_condattr_destroy(&attributes);
	return call;
}

static void *run(void *arg)
{
	struct call *call = arg;
	bool left_behind;

	call->fn(call->arg);
	pthread_mutex_lock(&call->lock);
	call->has_ended = true;
	left_behind = call->left_behind;
	pthread_cond_signal(&call->ended);
	pthread_mutex_unlock(&call->lock);
	if (left_behind)
		call_free(call);
	return NULL;
}

static bool start(struct call *call)
{
	pthread_attr_t attributes;
	sigset_t all, before;
	pthread_t thread;
	bool started;

	sigfillset(&all);
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	started = pthread_create(&thread, &attributes, run, call) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	return started;
}

static bool await(struct call *call, int timeout_ms)
{
	int64_t until_ns = tine_clock_ns() + (int64_t)timeout_ms * TINE_NS_PER_MS;
	struct timespec until = { .tv_sec = until_ns / TINE_NS_PER_S,
				  .tv_nsec = until_ns % TINE_NS_PER_S };
	bool has_ended;
	int rc = 0;

	pthread_mutex_lock(&call->lock);
	while (!call->has_ended && rc == 0)
		rc = pthread_cond_timedwait(&call->ended, &call->lock, &until);
	has_ended = call->has_ended;
	call->left_behind = !has_ended;
	pthread_mutex_unlock(&call->lock);
	return has_ended;
}

static void end_at_once(int status, void *unused)
{
	(void)unused;
	fflush(NULL);
	_exit(status);
}

/* Called from one thread only. What is registered last is done first. */
static void leave_behind(void)
{
	static bool is_registered;

	if (!is_registered)
		is_registered = on_exit(end_at_once, NULL) == 0;
}

bool tine_bounded_call(void (*fn)(void *arg), void *arg, int timeout_ms, bool *ret_started)
{
	struct call *call = call_new(fn, arg);
	bool has_ended;

	*ret_started = call && start(call);
	if (!*ret_started) {
		if (call)
			call_free(call);
		return false;
	}
	has_ended = await(call, timeout_ms);
	if (has_ended)
		call_free(call);
	else
		leave_behind();
	return has_ended;
}
