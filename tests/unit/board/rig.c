/* SPDX-License-Identifier: PostgreSQL */
#include "unit/board/rig.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "base/clock.h"

_Atomic int *rig_word;
static char directory[64];
static pid_t maker;

#pragma weak rig_act

/* In the child that a test runs in. */
static void reset(void)
{
	if (getppid() == maker)
		memset((void *)rig_word, 0, RIG_WORDS * sizeof(*rig_word));
}

__attribute__((constructor)) static void begin(void)
{
	const char *act = getenv("RIG_ACT");

	rig_word = mmap(NULL, RIG_WORDS * sizeof(*rig_word), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (act) {
		rig_act(act, getenv("RIG_ARGUMENT"));
		_exit(0);
	}
	snprintf(directory, sizeof(directory), "%s/tine-test-XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (!mkdtemp(directory)) {
		perror(directory);
		_exit(1);
	}
	setenv("TINE_BOARD_DIRECTORY", directory, 1);
	maker = getpid();
	pthread_atfork(NULL, NULL, reset);
}

/* Tests end by _exit(), so this is the program's end, after the last of them. */
__attribute__((destructor)) static void end(void)
{
	DIR *dir = maker == getpid() ? opendir(directory) : NULL;
	struct dirent *entry;

	if (!dir)
		return;
	while ((entry = readdir(dir)))
		unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
	rmdir(directory);
}

void rig_open(struct tine_board *ret, const char *name, int budget)
{
	struct tine_board_spec spec = { .name = name, .budget = budget };
	char error[300] = "";

	if (tine_board_open(ret, &spec, error, sizeof(error)) < 0)
		check_fail(__FILE__, __LINE__, "%s", error);
}

void rig_join(struct tine_board *ret, const char *name, int budget)
{
	rig_open(ret, name, budget);
	CHECK_INT(tine_board_enlist(ret), ==, 0);
	tine_board_want(ret);
}

pid_t rig_member(struct tine_board *board, void (*fn)(struct tine_board *board))
{
	pid_t pid = fork();

	CHECK_INT(pid, >=, 0);
	if (pid)
		return pid;
	rig_end_with_parent();
	tine_board_left(board);
	CHECK_INT(tine_board_enlist(board), ==, 0);
	tine_board_want(board);
	fn(board);
	fflush(stdout);
	_exit(0);
}

void rig_await(const _Atomic int *word, int least)
{
	int64_t until_ns = tine_clock_ns() + RIG_SECONDS * (int64_t)TINE_NS_PER_S;

	while (atomic_load(word) < least) {
		if (tine_clock_ns() > until_ns)
			check_fail(__FILE__, __LINE__, "word %d is %d, not %d",
				   (int)(word - rig_word), atomic_load(word), least);
		usleep(500);
	}
}

void rig_end_with_parent(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
}

void rig_sleep_for_ever(void)
{
	for (;;)
		pause();
}

void rig_kill(pid_t pid)
{
	int status;

	CHECK_INT(kill(pid, SIGKILL), ==, 0);
	CHECK_INT(waitpid(pid, &status, 0), ==, pid);
	CHECK(WIFSIGNALED(status));
}

void rig_execute(const char *act, const char *argument)
{
	char *const argv[] = { (char *)"board_test", NULL };

	setenv("RIG_ACT", act, 1);
	setenv("RIG_ARGUMENT", argument, 1);
	execv("/proc/self/exe", argv);
	check_fail(__FILE__, __LINE__, "cannot execute: %s", strerrorname_np(errno));
}

struct tine_permit_use rig_use(const struct tine_board *board)
{
	struct tine_permit_use use;

	tine_permit_count(board, &use);
	return use;
}

int rig_take(struct tine_board *board, int count)
{
	int permit = -1;

	while (count-- > 0) {
		permit = tine_permit_take(board, -1);
		CHECK_INT(permit, >=, 0);
	}
	return permit;
}

void rig_take_soon(struct tine_board *board, int64_t longest_ns)
{
	int64_t began_ns = tine_clock_ns();

	while (tine_permit_take(board, -1) < 0) {
		if (tine_clock_ns() - began_ns > longest_ns)
			check_fail(__FILE__, __LINE__, "no permit within %lld ms",
				   (long long)(longest_ns / TINE_NS_PER_MS));
		usleep(1000);
	}
}
