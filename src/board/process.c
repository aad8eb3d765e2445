/* SPDX-License-Identifier: PostgreSQL */
#include "board/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "board/word.h"

static int read_file(const char *path, char *buf, size_t size)
{
	cleanup_(tine_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length;

	if (fd < 0)
		return -errno;
	length = read(fd, buf, size - 1);
	if (length < 0)
		return -errno;
	buf[length] = '\0';
	return 0;
}

/* The name in the second field may hold anything, also blanks and brackets. */
static int parse(const char *stat, struct tine_process *ret)
{
	const char *rest = strrchr(stat, ')');
	unsigned long long start, image;
	int parent;

	if (!rest || sscanf(rest,
			    ") %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d "
			    "%d %*d %llu %*u %*d %*u %*u %*u %llu",
			    &ret->state, &parent, &ret->threads, &start, &image) != 5)
		return -EPROTO;
	ret->parent = parent;
	ret->start = start;
	ret->image = image;
	return 0;
}

int tine_process_read(pid_t pid, struct tine_process *ret)
{
	char path[32], stat[1024];
	int rc;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	rc = read_file(path, stat, sizeof(stat));
	if (rc < 0)
		return rc == -ENOENT ? -ESRCH : rc;
	ret->pid = pid;
	return parse(stat, ret);
}

/* Start times are told in the time namespace of who reads them. */
uint64_t tine_process_namespace(void)
{
	char self[16] = "";
	struct stat pids, times;

	/* Another namespace's /proc tells of other processes. */
	if (readlink("/proc/self", self, sizeof(self) - 1) < 0 || atoi(self) != getpid() ||
	    stat("/proc/self/ns/pid", &pids) < 0)
		return 0;
	if (stat("/proc/self/ns/time", &times) < 0)
		return (uint64_t)pids.st_ino;
	return (uint64_t)pids.st_ino | (uint64_t)times.st_ino << 32;
}

uint64_t tine_process_boot(void)
{
	char id[64] = "";

	if (read_file("/proc/sys/kernel/random/boot_id", id, sizeof(id)) < 0)
		return 0;
	return tine_hash_text(TINE_HASH_START, id);
}

static bool is_gone(pid_t pid)
{
	return kill(pid, 0) < 0 && errno == ESRCH;
}

enum tine_process_fate tine_process_fate(pid_t pid, uint64_t start, uint64_t image)
{
	struct tine_process process;
	int rc;

	/* Without a look into /proc when it is gone, which is what is asked for, as a rule. */
	if (pid <= 0 || is_gone(pid))
		return TINE_PROCESS_DEAD;
	rc = tine_process_read(pid, &process);
	if (rc < 0)
		return rc == -ESRCH && is_gone(pid) ? TINE_PROCESS_DEAD : TINE_PROCESS_LIVES;
	/* A first thread that ended before the others is a zombie too. */
	if (((process.state == 'Z' || process.state == 'X') && process.threads <= 1) ||
	    (process.start & TINE_START_MASK) != start)
		return TINE_PROCESS_DEAD;
	return image && process.image && process.image != image ? TINE_PROCESS_EXECUTED
								: TINE_PROCESS_LIVES;
}

bool tine_process_is_dead(pid_t pid, uint64_t start)
{
	return tine_process_fate(pid, start, 0) == TINE_PROCESS_DEAD;
}
