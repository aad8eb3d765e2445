/* SPDX-License-Identifier: PostgreSQL */
/* The gate: a fork and a step wait for each other, and neither for ever. */
#include "preload/libpq/gate.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "support/check.h"

#define MS TINE_NS_PER_MS

static atomic_bool is_in, may_end, has_left;

static int64_t close_ms(void)
{
	int64_t begun_ns = tine_clock_ns();

	tine_gate_close();
	return (tine_clock_ns() - begun_ns) / MS;
}

static void wait_for(atomic_bool *flag)
{
	while (!*flag)
		poll(NULL, 0, 1);
}

/* A step, in which a callback makes another one. */
static void *step(void *unused)
{
	(void)unused;
	tine_gate_enter();
	tine_gate_enter();
	tine_gate_leave();
	is_in = true;
	wait_for(&may_end);
	has_left = true;
	tine_gate_leave();
	return NULL;
}

static void *end_soon(void *unused)
{
	(void)unused;
	poll(NULL, 0, 50);
	may_end = true;
	return NULL;
}

static void begin(pthread_t *thread, void *(*run)(void *unused))
{
	CHECK_INT(pthread_create(thread, NULL, run, NULL), ==, 0);
}

static void end(pthread_t thread)
{
	CHECK_INT(pthread_join(thread, NULL), ==, 0);
}

TEST(a_fork_waits_for_a_step)
{
	pthread_t one, other;

	begin(&one, step);
	wait_for(&is_in);
	begin(&other, end_soon);
	tine_gate_close();
	CHECK(has_left);
	tine_gate_open();
	end(one);
	end(other);
}

TEST(a_fork_waits_for_a_step_once)
{
	pthread_t thread;

	begin(&thread, step);
	wait_for(&is_in);
	CHECK_INT(close_ms(), >=, 500);
	tine_gate_open();
	CHECK_INT(close_ms(), <, 500);
	CHECK(!has_left);
	tine_gate_open();
	may_end = true;
	end(thread);
	/* and for the next one again */
	is_in = may_end = has_left = false;
	begin(&thread, step);
	wait_for(&is_in);
	CHECK_INT(close_ms(), >=, 500);
	may_end = true;
	end(thread);
}

/* As with a fork handler that wants a lock which is held around the step. */
TEST(a_step_waits_for_a_fork_that_never_ends)
{
	pthread_t thread;

	tine_gate_close();
	may_end = true;
	begin(&thread, step);
	end(thread);
	tine_gate_open();
	CHECK_INT(close_ms(), <, 500);
}

TEST(a_step_waits_for_a_fork)
{
	pthread_t thread;

	tine_gate_close();
	begin(&thread, step);
	poll(NULL, 0, 100);
	CHECK(!is_in);
	tine_gate_open();
	wait_for(&is_in);
	may_end = true;
	end(thread);
}

static void *wait_in_a_step(void *pipe_end)
{
	struct pollfd waits = { .fd = *(int *)pipe_end, .events = POLLIN };

	tine_gate_enter();
	is_in = true;
	CHECK_INT(tine_gate_poll(&waits, 1, -1), ==, 1);
	has_left = true;
	wait_for(&may_end);
	tine_gate_leave();
	return NULL;
}

TEST(a_step_that_waits_for_a_server)
{
	pthread_t thread;
	int ends[2];

	CHECK_INT(pipe(ends), ==, 0);
	CHECK_INT(pthread_create(&thread, NULL, wait_in_a_step, &ends[0]), ==, 0);
	wait_for(&is_in);
	CHECK_INT(close_ms(), <, 500);
	/* Its answer comes while the fork is under way: it does not go on. */
	CHECK_INT(write(ends[1], "x", 1), ==, 1);
	poll(NULL, 0, 50);
	CHECK(!has_left);
	tine_gate_open();
	wait_for(&has_left);
	CHECK_INT(close_ms(), >=, 500);
	may_end = true;
	end(thread);
}

TEST(a_child_inside_a_step)
{
	tine_gate_enter();
	CHECK_INT(close_ms(), <, 500);
	tine_gate_renew();
	CHECK_INT(close_ms(), <, 500);
	tine_gate_open();
	tine_gate_leave();
	CHECK_INT(close_ms(), <, 500);
}

CHECK_TABLE(T(a_fork_waits_for_a_step), T(a_fork_waits_for_a_step_once),
	    T(a_step_waits_for_a_fork_that_never_ends), T(a_step_waits_for_a_fork),
	    T(a_step_that_waits_for_a_server), T(a_child_inside_a_step))
