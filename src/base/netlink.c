/* SPDX-License-Identifier: PostgreSQL */
#include "base/netlink.h"

#include <errno.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/time.h>

#define ANSWER_S 10 /* against a bug */

int tine_netlink_open(void)
{
	const struct timeval limit = { .tv_sec = ANSWER_S };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	return fd;
}

const void *tine_netlink_attribute(const struct nlmsghdr *message, size_t first, int type,
				   size_t *ret_bytes)
{
	size_t at = NLMSG_LENGTH(NLMSG_ALIGN(first));

	while (at + NLA_HDRLEN < message->nlmsg_len) {
		const struct nlattr *attribute = (const void *)((const char *)message + at);

		if (attribute->nla_len < NLA_HDRLEN || attribute->nla_len > message->nlmsg_len - at)
			break;
		*ret_bytes = attribute->nla_len - NLA_HDRLEN;
		if (attribute->nla_type == type && *ret_bytes)
			return (const char *)attribute + NLA_HDRLEN;
		at += NLA_ALIGN(attribute->nla_len);
	}
	return NULL;
}

/* @return 1 when there is more to come */
static int take_all(const void *buffer, size_t bytes,
		    void (*take)(const struct nlmsghdr *message, void *arg), void *arg)
{
	unsigned length = (unsigned)bytes;

	for (const struct nlmsghdr *message = buffer; NLMSG_OK(message, length);
	     message = NLMSG_NEXT(message, length)) {
		if (message->nlmsg_type == NLMSG_DONE)
			return 0;
		if (message->nlmsg_type == NLMSG_ERROR) {
			const struct nlmsgerr *error = NLMSG_DATA(message);

			return error->error ? error->error : -EIO;
		}
		take(message, arg);
	}
	return 1;
}

int tine_netlink_ask(int fd, const struct nlmsghdr *request, void *buffer, size_t size,
		     void (*take)(const struct nlmsghdr *message, void *arg), void *arg)
{
	int rc = 1;

	if (send(fd, request, request->nlmsg_len, MSG_NOSIGNAL) < 0)
		return -errno;
	while (rc > 0) {
		ssize_t got = recv(fd, buffer, size, 0);

		if (got > 0)
			rc = take_all(buffer, (size_t)got, take, arg);
		else if (got == 0 || errno != EINTR)
			rc = got == 0 ? -EIO : -errno;
		/* The answer to a question about one socket is one message, and no "done". */
		if (rc > 0 && !(request->nlmsg_flags & NLM_F_DUMP))
			rc = got > 0 ? 0 : rc;
	}
	return rc;
}
