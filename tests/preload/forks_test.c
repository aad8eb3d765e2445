/* SPDX-License-Identifier: PostgreSQL */
/*
 * Every way to make a child, and what the guard does in it. Runs with the library preloaded.
 */
#include <linux/sched.h>
#include <pthread.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "preload/peers.h"
#include "support/check.h"

static struct pair postgres(void)
{
	struct pair pair = tcp_pair(AF_INET, HOOKED, NULL);

	SAY(pair.client, START_SSL);
	return pair;
}

/* What a forked child must find, then exit. */
static void child_finds(struct pair pair)
{
	CHECK(severed(pair.client));
	_exit(0);
}

TEST(handles_fork)
{
	expect_at_fork(postgres(), true);
}

TEST(handles_forkpty)
{
	struct pair pair = postgres();
	int terminal;
	pid_t pid = forkpty(&terminal, NULL, NULL, NULL);

	if (pid == 0)
		child_finds(pair);
	check_child(pid);
	CHECK(alive(pair));
}

/* daemon() ends its caller, so a child calls it and the daemon answers through a pipe. */
TEST(handles_daemon)
{
	struct pair pair = postgres();
	char answer = 'n';
	int ends[2];
	pid_t pid;

	CHECK_INT(pipe(ends), ==, 0);
	pid = fork();
	if (pid == 0) {
		struct pair own = postgres();

		CHECK_INT(daemon(1, 1), ==, 0);
		answer = severed(pair.client) && severed(own.client) ? 'y' : 'n';
		CHECK_INT(write(ends[1], &answer, 1), ==, 1);
		_exit(0);
	}
	close(ends[1]);
	CHECK_INT(read(ends[0], &answer, 1), ==, 1);
	CHECK_INT(answer, ==, 'y');
	check_child(pid);
	CHECK(alive(pair));
}

TEST(handles_generations)
{
	struct pair first = postgres();
	pid_t pid = fork();

	if (pid == 0) {
		struct pair second = postgres();

		CHECK(severed(first.client));
		pid = fork();
		if (pid == 0) {
			struct pair third = postgres();

			CHECK(severed(second.client));
			CHECK(alive(third));
			_exit(0);
		}
		check_child(pid);
		CHECK(alive(second));
		_exit(0);
	}
	check_child(pid);
	CHECK(alive(first));
}

/* ---- forks that run no handlers: acted upon at the next hooked call ------------------------- */

static pid_t fork_bare(void)
{
	return _Fork();
}

static pid_t fork_syscall(void)
{
	return (pid_t)syscall(SYS_fork);
}

static pid_t fork_clone(void)
{
	return (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
}

static pid_t fork_clone3(void)
{
	struct clone_args args = { .exit_signal = SIGCHLD };

	return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

static void expect_missed(pid_t (*make)(void))
{
	struct pair pair = postgres();
	char got[32];
	pid_t pid = make();

	CHECK_INT(pid, >=, 0);
	if (pid == 0) {
		/* the first call is the one that would harm the parent */
		CHECK(send(pair.client, "X\0\0\0\4", 5, MSG_NOSIGNAL) < 0 && errno == EPIPE);
		child_finds(pair);
	}
	check_child(pid);
	CHECK_INT(recv(pair.server, got, sizeof(got), MSG_DONTWAIT), ==, 8);
	CHECK(alive(pair));
}

TEST(notices_forks_without_handlers)
{
	expect_missed(fork_bare);
	expect_missed(fork_syscall);
	expect_missed(fork_clone);
	expect_missed(fork_clone3);
}

TEST(notices_them_at_a_read_and_at_shutdown)
{
	struct pair pair = postgres();
	char byte;
	pid_t pid = fork_syscall();

	if (pid == 0) {
		CHECK_INT(recv(pair.client, &byte, 1, 0), ==, 0);
		child_finds(pair);
	}
	check_child(pid);
	pid = fork_syscall();
	if (pid == 0) {
		shutdown(pair.client, SHUT_RDWR);
		child_finds(pair);
	}
	check_child(pid);
	CHECK(alive(pair));
}

/* A child that was missed forks on, this time with handlers. */
TEST(catches_up_at_the_next_fork)
{
	struct pair pair = postgres();
	pid_t pid = fork_syscall();

	if (pid == 0) {
		pid = fork();
		CHECK(severed(pair.client));
		if (pid == 0)
			_exit(0);
		check_child(pid);
		_exit(0);
	}
	check_child(pid);
	CHECK(alive(pair));
}

/* ---- children that share our memory: nothing may happen ------------------------------------- */

static int vfork_body(void *argument)
{
	const struct pair *pair = argument;

	/* what a subprocess module does: close all, use low numbers, report by a pipe */
	close(pair->client);
	dup2(pair->server, pair->client);
	write(pair->client, "", 0);
	_exit(0);
}

TEST(does_nothing_in_a_vfork_child)
{
	static char stack[65536];
	struct pair quiet = tcp_pair(AF_INET, HOOKED, NULL), pair = postgres();
	pid_t pid;

	for (int i = 0; i < 2; i++) {
		pid = clone(vfork_body, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD,
			    i ? &pair : &quiet);
		check_child(pid);
	}
	/* the parent's knowledge is as it was: both are recognised at a real fork */
	SAY(quiet.client, START_SSL);
	pid = fork();
	if (pid == 0) {
		CHECK(severed(quiet.client));
		child_finds(pair);
	}
	check_child(pid);
	CHECK(alive(pair) && alive(quiet));
}

TEST(does_nothing_for_spawned_programs)
{
	struct pair pair = postgres();
	char *argv[] = { (char *)"true", NULL };
	FILE *stream;
	pid_t pid;

	CHECK_INT(posix_spawnp(&pid, "true", NULL, NULL, argv, environ), ==, 0);
	check_child(pid);
	CHECK_INT(system("true"), ==, 0);
	stream = popen("true", "r");
	CHECK_INT(pclose(stream), ==, 0);
	CHECK(alive(pair));
	pid = fork();
	if (pid == 0)
		child_finds(pair);
	check_child(pid);
}

/* ---- order ---------------------------------------------------------------------------------- */

static struct pair watched;
static volatile sig_atomic_t found_severed = -1;

static void look(void)
{
	found_severed = severed(watched.client);
}

TEST(comes_before_handlers_of_the_program)
{
	pid_t pid;

	watched = postgres();
	CHECK_INT(pthread_atfork(NULL, NULL, look), ==, 0);
	pid = fork();
	if (pid == 0) {
		CHECK_INT(found_severed, ==, 1);
		_exit(0);
	}
	check_child(pid);
}

/* In a child: the socket must be severed already, however early this runs. */
static void on_signal(int number)
{
	int saved_errno = errno;

	(void)number;
	if (getpid() != getpgrp() && !severed(watched.client))
		_exit(3);
	errno = saved_errno;
}

static pid_t pester_group(void)
{
	pid_t group = getpid(), pid = fork();

	if (pid == 0) {
		setpgid(0, 0);
		while (kill(-group, SIGUSR1) == 0)
			;
		_exit(0);
	}
	return pid;
}

/* A signal that reaches the whole group while it forks must find the child's sockets severed. */
TEST(comes_before_signal_handlers)
{
	pid_t pest;

	CHECK_INT(setpgid(0, 0), ==, 0);
	watched = postgres();
	signal(SIGUSR1, on_signal);
	pest = pester_group();
	for (int i = 0; i < 1000; i++) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(0);
		check_child(pid);
	}
	kill(pest, SIGKILL);
	waitpid(pest, NULL, 0);
	CHECK(alive(watched));
}

TEST(keeps_errno_and_the_signal_mask)
{
	sigset_t mask, before;
	pid_t pid;

	postgres();
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR2);
	CHECK_INT(sigprocmask(SIG_SETMASK, &mask, NULL), ==, 0);
	errno = EXDEV;
	pid = fork();
	CHECK_INT(errno, ==, EXDEV);
	CHECK_INT(sigprocmask(SIG_SETMASK, NULL, &before), ==, 0);
	CHECK(sigismember(&before, SIGUSR2) == 1 && sigismember(&before, SIGTERM) == 0);
	if (pid == 0)
		_exit(0);
	check_child(pid);
}

/* ---- threads -------------------------------------------------------------------------------- */

static atomic_bool stop;

static void *open_and_close(void *unused)
{
	while (!atomic_load(&stop)) {
		struct pair pair = postgres();

		CHECK(alive(pair));
		close(pair.client);
		close(pair.server);
	}
	return unused;
}

TEST(forks_while_threads_connect)
{
	struct pair pair = postgres();
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		CHECK_INT(pthread_create(&threads[i], NULL, open_and_close, NULL), ==, 0);
	for (int i = 0; i < 200; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			alarm(30);
			child_finds(pair);
		}
		check_child(pid);
	}
	atomic_store(&stop, true);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	CHECK(alive(pair));
}

CHECK_TABLE(T(handles_fork), T(handles_forkpty), T(handles_daemon), T(handles_generations),
	    T(notices_forks_without_handlers), T(notices_them_at_a_read_and_at_shutdown),
	    T(catches_up_at_the_next_fork), T(does_nothing_in_a_vfork_child),
	    T(does_nothing_for_spawned_programs), T(comes_before_handlers_of_the_program),
	    T(comes_before_signal_handlers), T(keeps_errno_and_the_signal_mask),
	    T(forks_while_threads_connect))
