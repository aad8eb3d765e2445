/* SPDX-License-Identifier: PostgreSQL */
#include "prefork/signals.h"

#include <poll.h>

#include "support/check.h"

static bool is_readable(int fd)
{
	struct pollfd poller = { .fd = fd, .events = POLLIN };

	return poll(&poller, 1, 0) == 1;
}

static void mine(int number)
{
	(void)number;
}

TEST(what_comes_is_noted_once_and_wakes)
{
	CHECK_INT(tine_signals_open(), ==, 0);
	CHECK(!is_readable(tine_signals_fd()));
	raise(SIGHUP);
	raise(SIGHUP);
	raise(SIGTTIN);
	CHECK(is_readable(tine_signals_fd()));
	CHECK_INT(tine_signals_take(), ==, 1ULL << SIGHUP | 1ULL << SIGTTIN);
	CHECK(!is_readable(tine_signals_fd()));
	CHECK_INT(tine_signals_take(), ==, 0);
	tine_signals_wake();
	CHECK(is_readable(tine_signals_fd()));
	CHECK_INT(tine_signals_take(), ==, 0);
	tine_signals_close();
}

TEST(there_is_one_and_it_leaves_things_as_they_were)
{
	struct sigaction action = { .sa_handler = mine }, after;

	sigaction(SIGTERM, &action, NULL);
	signal(SIGHUP, SIG_IGN);
	CHECK_INT(tine_signals_open(), ==, 0);
	CHECK_INT(tine_signals_open(), ==, -EBUSY);
	tine_signals_close();
	sigaction(SIGTERM, NULL, &after);
	CHECK(after.sa_handler == mine);
	sigaction(SIGHUP, NULL, &after);
	CHECK(after.sa_handler == SIG_IGN);
	CHECK_INT(tine_signals_open(), ==, 0);
	tine_signals_close();
}

TEST(a_worker_has_its_own)
{
	struct sigaction action;
	sigset_t all, before;
	pid_t pid;

	CHECK_INT(tine_signals_open(), ==, 0);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid = fork();
	if (pid == 0) {
		CHECK_INT(kill(getpid(), SIGTERM), ==, 0); /* comes when they are unblocked */
		CHECK_INT(tine_signals_become_worker(), ==, 0);
		CHECK(!is_readable(tine_signals_fd()));
		sigprocmask(SIG_SETMASK, &before, NULL);
		CHECK_INT(tine_signals_take(), ==, 1ULL << SIGTERM);
		sigaction(SIGCHLD, NULL, &action);
		CHECK(action.sa_handler == SIG_DFL);
		raise(SIGUSR2);
		CHECK_INT(tine_signals_take(), ==, 1ULL << SIGUSR2);
		_exit(0);
	}
	check_child(pid);
	sigprocmask(SIG_SETMASK, &before, NULL);
	CHECK_INT(tine_signals_take(), ==, 1ULL << SIGCHLD);
	tine_signals_close();
}

/* A fork that the program made: the handlers are inherited, their meaning is not. */
TEST(in_a_process_of_the_program_a_signal_does_what_it_always_does)
{
	int status;
	pid_t pid;

	CHECK_INT(tine_signals_open(), ==, 0);
	pid = fork();
	if (pid == 0) {
		raise(SIGCHLD);
		raise(SIGTERM);
		_exit(0);
	}
	CHECK_INT(waitpid(pid, &status, 0), ==, pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	CHECK_INT(tine_signals_take() & 1ULL << SIGTERM, ==, 0);
	tine_signals_close();
}

CHECK_TABLE(T(what_comes_is_noted_once_and_wakes),
	    T(there_is_one_and_it_leaves_things_as_they_were), T(a_worker_has_its_own),
	    T(in_a_process_of_the_program_a_signal_does_what_it_always_does))
