/* SPDX-License-Identifier: PostgreSQL */
/* Stands for a libpq: connects and sends the first bytes from inside a library of such a name. */
#include <sys/socket.h>
#include <unistd.h>

int stub_socket(void);
int stub_close(int fd);
int stub_connect(const struct sockaddr *address, socklen_t length);

int stub_socket(void)
{
	volatile int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd; /* volatile, or the call becomes a jump and seems to come from our caller */
}

int stub_close(int fd)
{
	volatile int rc = close(fd);

	return rc;
}

int stub_connect(const struct sockaddr *address, socklen_t length)
{
	static const char start[] = "\0\0\0\x12\0\3\0\0user\0app\0";
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(fd, address, length) < 0 || send(fd, start, sizeof(start), 0) < 0)
		return -1;
	return fd;
}
