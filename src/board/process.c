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
	unsigned long long start;
	int parent;

	if (!rest || sscanf(rest,
			    ") %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d "
			    "%d %*d %llu",
			    &ret->state, &parent, &ret->threads, &start) != 4)
		return -EPROTO;
	ret->parent = parent;
	ret->start = start;
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

uint64_t tine_process_namespace(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) == 0 ? (uint64_t)st.st_ino : 0;
}

uint64_t tine_process_boot(void)
{
	uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */
	char id[64];

	if (read_file("/proc/sys/kernel/random/boot_id", id, sizeof(id)) < 0)
		return 0;
	for (const char *at = id; *at; at++)
		hash = (hash ^ (unsigned char)*at) * UINT64_C(1099511628211);
	return hash;
}

bool tine_process_is_dead(pid_t pid, uint64_t start)
{
	struct tine_process process;
	int rc;

	if (pid <= 0)
		return true;
	/* Without a look into /proc when it is gone, which is what is asked for, as a rule. */
	if (kill(pid, 0) < 0 && errno == ESRCH)
		return true;
	rc = tine_process_read(pid, &process);
	if (rc < 0)
		return rc == -ESRCH && kill(pid, 0) < 0 && errno == ESRCH;
	/* A first thread that ended before the others is a zombie too. */
	return ((process.state == 'Z' || process.state == 'X') && process.threads <= 1) ||
	       (process.start & TINE_START_MASK) != start;
}
