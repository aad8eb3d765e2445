/* SPDX-License-Identifier: PostgreSQL */
/*
 * The guard at the limits of a process: many descriptors, none left, no /proc. Preloaded.
 */
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "preload/peers.h"
#include "support/check.h"

#define MANY 80000

static struct pair postgres(enum how how)
{
	struct pair pair = tcp_pair(AF_INET, how, NULL);

	SAY(pair.client, START_SSL);
	return pair;
}

/* Allow MANY descriptors, or as many as this machine does. @return the limit */
static int raise_limit(void)
{
	struct rlimit limit = { MANY, MANY };

	if (setrlimit(RLIMIT_NOFILE, &limit) < 0) {
		CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), ==, 0);
		limit.rlim_cur = limit.rlim_max;
		CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);
		printf("# only %d descriptors are allowed here\n", (int)limit.rlim_max);
	}
	return (int)limit.rlim_cur;
}

static int move(int fd, int lowest)
{
	int moved = fcntl(fd, F_DUPFD_CLOEXEC, lowest);

	CHECK_INT(moved, >=, lowest);
	close(fd);
	return moved;
}

/* A connection that the hooks never saw, among more descriptors than one table or buffer holds. */
TEST(finds_one_among_many_descriptors)
{
	struct pair seen, unseen;
	int limit = raise_limit(), file = open("/dev/null", O_RDONLY);
	pid_t pid;

	for (int i = 0; i < limit - 1000; i++)
		CHECK_INT(syscall(SYS_dup, file), >=, 0);
	seen = postgres(HOOKED);
	CHECK_INT(seen.client, >, limit - 1000);
	/* the same address, so known by then, but connected behind the hooks' back */
	unseen = seen;
	unseen.client = (int)syscall(SYS_dup, seen.client);
	pid = fork();
	if (pid == 0) {
		CHECK(severed(seen.client));
		CHECK(severed(unseen.client));
		_exit(0);
	}
	check_child(pid);
	CHECK(alive(seen));
}

TEST(finds_one_at_a_sparse_high_number)
{
	struct pair pair;
	int listener, limit = raise_limit();

	pair = tcp_pair(AF_INET, HOOKED, &listener);
	SAY(pair.client, START_SSL);
	pair = connect_pair(listener, UNHOOKED);
	pair.client = move(pair.client, limit - 100);
	expect_at_fork(pair, true);
}

TEST(severs_when_no_descriptor_is_free)
{
	struct rlimit limit = { 256, 4096 }, after;
	struct pair pair;
	pid_t pid;

	CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);
	pair = postgres(HOOKED);
	while (open("/dev/null", O_RDONLY) >= 0)
		;
	CHECK_INT(errno, ==, EMFILE);
	pid = fork();
	if (pid == 0) {
		CHECK(severed(pair.client));
		CHECK_INT(getrlimit(RLIMIT_NOFILE, &after), ==, 0);
		CHECK_INT(after.rlim_cur, ==, 256);
		CHECK(open("/dev/null", O_RDONLY) < 0 && errno == EMFILE);
		_exit(0);
	}
	check_child(pid);
	CHECK(alive(pair));
}

/* In a child of the test, so that the parent can still reach the directory to remove it. */
static void fork_in_chroot(const char *directory)
{
	int listener;
	struct pair pair = tcp_pair(AF_INET, HOOKED, &listener), unseen;

	SAY(pair.client, START_SSL);
	unseen = connect_pair(listener, UNHOOKED);
	CHECK_INT(chroot(directory), ==, 0);
	expect_at_fork(pair, true);
	expect_at_fork(unseen, true);
	_exit(0);
}

TEST(severs_without_proc)
{
	char directory[] = "/tmp/tine-chroot-XXXXXX";
	pid_t pid;

	if (geteuid() != 0)
		SKIP("chroot() needs root");
	CHECK(mkdtemp(directory));
	pid = fork();
	if (pid == 0)
		fork_in_chroot(directory);
	check_child(pid);
	CHECK_INT(rmdir(directory), ==, 0);
}

/* Nothing accumulates in a process that forks and connects for ever. */
TEST(leaks_nothing)
{
	int lowest = open("/dev/null", O_RDONLY);

	close(lowest);
	for (int i = 0; i < 500; i++) {
		struct pair pair = postgres(HOOKED);
		pid_t pid = fork();

		if (pid == 0) {
			close(pair.client);
			close(pair.server);
			CHECK_INT(open("/dev/null", O_RDONLY), ==, lowest);
			_exit(0);
		}
		check_child(pid);
		close(pair.client);
		close(pair.server);
		CHECK_INT(open("/dev/null", O_RDONLY), ==, lowest);
		close(lowest);
	}
}

CHECK_TABLE(T(finds_one_among_many_descriptors), T(finds_one_at_a_sparse_high_number),
	    T(severs_when_no_descriptor_is_free), T(severs_without_proc), T(leaks_nothing))
