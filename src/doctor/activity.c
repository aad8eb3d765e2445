/* SPDX-License-Identifier: PostgreSQL */
/*
 * Catching a process in the use of a connection: what system call each of its threads is in, and on
 * which descriptor. Most of the time a client waits for an answer, so one look finds much.
 *
 * Owns nothing. Locks: none. Fork: nothing to do.
 */
#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "doctor/scene.h"

#define POLLED_MAX 256

/* The descriptors are in the process's memory, which is read and nothing else. */
static bool polls(pid_t pid, unsigned long long address, unsigned long long count, int fd)
{
	struct pollfd polled[POLLED_MAX];
	size_t number = count < POLLED_MAX ? (size_t)count : POLLED_MAX;
	struct iovec here = { polled, number * sizeof(polled[0]) };
	struct iovec there = { (void *)(uintptr_t)address, here.iov_len };

	if (!number || process_vm_readv(pid, &here, 1, &there, 1, 0) != (ssize_t)here.iov_len)
		return false;
	for (size_t i = 0; i < number; i++)
		if (polled[i].fd == fd)
			return true;
	return false;
}

static bool is_waiting_on(pid_t pid, const char *text, int fd)
{
	unsigned long long first, second;
	long number;

	/* "running", or the number and six arguments */
	if (sscanf(text, "%ld %llx %llx", &number, &first, &second) != 3)
		return false;
	switch (number) {
	case SYS_read:
	case SYS_write:
	case SYS_readv:
	case SYS_writev:
	case SYS_recvfrom:
	case SYS_sendto:
	case SYS_recvmsg:
	case SYS_sendmsg:
		return first == (unsigned long long)fd;
#ifdef SYS_poll
	case SYS_poll:
#endif
	case SYS_ppoll:
		return polls(pid, first, second, fd);
	default:
		return false;
	}
}

static bool uses(const struct tine_scene *scene, const struct tine_process *process, int fd)
{
	char path[300];
	struct dirent *entry;
	bool found = false;
	DIR *threads;

	snprintf(path, sizeof(path), "%s/%d/task", scene->procs.root, process->pid);
	threads = opendir(path);
	while (threads && !found && (entry = readdir(threads)) != NULL) {
		char *text;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "task/%.20s/syscall", entry->d_name);
		if (tine_process_read(&scene->procs, process, path, 4096, &text) > 0)
			found = is_waiting_on(process->pid, text, fd);
		free(text);
	}
	if (threads)
		closedir(threads);
	return found;
}

pid_t tine_activity_find(const struct tine_scene *scene, const struct tine_connection *connection)
{
	for (size_t i = 0; i < connection->holds_count; i++) {
		const struct tine_process *process =
			tine_scene_holder(scene, &connection->holds[i]);

		if (process != connection->opener && uses(scene, process, connection->holds[i].fd))
			return process->pid;
	}
	return 0;
}
