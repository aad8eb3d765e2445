/* SPDX-License-Identifier: PostgreSQL */
/*
 * Sever: make an inherited socket inert without a byte on the wire and without freeing its number.
 *
 * The descriptor is replaced by a dead end: one side of a socket pair whose other side is closed.
 * Readers see end of file and writers EPIPE, which libpq turns into "server closed the connection
 * unexpectedly" and CONNECTION_BAD. The ways that do not work, and why (docs/design.md has more):
 * close() frees the number for the next open file, shutdown() ends the parent's session too, and
 * /dev/null or an unconnected socket leave libpq believing that the connection is fine.
 *
 * Async-signal-safe: system calls only. No locks. Call it in the child, before other code runs
 * there.
 */
#ifndef TINE_FORK_SEVER_H
#define TINE_FORK_SEVER_H

#include <stdbool.h>
#include <sys/resource.h>
#include <sys/types.h>

struct tine_dead_end {
	int fd;      /* -1 while there is none */
	ino_t inode; /* of the dead end, and so of every descriptor it replaces */
	bool limit_raised;
	struct rlimit limit;
};

#define TINE_DEAD_END_INIT                                                                         \
	{                                                                                          \
		.fd = -1                                                                           \
	}

/** Make the dead end. When the descriptor table is full the soft limit is raised to the hard one
 * for as long as the dead end is open. @return 0 or -errno */
int tine_dead_end_open(struct tine_dead_end *end);

/** Undo tine_dead_end_open(); severed descriptors stay severed. */
void tine_dead_end_close(struct tine_dead_end *end);

/** Put the dead end in fd's place; close-on-exec stays as it was on fd.
 *  @return 0 or -errno; on failure fd is as before */
int tine_sever(const struct tine_dead_end *end, int fd);

#endif
