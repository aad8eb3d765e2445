/* SPDX-License-Identifier: PostgreSQL */
/*
 * Origin: has this process forked since we last looked?
 *
 * A word in a page that the kernel hands to a child zeroed (MADV_WIPEONFORK) answers for one memory
 * load. It is right for fork(), _Fork(), raw clone/clone3 and SYS_fork, and it stays intact in
 * vfork() and posix_spawn() children, which share our memory and must change nothing in it.
 * pthread_atfork is only the way to act in time, never the way to know.
 *
 * Invariant: between a fork and tine_origin_adopt() in the child the word is zero, in every other
 * moment it is not. Broken by: a kernel without MADV_WIPEONFORK (before 4.14). There
 * tine_origin_init() fails, the word stays 1, and only forks that run atfork handlers are seen.
 *
 * Locks: none. Async-signal-safe but for tine_origin_init().
 */
#ifndef TINE_FORK_ORIGIN_H
#define TINE_FORK_ORIGIN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct tine_origin {
	volatile uint32_t *word; /* zero after a fork; never NULL */
	pid_t pid;               /* the process that set the word */
	pid_t parent;            /* the pid before the last adoption, 0 in the first process */
};

extern struct tine_origin tine_origin;

/** Map the page. @return 0, or -errno when the kernel cannot wipe it. */
int tine_origin_init(void);

/** True in a process that came from a fork and has not adopted its memory yet. */
static inline bool tine_origin_changed(void)
{
	return __builtin_expect(*tine_origin.word == 0, 0);
}

/** Make this process the owner of its copy of the memory. Once per fork, in the child. */
void tine_origin_adopt(void);

/** True when the caller runs on another process's memory: a vfork child. One system call, so for
 * slow paths only; tine_origin_changed() must have been false. */
bool tine_origin_is_borrowed(void);

#endif
