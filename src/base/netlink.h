/* SPDX-License-Identifier: PostgreSQL */
/*
 * Questions to the kernel about sockets (sock_diag). What it answers is checked for its lengths.
 *
 * Owns nothing. Locks: none. Fork: nothing to do. An answer is made while we wait for it, in some
 * microseconds for one socket and milliseconds for all.
 */
#ifndef TINE_BASE_NETLINK_H
#define TINE_BASE_NETLINK_H

#include <linux/netlink.h>
#include <stddef.h>

/* No message of the kernel is larger than the room for it, from so many bytes on. */
#define TINE_NETLINK_BYTES 8192

/** @return a descriptor, or -errno: -EPROTONOSUPPORT where the kernel has no sock_diag, -EPERM and
 *  -EACCES in a sandbox */
int tine_netlink_open(void);

/** Ask, and read all of the answer.
 *  @param request  begins with its header; with NLM_F_DUMP the answer is many messages
 *  @param buffer   for the answer, aligned as a message is, of TINE_NETLINK_BYTES or more
 *  @param take     called with each message that is no error
 *  @return 0, or -errno: -ENOENT no such socket, or no such kind of question in this kernel */
int tine_netlink_ask(int fd, const struct nlmsghdr *request, void *buffer, size_t size,
		     void (*take)(const struct nlmsghdr *message, void *arg), void *arg);

/** The value of an attribute behind the first bytes of a message, or NULL.
 *  @param ret_bytes  its length, at least one */
const void *tine_netlink_attribute(const struct nlmsghdr *message, size_t first, int type,
				   size_t *ret_bytes);

#endif
