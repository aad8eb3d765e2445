/* SPDX-License-Identifier: PostgreSQL */
/*
 * Asking the kernel for sockets, by netlink. Another namespace is entered to make the netlink
 * socket, which stays there, and left at once.
 *
 * Owns nothing but what it appends. Locks: none, one thread. Fork: nothing to do.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/netlink.h"
#include "doctor/sockets.h"

#define BUFFER_BYTES (256 * 1024)

/* TIME_WAIT and half-closed sockets belong to no process any more. */
#define TCP_STATES                                                                                 \
	(1U << TCP_ESTABLISHED | 1U << TCP_SYN_SENT | 1U << TCP_CLOSE_WAIT | 1U << TCP_LISTEN)

/* A netlink socket in another namespace. */
static int netlink_in(int namespace)
{
	cleanup_(tine_closep) int own = -1;
	int fd;

	if (namespace < 0)
		return tine_netlink_open();
	own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (own < 0 || setns(namespace, CLONE_NEWNET) < 0)
		return -errno;
	fd = tine_netlink_open();
	if (setns(own, CLONE_NEWNET) < 0) {
		int error = errno;

		if (fd >= 0)
			close(fd);
		return -error;
	}
	return fd;
}

/* ---- dumps ---------------------------------------------------------------------------------- */

struct dump {
	void *out; /* struct tine_sockets or tine_traffic */
	uint64_t netns;
};

static void take_inet(const struct nlmsghdr *message, void *arg)
{
	const struct dump *dump = arg;
	const struct inet_diag_msg *row = NLMSG_DATA(message);
	struct tine_socket *socket;

	if (message->nlmsg_len < NLMSG_LENGTH(sizeof(*row)) || !row->idiag_inode)
		return;
	socket = tine_sockets_append(dump->out);
	socket->inode = row->idiag_inode;
	socket->netns = dump->netns;
	socket->family = row->idiag_family;
	socket->state = row->idiag_state;
	socket->user = row->idiag_uid;
	tine_endpoint_set(&socket->local, row->idiag_family, row->id.idiag_src,
			  ntohs(row->id.idiag_sport));
	tine_endpoint_set(&socket->remote, row->idiag_family, row->id.idiag_dst,
			  ntohs(row->id.idiag_dport));
}

static void take_unix(const struct nlmsghdr *message, void *arg)
{
	const struct dump *dump = arg;
	const struct unix_diag_msg *row = NLMSG_DATA(message);
	struct tine_socket *socket;
	const char *name;
	const uint32_t *peer;
	size_t bytes;

	if (message->nlmsg_len < NLMSG_LENGTH(sizeof(*row)))
		return;
	socket = tine_sockets_append(dump->out);
	socket->inode = row->udiag_ino;
	socket->netns = dump->netns;
	socket->family = AF_UNIX;
	socket->state = row->udiag_state;
	name = tine_netlink_attribute(message, sizeof(*row), UNIX_DIAG_NAME, &bytes);
	if (name && *name)
		socket->name = strndup(name, bytes);
	peer = tine_netlink_attribute(message, sizeof(*row), UNIX_DIAG_PEER, &bytes);
	if (peer && bytes >= sizeof(*peer))
		socket->peer = *peer;
}

static int run_dump(int fd, struct dump *dump, const struct nlmsghdr *request,
		    void (*take)(const struct nlmsghdr *message, void *arg))
{
	char *buffer = malloc(BUFFER_BYTES);
	int rc;

	if (!buffer)
		return -ENOMEM;
	rc = tine_netlink_ask(fd, request, buffer, BUFFER_BYTES, take, dump);
	free(buffer);
	return rc;
}

/* ---- requests ------------------------------------------------------------------------------- */

struct inet_request {
	struct nlmsghdr header;
	struct inet_diag_req_v2 body;
};

static int ask_inet(int fd, struct tine_sockets *sockets, uint64_t netns, uint8_t family)
{
	struct dump dump = { sockets, netns };
	const struct inet_request request = {
		.header = { .nlmsg_len = sizeof(request),
			    .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			    .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.body = { .sdiag_family = family,
			  .sdiag_protocol = IPPROTO_TCP,
			  .idiag_states = TCP_STATES },
	};

	return run_dump(fd, &dump, &request.header, take_inet);
}

static int ask_unix(int fd, struct tine_sockets *sockets, uint64_t netns)
{
	struct dump dump = { sockets, netns };
	const struct {
		struct nlmsghdr header;
		struct unix_diag_req body;
	} request = {
		.header = { .nlmsg_len = sizeof(request),
			    .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			    .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.body = { .sdiag_family = AF_UNIX,
			  .udiag_states = UINT32_MAX,
			  .udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_PEER },
	};

	return run_dump(fd, &dump, &request.header, take_unix);
}

int tine_sockets_ask(struct tine_sockets *sockets, uint64_t netns, int namespace)
{
	cleanup_(tine_closep) int fd = netlink_in(namespace);
	size_t before = sockets->count;
	int rc = fd;

	if (rc >= 0)
		rc = ask_inet(fd, sockets, netns, AF_INET);
	if (rc >= 0)
		rc = ask_inet(fd, sockets, netns, AF_INET6);
	if (rc >= 0)
		rc = ask_unix(fd, sockets, netns);
	/* The caller reads the files instead: nothing twice. */
	while (rc < 0 && sockets->count > before)
		free(sockets->items[--sockets->count].name);
	return rc;
}

/* ---- one socket ----------------------------------------------------------------------------- */

/* As the kernel keeps it: a mapped address in a socket of IPv6. */
static void put_address(uint32_t *words, sa_family_t family, const struct tine_endpoint *endpoint)
{
	if (family == AF_INET6 && endpoint->family == AF_INET) {
		words[2] = htonl(0xffff);
		memcpy(words + 3, endpoint->address, 4);
	} else {
		memcpy(words, endpoint->address, endpoint->family == AF_INET ? 4 : 16);
	}
}

static void take_traffic(const struct nlmsghdr *message, void *arg)
{
	const struct dump *dump = arg;
	struct tine_traffic *traffic = dump->out;
	struct tcp_info info;
	const void *found;
	size_t bytes;

	found = tine_netlink_attribute(message, sizeof(struct inet_diag_msg), INET_DIAG_INFO,
				       &bytes);
	if (!found || bytes < sizeof(info))
		return;
	memcpy(&info, found, sizeof(info));
	traffic->sent_ms = info.tcpi_last_data_sent;
	traffic->received_ms = info.tcpi_last_data_recv;
}

int tine_sockets_traffic(const struct tine_socket *socket, int namespace,
			 struct tine_traffic *ret_traffic)
{
	cleanup_(tine_closep) int fd = netlink_in(namespace);
	struct dump dump = { ret_traffic, socket->netns };
	struct inet_request request = {
		.header = { .nlmsg_len = sizeof(request),
			    .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			    .nlmsg_flags = NLM_F_REQUEST },
		.body = { .sdiag_family = (uint8_t)socket->family,
			  .sdiag_protocol = IPPROTO_TCP,
			  .idiag_ext = 1U << (INET_DIAG_INFO - 1),
			  .idiag_states = TCP_STATES,
			  .id = { .idiag_sport = htons(socket->local.port),
				  .idiag_dport = htons(socket->remote.port),
				  .idiag_cookie = { INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE } } },
	};

	if (fd < 0)
		return fd;
	*ret_traffic = (struct tine_traffic){ UINT32_MAX, UINT32_MAX };
	put_address(request.body.id.idiag_src, socket->family, &socket->local);
	put_address(request.body.id.idiag_dst, socket->family, &socket->remote);
	return run_dump(fd, &dump, &request.header, take_traffic);
}
