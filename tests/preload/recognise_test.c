/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the guard severs in a forked child and what it leaves alone. Runs with the library
 * preloaded.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "preload/peers.h"
#include "support/check.h"

#define PLAIN_BYTES (sizeof(START_PLAIN) - 1)

static void expect_start(const void *bytes, size_t length, bool want_severed)
{
	struct pair pair = tcp_pair(AF_INET, HOOKED, NULL);

	say(pair.client, bytes, length);
	expect_at_fork(pair, want_severed);
}

#define EXPECT_START(bytes, want_severed) expect_start(bytes, sizeof(bytes) - 1, want_severed)

TEST(severs_by_first_bytes_on_a_random_port)
{
	EXPECT_START(START_SSL, true);
	EXPECT_START(START_GSSENC, true);
	EXPECT_START(START_PLAIN, true);
}

TEST(leaves_other_protocols)
{
	EXPECT_START(START_HTTP, false);
	EXPECT_START(START_KAFKA, false);
	EXPECT_START("*1\r\n$4\r\nPING\r\n", false);
	EXPECT_START("x", false);
}

TEST(severs_over_ipv6)
{
	struct pair pair = tcp_pair(AF_INET6, HOOKED, NULL);

	SAY(pair.client, START_SSL);
	expect_at_fork(pair, true);
}

TEST(sees_every_way_of_sending)
{
	struct iovec parts[] = { { (void *)START_PLAIN, 3 },
				 { (void *)&START_PLAIN[3], PLAIN_BYTES - 3 } };
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
	struct pair pairs[4];

	for (int i = 0; i < 4; i++)
		pairs[i] = tcp_pair(AF_INET, HOOKED, NULL);
	CHECK_INT(write(pairs[0].client, START_PLAIN, PLAIN_BYTES), ==, PLAIN_BYTES);
	CHECK_INT(writev(pairs[1].client, parts, 2), ==, PLAIN_BYTES);
	CHECK_INT(sendmsg(pairs[2].client, &message, 0), ==, PLAIN_BYTES);
	CHECK_INT(sendto(pairs[3].client, START_PLAIN, PLAIN_BYTES, 0, NULL, 0), ==, PLAIN_BYTES);
	for (int i = 0; i < 4; i++)
		expect_at_fork(pairs[i], true);
}

TEST(puts_first_bytes_together)
{
	struct pair pair = tcp_pair(AF_INET, HOOKED, NULL);

	for (int i = 0; i < 9; i++)
		say(pair.client, &START_PLAIN[i], 1);
	expect_at_fork(pair, true);
}

TEST(knows_ports_of_the_environment)
{
	/* meson.build sets PGPORT=47101 and a URL with 47102 for this program */
	static const uint16_t ports[] = { 5432, 6432, 47101, 47102, 47103 };

	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
		struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(ports[i]) };
		int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;

		/* an address of our own in 127/8, so that a real server on the port is not in the
		 * way */
		address.sin_addr.s_addr = htonl(0x7f4d0000u + (unsigned)getpid() % 60000 + 1);
		setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		CHECK_INT(bind(listener, (struct sockaddr *)&address, sizeof(address)), ==, 0);
		CHECK_INT(listen(listener, 4), ==, 0);
		for (int how = HOOKED; how <= UNHOOKED; how++) {
			struct pair pair = connect_pair(listener, how);

			expect_at_fork(pair, ports[i] != 47103);
		}
	}
}

TEST(leaves_another_protocol_on_a_known_port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(47101) };
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	struct pair pair;

	address.sin_addr.s_addr = htonl(0x7f4e0000u + (unsigned)getpid() % 60000 + 1);
	CHECK_INT(bind(listener, (struct sockaddr *)&address, sizeof(address)), ==, 0);
	CHECK_INT(listen(listener, 4), ==, 0);
	pair = connect_pair(listener, HOOKED);
	SAY(pair.client, START_HTTP);
	expect_at_fork(pair, false);
}

TEST(knows_unix_sockets)
{
	char directory[] = "/tmp/tine-unix-XXXXXX", path[64], abstract[64] = "";
	struct pair pair;

	CHECK(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/.s.PGSQL.47104", directory);
	snprintf(abstract + 1, sizeof(abstract) - 1, "%s/.s.PGSQL.47104", directory);
	for (int how = HOOKED; how <= UNHOOKED; how++) {
		pair = connect_pair(listen_unix(path, strlen(path)), how);
		expect_at_fork(pair, true);
		unlink(path);
		pair = connect_pair(listen_unix(abstract, strlen(path) + 1), how);
		expect_at_fork(pair, true);
		abstract[1]++; /* the old name stays bound while its socket is open */
	}
	snprintf(path, sizeof(path), "%s/redis.sock", directory);
	pair = connect_pair(listen_unix(path, strlen(path)), HOOKED);
	expect_at_fork(pair, false);
	unlink(path);
	rmdir(directory);
}

/* A program that itself serves PostgreSQL's port, or meets a client whose own port is one. */
TEST(leaves_accepted_connections)
{
	struct sockaddr_in from = { .sin_family = AF_INET, .sin_port = htons(47101) }, to;
	socklen_t length = sizeof(to);
	uint16_t port;
	int listener = listen_tcp(AF_INET, &port), server;
	int client = (int)syscall(SYS_socket, AF_INET, SOCK_STREAM, 0), on = 1;
	pid_t pid;

	from.sin_addr.s_addr = htonl(0x7f4f0000u + (unsigned)getpid() % 60000 + 1);
	setsockopt(client, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	CHECK_INT(bind(client, (struct sockaddr *)&from, sizeof(from)), ==, 0);
	CHECK_INT(getsockname(listener, (struct sockaddr *)&to, &length), ==, 0);
	CHECK_INT(syscall(SYS_connect, client, &to, length), ==, 0);
	server = (int)syscall(SYS_accept4, listener, NULL, NULL, 0);
	CHECK_INT(send(client, START_PLAIN, PLAIN_BYTES, 0), ==, PLAIN_BYTES);
	pid = fork();
	if (pid == 0) {
		CHECK(alive((struct pair){ client, server }));
		_exit(0);
	}
	check_child(pid);
	close(listener);
}

TEST(leaves_everything_else)
{
	struct pair pair = tcp_pair(AF_INET, HOOKED, NULL);
	int listener = listen_tcp(AF_INET, &(uint16_t){ 0 }), ends[2], sockets[2], epoll, file;
	int unconnected = socket(AF_INET, SOCK_STREAM, 0), udp = socket(AF_INET, SOCK_DGRAM, 0);
	struct sockaddr_in dns = { .sin_family = AF_INET, .sin_port = htons(5432) };
	int watched[8];
	struct stat before[8], after;
	pid_t pid;

	dns.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CHECK_INT(connect(udp, (struct sockaddr *)&dns, sizeof(dns)), ==, 0);
	CHECK_INT(pipe(ends), ==, 0);
	CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), ==, 0);
	epoll = epoll_create1(0);
	file = open("/proc/self/exe", O_RDONLY);
	SAY(pair.client, START_SSL);
	memcpy(watched,
	       (int[]){ listener, ends[0], ends[1], sockets[0], epoll, file, unconnected, udp },
	       sizeof(watched));
	for (int i = 0; i < 8; i++)
		CHECK_INT(fstat(watched[i], &before[i]), ==, 0);
	pid = fork();
	if (pid == 0) {
		CHECK(severed(pair.client));
		for (int i = 0; i < 8; i++) {
			CHECK_INT(fstat(watched[i], &after), ==, 0);
			CHECK_INT(after.st_ino, ==, before[i].st_ino);
		}
		_exit(0);
	}
	check_child(pid);
}

/* The number of a PostgreSQL connection that was closed behind the hooks' back and reused. */
TEST(leaves_a_reused_number)
{
	struct pair postgres = tcp_pair(AF_INET, HOOKED, NULL), other;

	SAY(postgres.client, START_SSL);
	other = tcp_pair(AF_INET, UNHOOKED, NULL);
	CHECK_INT(syscall(SYS_dup3, other.client, postgres.client, 0), ==, postgres.client);
	close(other.client);
	expect_at_fork((struct pair){ postgres.client, other.server }, false);
}

TEST(severs_copies_of_a_descriptor)
{
	struct pair pair = tcp_pair(AF_INET, HOOKED, NULL);
	int copy;
	pid_t pid;

	SAY(pair.client, START_SSL);
	copy = fcntl(pair.client, F_DUPFD_CLOEXEC, 100);
	pid = fork();
	if (pid == 0) {
		CHECK(severed(pair.client));
		CHECK(severed(copy));
		CHECK_INT(fcntl(copy, F_GETFD), ==, FD_CLOEXEC);
		_exit(0);
	}
	check_child(pid);
	/* also when only the copy is left */
	close(pair.client);
	expect_at_fork((struct pair){ copy, pair.server }, true);
}

/* A lost connection makes a write fail; it does not kill a program that left SIGPIPE as it is. */
TEST(raises_no_sigpipe)
{
	struct pair pair = tcp_pair(AF_INET, HOOKED, NULL);
	struct iovec part = { (void *)"x", 1 };
	pid_t pid;

	SAY(pair.client, START_SSL);
	pid = fork();
	if (pid == 0) {
		CHECK(write(pair.client, "x", 1) < 0 && errno == EPIPE);
		CHECK(writev(pair.client, &part, 1) < 0 && errno == EPIPE);
		CHECK(send(pair.client, "x", 1, 0) < 0 && errno == EPIPE);
		_exit(0);
	}
	check_child(pid);
	CHECK(alive(pair));
}

/* Nothing had been sent when the process forked; the child is the one that starts to speak. */
TEST(severs_at_the_childs_first_bytes)
{
	struct pair pair = tcp_pair(AF_INET, HOOKED, NULL);
	char got[32];
	pid_t pid = fork();

	if (pid == 0) {
		CHECK(send(pair.client, START_SSL, 8, MSG_NOSIGNAL) < 0 && errno == EPIPE);
		CHECK(severed(pair.client));
		_exit(0);
	}
	check_child(pid);
	SAY(pair.client, START_SSL);
	CHECK_INT(recv(pair.server, got, sizeof(got), 0), ==, 8);
	expect_at_fork(pair, true);
}

TEST(severs_a_connection_being_opened)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(5432) };
	int listener = socket(AF_INET, SOCK_STREAM, 0), clients[3];
	pid_t pid;

	address.sin_addr.s_addr = htonl(0x7f500000u + (unsigned)getpid() % 60000 + 1);
	CHECK_INT(bind(listener, (struct sockaddr *)&address, sizeof(address)), ==, 0);
	/* A backlog of 0 holds one connection; the next SYN is left unanswered. */
	CHECK_INT(listen(listener, 0), ==, 0);
	for (int i = 0; i < 3; i++) {
		clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		CHECK(connect(clients[i], (struct sockaddr *)&address, sizeof(address)) == 0 ||
		      errno == EINPROGRESS);
	}
	pid = fork();
	if (pid == 0) {
		for (int i = 0; i < 3; i++)
			CHECK(severed(clients[i]));
		_exit(0);
	}
	check_child(pid);
}

CHECK_TABLE(T(severs_by_first_bytes_on_a_random_port), T(leaves_other_protocols),
	    T(severs_over_ipv6), T(sees_every_way_of_sending), T(puts_first_bytes_together),
	    T(knows_ports_of_the_environment), T(leaves_another_protocol_on_a_known_port),
	    T(knows_unix_sockets), T(leaves_accepted_connections), T(leaves_everything_else),
	    T(leaves_a_reused_number), T(severs_copies_of_a_descriptor), T(raises_no_sigpipe),
	    T(severs_at_the_childs_first_bytes), T(severs_a_connection_being_opened))
