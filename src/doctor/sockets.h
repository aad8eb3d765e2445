/* SPDX-License-Identifier: PostgreSQL */
/*
 * The TCP and unix sockets of network namespaces, with their two ends: asked of the kernel
 * (sock_diag), or read from a process's /proc/PID/net where that cannot be done. The latter tells
 * no peers of unix sockets.
 *
 * Locks: none. Fork: nothing to do. The network namespace of this process is changed for a moment
 * and put back: one thread only.
 */
#ifndef TINE_DOCTOR_SOCKETS_H
#define TINE_DOCTOR_SOCKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct tine_endpoint {
	sa_family_t family; /* AF_INET; AF_INET6, but not for a mapped IPv4 address */
	uint16_t port;
	uint8_t address[16];
};

struct tine_socket {
	uint64_t inode;
	uint64_t netns;
	uint64_t peer;      /* unix: the inode of the other end; 0: none or not told */
	char *name;         /* unix: the path it is bound to, NULL when none; foreign bytes */
	uint32_t user;      /* TCP: who made it */
	sa_family_t family; /* AF_UNIX, AF_INET, AF_INET6 */
	uint8_t state;      /* TCP_ESTABLISHED, TCP_LISTEN, ... of netinet/tcp.h; for unix too */
	struct tine_endpoint local, remote; /* TCP */
};

/* For orders other than that of the table. */
struct tine_socket_place {
	struct tine_socket *socket;
};

struct tine_sockets {
	struct tine_socket *items; /* by inode after tine_sockets_sort() */
	size_t count;
	struct tine_socket_place *by_ends; /* TCP connections, by local and remote end */
	size_t by_ends_count;
	struct tine_socket_place *listeners; /* TCP, by namespace and port */
	size_t listeners_count;
};

/** Ask the kernel for the sockets of a namespace.
 *  @param netns  its number, noted in each socket
 *  @param fd     an open /proc/PID/ns/net to go there, or -1 for our own
 *  @return 0, -EPERM when we may not go there, or -errno */
int tine_sockets_ask(struct tine_sockets *sockets, uint64_t netns, int fd);

/** Read the text files of a process's /proc/PID/net.
 *  @param net  an open directory
 *  @return 0 or -errno */
int tine_sockets_parse(struct tine_sockets *sockets, uint64_t netns, int net);

/** Sort, once, for the searches below. */
void tine_sockets_sort(struct tine_sockets *sockets);
void tine_sockets_free(struct tine_sockets *sockets);

/** @return the socket or NULL */
const struct tine_socket *tine_sockets_find(const struct tine_sockets *sockets, uint64_t inode);

/** The other end of a TCP socket, when it is on this machine: in the same namespace, else in any.
 *  @return the socket or NULL */
const struct tine_socket *tine_sockets_peer(const struct tine_sockets *sockets,
					    const struct tine_socket *socket);

/** Does something listen on this socket's local port, so that it was accepted? */
bool tine_sockets_is_accepted(const struct tine_sockets *sockets, const struct tine_socket *socket);

/* Times in milliseconds since something was last sent and received. */
struct tine_traffic {
	uint32_t sent_ms, received_ms;
};

/** Ask when a TCP socket was last used.
 *  @param fd as for tine_sockets_ask()
 *  @return 0 or -errno */
int tine_sockets_traffic(const struct tine_socket *socket, int fd,
			 struct tine_traffic *ret_traffic);

/** "192.0.2.5:5432", "[2001:db8::1]:5432" */
void tine_endpoint_format(const struct tine_endpoint *endpoint, char *text, size_t size);

/* For the readers of sockets. */

/** Room for one more. @return zeroed, in the array */
struct tine_socket *tine_sockets_append(struct tine_sockets *sockets);

/** An address in network order, of 4 or 16 bytes; a mapped one becomes IPv4. */
void tine_endpoint_set(struct tine_endpoint *endpoint, sa_family_t family, const void *address,
		       uint16_t port);

#endif
