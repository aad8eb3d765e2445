/* SPDX-License-Identifier: PostgreSQL */
/* What has come on a socket, without reading it and without waiting. Locks, fork: no state. */
#ifndef TINE_BASE_PEEK_H
#define TINE_BASE_PEEK_H

#include <errno.h>
#include <sys/socket.h>

/** @return 1 data, 0 nothing, -1 the end of the connection, also by an error. Changes errno */
static inline int tine_peek(int fd)
{
	char byte;
	ssize_t got = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	if (got > 0)
		return 1;
	return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) ? 0 : -1;
}

#endif
