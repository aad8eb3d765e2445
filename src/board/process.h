/* SPDX-License-Identifier: PostgreSQL */
/* Who a process is, as /proc tells. Locks: none. Fork: no state. */
#ifndef TINE_BOARD_PROCESS_H
#define TINE_BOARD_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct tine_process {
	pid_t pid, parent;
	uint64_t start; /* clock ticks since boot */
	int threads;
	char state; /* 'R', 'S', 'Z', ... of its first thread */
};

/** @return 0, or -errno: -ESRCH when there is none */
int tine_process_read(pid_t pid, struct tine_process *ret);

/** Inode of the pid namespace of the calling process, 0 when it cannot be told. */
uint64_t tine_process_namespace(void);

/** Hash of the identity of this boot of the machine. */
uint64_t tine_process_boot(void);

/** True unless a process of that pid that was started then (28 bits of it) is alive; a zombie is
 *  dead: the kernel has closed all it had. When in doubt false. Only for pids of our namespace. */
bool tine_process_is_dead(pid_t pid, uint64_t start);

#endif
