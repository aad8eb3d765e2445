/* SPDX-License-Identifier: PostgreSQL */
/*
 * The processes of this machine and the sockets each one holds, read once from /proc, and what can
 * be asked of one of them afterwards.
 *
 * Nothing in /proc stands still: a process that vanishes while it is read is left out, and a later
 * question about one is only answered while it is still the same process. Nothing is done to a
 * process: no signal, no ptrace, no copy of a descriptor.
 *
 * Locks: none. Fork: nothing to do.
 */
#ifndef TINE_DOCTOR_PROC_H
#define TINE_DOCTOR_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct tine_process {
	pid_t pid, parent, group;
	char name[32];        /* comm, foreign bytes */
	uint64_t start_ticks; /* after boot */
	uint64_t stack; /* where its stack began at exec: equal in processes forked from each other;
			   0: not told */
	uint64_t netns; /* 0: not told */
	int threads;
	bool readable; /* its descriptors could be listed */
	bool in_tree;  /* to be examined */
};

struct tine_hold {
	uint64_t inode;
	uint32_t process; /* index */
	int fd;
};

struct tine_procs {
	char root[256];             /* "/proc" */
	struct tine_process *items; /* by pid */
	size_t count;
	struct tine_hold *holds; /* by inode, then process */
	size_t holds_count;
	size_t unreadable;  /* processes that are not kernel threads and may not be looked at */
	uint64_t now_ticks; /* after boot, when the reading began */
	long ticks_per_second;
};

/** Read all processes. @param root "/proc", or a directory that looks like it
 *  @return 0 or -errno */
int tine_procs_read(struct tine_procs *procs, const char *root);
void tine_procs_free(struct tine_procs *procs);

/** @return the process or NULL */
struct tine_process *tine_procs_find(const struct tine_procs *procs, pid_t pid);

/** Mark a process and its descendants as to be examined; 0 marks all. @return 0 or -ESRCH */
int tine_procs_mark(struct tine_procs *procs, pid_t pid);

/** Is one an ancestor of the other, by parents that are still alive? */
bool tine_procs_is_ancestor(const struct tine_procs *procs, const struct tine_process *ancestor,
			    const struct tine_process *process);

/** The first of the holds of a socket.
 *  @param ret_count how many there are, next to each other */
const struct tine_hold *tine_procs_holds(const struct tine_procs *procs, uint64_t inode,
					 size_t *ret_count);

/** How long ago it started. */
double tine_process_age_s(const struct tine_procs *procs, const struct tine_process *process);

/** How long ago the processes were read. */
double tine_procs_elapsed_s(const struct tine_procs *procs);

/** Is it still the process that was read? */
bool tine_process_is_same(const struct tine_procs *procs, const struct tine_process *process);

/** Does it still hold that socket by that number? */
bool tine_process_holds(const struct tine_procs *procs, const struct tine_process *process, int fd,
			uint64_t inode);

/** Open a file of the process, read-only.
 *  @param name below its directory: "maps", "net/tcp"
 *  @return a descriptor of the caller's, or -errno */
int tine_process_open(const struct tine_procs *procs, const struct tine_process *process,
		      const char *name);

/** A file of the process as a whole, ended by a NUL that is not counted.
 *  @param limit  bytes that are read at most
 *  @param ret_text  freed by the caller; NULL on failure
 *  @return its length or -errno */
ssize_t tine_process_read(const struct tine_procs *procs, const struct tine_process *process,
			  const char *name, size_t limit, char **ret_text);

#endif
