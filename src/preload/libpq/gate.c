/* SPDX-License-Identifier: PostgreSQL */
#include "preload/libpq/gate.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"

#define FORK_PATIENCE_NS (500 * (int64_t)TINE_NS_PER_MS)
#define STEP_PATIENCE_NS (1000 * (int64_t)TINE_NS_PER_MS)

/* Steps under way, in the present turn and in the one before it. A fork that waits in vain begins
 * the next turn, so that those it waited for are not counted in it. */
static atomic_int steps[2];
static atomic_uint turn;
static atomic_int forking;

static __thread int depth;
static __thread int counted = -1; /* where this thread's step is counted */

static void count_in(void)
{
	int64_t until_ns = 0;
	unsigned now;

	for (;;) {
		now = atomic_load(&turn);
		atomic_fetch_add(&steps[now % 2], 1);
		if (atomic_load(&turn) == now &&
		    (!atomic_load(&forking) || (until_ns && tine_clock_ns() >= until_ns)))
			break;
		atomic_fetch_sub(&steps[now % 2], 1);
		if (!until_ns)
			until_ns = tine_clock_ns() + STEP_PATIENCE_NS;
		tine_clock_nap();
	}
	counted = (int)(now % 2);
}

static void count_out(void)
{
	atomic_fetch_sub(&steps[counted], 1);
	counted = -1;
}

void tine_gate_enter(void)
{
	int saved_errno = errno;

	if (depth++ == 0)
		count_in();
	errno = saved_errno;
}

void tine_gate_leave(void)
{
	if (--depth == 0)
		count_out();
}

void tine_gate_finish(const struct tine_copy *copy, PGconn *conn)
{
	tine_gate_enter();
	copy->real.PQfinish(conn);
	tine_gate_leave();
}

int tine_gate_reset_start(const struct tine_copy *copy, PGconn *conn)
{
	int good;

	tine_gate_enter();
	good = copy->real.PQresetStart(conn);
	tine_gate_leave();
	return good;
}

/* A step in a step is in the hands of a callback of libpq's, which may have something locked. */
int tine_gate_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
	int rc, saved_errno;

	if (depth != 1 || timeout_ms == 0)
		return poll(fds, count, timeout_ms);
	count_out();
	rc = poll(fds, count, timeout_ms);
	saved_errno = errno;
	count_in();
	errno = saved_errno;
	return rc;
}

void *tine_gate_hook(const char *name)
{
	return strcmp(name, "poll") == 0 ? (void *)tine_gate_poll : NULL;
}

/* ---- fork ----------------------------------------------------------------------------------- */

void tine_gate_close(void)
{
	int64_t until_ns = tine_clock_ns() + FORK_PATIENCE_NS;
	unsigned now = atomic_load(&turn);
	int own;

	atomic_fetch_add(&forking, 1);
	own = counted == (int)(now % 2);
	while (atomic_load(&steps[now % 2]) > own && atomic_load(&turn) == now) {
		if (tine_clock_ns() >= until_ns)
			atomic_compare_exchange_strong(&turn, &(unsigned){ now }, now + 1);
		else
			tine_clock_nap();
	}
}

void tine_gate_open(void)
{
	atomic_fetch_sub(&forking, 1);
}

void tine_gate_renew(void)
{
	atomic_store(&forking, 0);
	atomic_store(&steps[0], counted == 0);
	atomic_store(&steps[1], counted == 1);
}
