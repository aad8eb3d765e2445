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
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "base/cleanup.h"
#include "doctor/sockets.h"

#define BUFFER_BYTES (256 * 1024)
#define ANSWER_S 10 /* the kernel's answer is made while we wait; this is against a bug */

/* TIME_WAIT and half-closed sockets belong to no process any more. */
#define TCP_STATES                                                                                 \
	(1U << TCP_ESTABLISHED | 1U << TCP_SYN_SENT | 1U << TCP_CLOSE_WAIT | 1U << TCP_LISTEN)

static int netlink(void)
{
	const struct timeval limit = { .tv_sec = ANSWER_S };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	return fd;
}

/* A netlink socket in another namespace. */
static int netlink_in(int namespace)
{
	cleanup_(tine_closep) int own = -1;
	int fd;

	if (namespace < 0)
		return netlink();
	own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (own < 0 || setns(namespace, CLONE_NEWNET) < 0)
		return -errno;
	fd = netlink();
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
	void (*take)(struct dump *dump, const struct nlmsghdr *message);
};

/* The value of an attribute behind the first bytes of a message, or NULL.
 * ret_bytes: its length, at least one. */
static const void *find_attribute(const struct nlmsghdr *message, size_t first, int type,
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

static void take_inet(struct dump *dump, const struct nlmsghdr *message)
{
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

static void take_unix(struct dump *dump, const struct nlmsghdr *message)
{
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
	name = find_attribute(message, sizeof(*row), UNIX_DIAG_NAME, &bytes);
	if (name && *name)
		socket->name = strndup(name, bytes);
	peer = find_attribute(message, sizeof(*row), UNIX_DIAG_PEER, &bytes);
	if (peer && bytes >= sizeof(*peer))
		socket->peer = *peer;
}

/* Returns 1 when there is more to come. */
static int take_all(struct dump *dump, const void *buffer, size_t bytes)
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
		dump->take(dump, message);
	}
	return 1;
}

static int run_dump(int fd, struct dump *dump, const void *request, size_t request_bytes)
{
	char *buffer;
	int rc = 1;

	if (send(fd, request, request_bytes, 0) < 0)
		return -errno;
	buffer = malloc(BUFFER_BYTES);
	if (!buffer)
		return -ENOMEM;
	while (rc > 0) {
		ssize_t got = recv(fd, buffer, BUFFER_BYTES, 0);

		if (got > 0)
			rc = take_all(dump, buffer, (size_t)got);
		else if (got == 0 || errno != EINTR)
			rc = got == 0 ? -EIO : -errno;
	}
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
	struct dump dump = { sockets, netns, take_inet };
	const struct inet_request request = {
		.header = { .nlmsg_len = sizeof(request),
			    .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			    .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.body = { .sdiag_family = family,
			  .sdiag_protocol = IPPROTO_TCP,
			  .idiag_states = TCP_STATES },
	};

	return run_dump(fd, &dump, &request, sizeof(request));
}

static int ask_unix(int fd, struct tine_sockets *sockets, uint64_t netns)
{
	struct dump dump = { sockets, netns, take_unix };
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

	return run_dump(fd, &dump, &request, sizeof(request));
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

static void take_traffic(struct dump *dump, const struct nlmsghdr *message)
{
	struct tine_traffic *traffic = dump->out;
	struct tcp_info info;
	const void *found;
	size_t bytes;

	found = find_attribute(message, sizeof(struct inet_diag_msg), INET_DIAG_INFO, &bytes);
	if (!found || bytes < sizeof(info))
		return;
	memcpy(&info, found, sizeof(info));
	traffic->sent_ms = info.tcpi_last_data_sent;
	traffic->received_ms = info.tcpi_last_data_recv;
}

/* The answer to a question about one socket is one message, and no "done". */
static int take_answer(int fd, struct dump *dump)
{
	char buffer[4096] __attribute__((aligned(NLMSG_ALIGNTO)));
	ssize_t got = recv(fd, buffer, sizeof(buffer), 0);
	int rc = got < 0 ? -errno : take_all(dump, buffer, (size_t)got);

	return rc < 0 ? rc : 0;
}

int tine_sockets_traffic(const struct tine_socket *socket, int namespace,
			 struct tine_traffic *ret_traffic)
{
	cleanup_(tine_closep) int fd = netlink_in(namespace);
	struct dump dump = { ret_traffic, socket->netns, take_traffic };
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
	if (send(fd, &request, sizeof(request), 0) < 0)
		return -errno;
	return take_answer(fd, &dump);
}
