/* SPDX-License-Identifier: PostgreSQL */
#include "preload/peers.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "support/check.h"

int listen_tcp(int family, uint16_t *ret_port)
{
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr *address =
		family == AF_INET ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6;
	socklen_t length = family == AF_INET ? sizeof(v4) : sizeof(v6);
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CHECK_INT(fd, >=, 0);
	CHECK_INT(bind(fd, address, length), ==, 0);
	CHECK_INT(listen(fd, 16), ==, 0);
	CHECK_INT(getsockname(fd, address, &length), ==, 0);
	*ret_port = ntohs(v4.sin_port ? v4.sin_port : v6.sin6_port);
	return fd;
}

int listen_unix(const char *name, size_t length)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(address.sun_path, name, length);
	CHECK_INT(bind(fd, (struct sockaddr *)&address,
		       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)),
		  ==, 0);
	CHECK_INT(listen(fd, 16), ==, 0);
	return fd;
}

struct pair connect_pair(int listener, enum how how)
{
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);
	struct pair pair;

	CHECK_INT(getsockname(listener, (struct sockaddr *)&address, &length), ==, 0);
	if (how == HOOKED) {
		pair.client = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		CHECK_INT(connect(pair.client, (struct sockaddr *)&address, length), ==, 0);
		pair.server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	} else {
		pair.client =
			(int)syscall(SYS_socket, address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		CHECK_INT(syscall(SYS_connect, pair.client, &address, length), ==, 0);
		pair.server = (int)syscall(SYS_accept4, listener, NULL, NULL, SOCK_CLOEXEC);
	}
	CHECK_INT(pair.server, >=, 0);
	return pair;
}

struct pair tcp_pair(int family, enum how how, int *ret_listener)
{
	uint16_t port;
	int listener = listen_tcp(family, &port);
	struct pair pair = connect_pair(listener, how);

	if (ret_listener)
		*ret_listener = listener;
	else
		close(listener);
	return pair;
}

void say(int fd, const void *bytes, size_t length)
{
	CHECK_INT(send(fd, bytes, length, MSG_NOSIGNAL), ==, length);
}

static bool carries(int from, int to)
{
	struct pollfd ready = { .fd = to, .events = POLLIN };
	char sent = (char)(getpid() % 127), got[256] = "";
	ssize_t length;

	while (recv(to, got, sizeof(got), MSG_DONTWAIT) > 0)
		;
	if (send(from, &sent, 1, MSG_NOSIGNAL) != 1 || poll(&ready, 1, 5000) != 1)
		return false;
	length = recv(to, got, sizeof(got), 0);
	return length == 1 && got[0] == sent;
}

bool alive(struct pair pair)
{
	return carries(pair.client, pair.server) && carries(pair.server, pair.client);
}

bool severed(int fd)
{
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);
	char byte;

	return getsockname(fd, (struct sockaddr *)&address, &length) == 0 &&
	       address.ss_family == AF_UNIX && recv(fd, &byte, 1, MSG_DONTWAIT) == 0 &&
	       send(fd, "x", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE;
}

void expect_at_fork(struct pair pair, bool want_severed)
{
	pid_t pid = fork();

	if (pid == 0) {
		CHECK(want_severed ? severed(pair.client) : alive(pair));
		_exit(0);
	}
	check_child(pid);
	CHECK(alive(pair));
}
