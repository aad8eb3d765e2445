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
	/* Where its stack begins, which differs for each program that it executes; 0 when the
	 * kernel does not tell us. */
	uint64_t image;
	int threads;
	char state; /* 'R', 'S', 'Z', ... of its first thread */
};

/** @return 0, or -errno: -ESRCH when there is none */
int tine_process_read(pid_t pid, struct tine_process *ret);

/** Of the calling process: who has the same one sees the same pids, in the same /proc. 0 when it
 *  cannot be told; then nothing can be told of anybody. */
uint64_t tine_process_namespace(void);

/** Hash of the identity of this boot of the machine, 0 when it cannot be told. */
uint64_t tine_process_boot(void);

enum tine_process_fate { TINE_PROCESS_LIVES, TINE_PROCESS_EXECUTED, TINE_PROCESS_DEAD };

/** What became of a process of that pid that was started then (28 bits of it)? A zombie is dead:
 * the kernel has closed all it had. When in doubt it lives. Only for pids of our namespace.
 *  @param image  of its program, to tell whether it has executed another one; 0 does not ask */
enum tine_process_fate tine_process_fate(pid_t pid, uint64_t start, uint64_t image);

/** Is it dead, as above? */
bool tine_process_is_dead(pid_t pid, uint64_t start);

#endif
