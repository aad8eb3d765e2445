/* SPDX-License-Identifier: PostgreSQL */
/*
 * Event loops that watch a connection's descriptor by epoll. A registration is for the socket and
 * not for its number, so it goes when another socket takes the number, and a program that made it
 * once for all would wait for ever. The kernel tells which there are (/proc/self/fdinfo), so
 * nothing is recorded.
 *
 * A loop that is shared with a parent has the parent's socket, which is another one: it is left
 * alone.
 *
 * Pure but for the descriptors. Locks, fork: no state.
 */
#ifndef TINE_PRELOAD_LIBPQ_WATCH_H
#define TINE_PRELOAD_LIBPQ_WATCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define TINE_WATCHES 4

struct tine_watch {
	int epoll;
	uint32_t events;
	uint64_t data;
};

/** Find who watches the socket at fd.
 *  @return how many were found, the first TINE_WATCHES at most */
int tine_watch_find(int fd, ino_t inode, struct tine_watch *ret);

/** Does anybody watch the socket at fd? Costs nothing in a program that never used epoll. */
bool tine_watch_is_on(int fd, ino_t inode);

/** Have them watch the socket that is at fd now. */
void tine_watch_again(int fd, const struct tine_watch *watches, int count);

#endif
