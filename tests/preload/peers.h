/* SPDX-License-Identifier: PostgreSQL */
/*
 * Connections for the tests of the guard, without a PostgreSQL: the other side is this process.
 */
#ifndef TINE_TESTS_PRELOAD_PEERS_H
#define TINE_TESTS_PRELOAD_PEERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct pair {
	int client; /* made by connect() */
	int server; /* accepted by this process */
};

enum how {
	HOOKED,   /* through libc, as any program does */
	UNHOOKED, /* by system calls, so that the guard's hooks see nothing */
};

/* The bytes a client of PostgreSQL starts with, and others. */
#define START_SSL "\0\0\0\x8\x4\xd2\x16\x2f"
#define START_GSSENC "\0\0\0\x8\x4\xd2\x16\x30"
#define START_PLAIN "\0\0\0\x12\0\3\0\0user\0app\0\0"
#define START_KAFKA "\0\0\0\x17\0\3\0\0\0\0\0\1\0\4test\0\0\0\0"
#define START_HTTP "GET / HTTP/1.1\r\n\r\n"

/** A listening socket on a free port of 127.0.0.1 or ::1; the port is stored. */
int listen_tcp(int family, uint16_t *ret_port);

/** A listening socket with this name; a leading NUL makes it abstract. */
int listen_unix(const char *name, size_t length);

/** Connect to a listening socket of ours and accept it. */
struct pair connect_pair(int listener, enum how how);

/** A pair over TCP on a fresh port. The listening socket is closed unless ret_listener is given. */
struct pair tcp_pair(int family, enum how how, int *ret_listener);

/** Send all bytes by send(2). */
void say(int fd, const void *bytes, size_t length);
#define SAY(fd, bytes) say(fd, bytes, sizeof(bytes) - 1)

/** Both directions carry a byte. Unread bytes are thrown away first. */
bool alive(struct pair pair);

/** fd is a dead end: end of file, EPIPE, and still the same open number. */
bool severed(int fd);

/** Fork: in the child the pair's client is severed, or untouched; then the parent's pair is alive.
 */
void expect_at_fork(struct pair pair, bool want_severed);

#endif
