/* SPDX-License-Identifier: PostgreSQL */
/*
 * The ways to fork. Those of the upper half run atfork handlers; those of the lower half do not, or
 * start another program without a copy of this process.
 */
#include "cell.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <pty.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char probe_name[] = "cell", probe_option[] = "--probe";
static char *const probe_argv[] = { probe_name, probe_option, NULL };

/* The terminal ends with the parent; a child that is to live on does not mind the hang-up. */
static pid_t by_forkpty(void)
{
	int terminal;
	pid_t pid = forkpty(&terminal, NULL, NULL, NULL);

	if (!pid)
		signal(SIGHUP, SIG_IGN);
	return pid;
}

static pid_t by_double_fork(void)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	become(MIDDLE, 1);
	pid = fork();
	if (pid < 0)
		die(SETUP, "second fork: %m");
	if (pid)
		_exit(0);
	return 0;
}

static pid_t by_daemon(void)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	become(MIDDLE, 1);
	daemon_of_owner();
	return 0;
}

/* daemon(3) forks, and the process that called it ends by _exit(0). */
void daemon_of_owner(void)
{
	if (daemon(1, 0))
		die(SETUP, "daemon: %m");
}

static pid_t by_low_fork(void)
{
	return _Fork();
}

static pid_t by_clone(void)
{
	return (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

static pid_t by_clone3(void)
{
	struct clone_args args = { .exit_signal = SIGCHLD };

	return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

#ifdef SYS_fork
static pid_t by_sys_fork(void)
{
	return (pid_t)syscall(SYS_fork);
}
#endif

static void expect_exit(int st, const char *what)
{
	if (st == -1 || !WIFEXITED(st) || WEXITSTATUS(st))
		die(BROKE, "%s: wait status %#x", what, (unsigned int)st);
}

static void wait_exit(pid_t pid, const char *what)
{
	int st;

	if (pid < 0 || waitpid(pid, &st, 0) != pid)
		die(BROKE, "%s: %m", what);
	expect_exit(st, what);
}

/*
 * What a vfork child may do before exec, in the memory of its parent: close the numbers of the
 * parent's sessions (its table of descriptors is its own) and write to an error pipe.
 */
static __attribute__((noinline)) pid_t vfork_and_exec(const int *fd, int n, int error_pipe)
{
	pid_t pid = vfork();

	if (pid)
		return pid;
	for (int i = 0; i < n; i++)
		close(fd[i]);
	if (write(error_pipe, "x", 1) == 1)
		execv("/proc/self/exe", probe_argv);
	_exit(127);
}

static void by_vfork(struct cell *c)
{
	int fd[MAX_TARGETS], ends[2];
	char byte;

	for (int i = 0; i < c->n_targets; i++)
		fd[i] = PQsocket(c->target[i]);
	if (pipe2(ends, O_CLOEXEC))
		die(SETUP, "pipe: %m");

	pid_t pid = vfork_and_exec(fd, c->n_targets, ends[1]);
	close(ends[1]);
	if (read(ends[0], &byte, 1) != 1 || byte != 'x')
		die(BROKE, "the error pipe of the vfork child brought nothing");
	close(ends[0]);
	wait_exit(pid, "vfork");
}

static void by_posix_spawn(struct cell *c)
{
	posix_spawn_file_actions_t actions;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	for (int i = 0; i < c->n_targets; i++)
		posix_spawn_file_actions_addclose(&actions, PQsocket(c->target[i]));
	if (posix_spawn(&pid, "/proc/self/exe", &actions, NULL, probe_argv, environ))
		die(SETUP, "posix_spawn failed");
	posix_spawn_file_actions_destroy(&actions);
	wait_exit(pid, "posix_spawn");
}

static void by_system(struct cell *c)
{
	(void)c;
	expect_exit(system("exit 0"), "system");
}

static void by_popen(struct cell *c)
{
	char line[16] = "";
	FILE *f = popen("echo out", "r");

	(void)c;
	if (!f || !fgets(line, sizeof(line), f) || strcmp(line, "out\n") != 0)
		die(BROKE, "popen brought nothing");
	expect_exit(pclose(f), "popen");
}

const struct kind kinds[] = {
	{ .name = "fork", .fork = fork },
	{ .name = "forkpty", .fork = by_forkpty },
	{ .name = "double", .fork = by_double_fork, .grandchild = true },
	{ .name = "daemon", .fork = by_daemon, .grandchild = true, .owner_leaves = true },
	{ .name = "thread", .fork = fork, .threads = true },
	{ .name = "refork", .fork = fork, .refork = true },
	{ .name = "_Fork", .fork = by_low_fork, .missed = true },
	{ .name = "clone", .fork = by_clone, .missed = true },
	{ .name = "clone3", .fork = by_clone3, .missed = true },
#ifdef SYS_fork
	{ .name = "SYS_fork", .fork = by_sys_fork, .missed = true },
#endif
	{ .name = "vfork", .fork = fork, .spawn = by_vfork },
	{ .name = "posix_spawn", .fork = fork, .spawn = by_posix_spawn },
	{ .name = "system", .fork = fork, .spawn = by_system },
	{ .name = "popen", .fork = fork, .spawn = by_popen },
	{ .name = NULL },
};
