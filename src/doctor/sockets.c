/* SPDX-License-Identifier: PostgreSQL */
/*
 * The table of sockets and the searches in it; sock_diag.c and net_files.c fill it.
 *
 * Owns the arrays of struct tine_sockets. Locks: none. Fork: nothing to do.
 */
#include "doctor/sockets.h"

#include <arpa/inet.h>
#include <err.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/exit.h"

static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

struct tine_socket *tine_sockets_append(struct tine_sockets *sockets)
{
	struct tine_socket *socket;

	if (sockets->count == 0 ||
	    (sockets->count >= 64 && (sockets->count & (sockets->count - 1)) == 0)) {
		size_t room = sockets->count ? 2 * sockets->count : 64;

		sockets->items = reallocarray(sockets->items, room, sizeof(*socket));
		if (!sockets->items)
			errx(TINE_EXIT_SYSTEM, "doctor: out of memory");
	}
	socket = &sockets->items[sockets->count++];
	memset(socket, 0, sizeof(*socket));
	return socket;
}

void tine_endpoint_set(struct tine_endpoint *endpoint, sa_family_t family, const void *address,
		       uint16_t port)
{
	memset(endpoint, 0, sizeof(*endpoint));
	endpoint->family = family;
	endpoint->port = port;
	if (family == AF_INET6 && memcmp(address, mapped, sizeof(mapped)) == 0) {
		endpoint->family = AF_INET;
		memcpy(endpoint->address, (const uint8_t *)address + sizeof(mapped), 4);
	} else {
		memcpy(endpoint->address, address, family == AF_INET ? 4 : 16);
	}
}

void tine_endpoint_format(const struct tine_endpoint *endpoint, char *text, size_t size)
{
	char address[INET6_ADDRSTRLEN] = "?";

	inet_ntop(endpoint->family, endpoint->address, address, sizeof(address));
	snprintf(text, size, endpoint->family == AF_INET6 ? "[%s]:%u" : "%s:%u", address,
		 endpoint->port);
}

/* ---- order ---------------------------------------------------------------------------------- */

static int by_inode(const void *left, const void *right)
{
	const struct tine_socket *a = left, *b = right;

	return a->inode < b->inode ? -1 : a->inode > b->inode;
}

static int compare_endpoints(const struct tine_endpoint *a, const struct tine_endpoint *b)
{
	if (a->port != b->port)
		return a->port < b->port ? -1 : 1;
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return memcmp(a->address, b->address, sizeof(a->address));
}

static int compare_ends(const struct tine_socket *a, const struct tine_socket *b)
{
	int order = compare_endpoints(&a->local, &b->local);

	return order ? order : compare_endpoints(&a->remote, &b->remote);
}

static int by_ends(const void *left, const void *right)
{
	const struct tine_socket *a = ((const struct tine_socket_place *)left)->socket;
	const struct tine_socket *b = ((const struct tine_socket_place *)right)->socket;
	int order = compare_ends(a, b);

	if (order)
		return order;
	return a->netns < b->netns ? -1 : a->netns > b->netns;
}

static int by_port(const void *left, const void *right)
{
	const struct tine_socket *a = ((const struct tine_socket_place *)left)->socket;
	const struct tine_socket *b = ((const struct tine_socket_place *)right)->socket;

	if (a->netns != b->netns)
		return a->netns < b->netns ? -1 : 1;
	return a->local.port - b->local.port;
}

static struct tine_socket_place *places(size_t count)
{
	struct tine_socket_place *array = reallocarray(NULL, count, sizeof(*array));

	if (!array)
		errx(TINE_EXIT_SYSTEM, "doctor: out of memory");
	return array;
}

void tine_sockets_sort(struct tine_sockets *sockets)
{
	if (!sockets->count)
		return;
	qsort(sockets->items, sockets->count, sizeof(*sockets->items), by_inode);
	sockets->by_ends = places(sockets->count);
	sockets->listeners = places(sockets->count);
	for (size_t i = 0; i < sockets->count; i++) {
		struct tine_socket *socket = &sockets->items[i];

		if (socket->family != AF_UNIX && socket->state == TCP_LISTEN)
			sockets->listeners[sockets->listeners_count++].socket = socket;
		else if (socket->family != AF_UNIX)
			sockets->by_ends[sockets->by_ends_count++].socket = socket;
	}
	qsort(sockets->by_ends, sockets->by_ends_count, sizeof(*sockets->by_ends), by_ends);
	qsort(sockets->listeners, sockets->listeners_count, sizeof(*sockets->listeners), by_port);
}

void tine_sockets_free(struct tine_sockets *sockets)
{
	for (size_t i = 0; i < sockets->count; i++)
		free(sockets->items[i].name);
	free(sockets->items);
	free(sockets->by_ends);
	free(sockets->listeners);
}

/* ---- searches ------------------------------------------------------------------------------- */

const struct tine_socket *tine_sockets_find(const struct tine_sockets *sockets, uint64_t inode)
{
	struct tine_socket key = { .inode = inode };

	if (!inode || !sockets->count)
		return NULL;
	return bsearch(&key, sockets->items, sockets->count, sizeof(key), by_inode);
}

/* The place of the first socket that is not below the key. */
static size_t lower_bound(const struct tine_sockets *sockets, struct tine_socket *key)
{
	const struct tine_socket_place place = { key };
	size_t low = 0, high = sockets->by_ends_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (by_ends(&sockets->by_ends[middle], &place) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct tine_socket *tine_sockets_peer(const struct tine_sockets *sockets,
					    const struct tine_socket *socket)
{
	struct tine_socket key = { .local = socket->remote, .remote = socket->local };
	const struct tine_socket *found = NULL;

	for (size_t i = lower_bound(sockets, &key); i < sockets->by_ends_count; i++) {
		const struct tine_socket *candidate = sockets->by_ends[i].socket;

		if (compare_ends(candidate, &key) != 0)
			break;
		if (candidate->netns == socket->netns)
			return candidate;
		found = candidate;
	}
	return found;
}

bool tine_sockets_is_accepted(const struct tine_sockets *sockets, const struct tine_socket *socket)
{
	struct tine_socket key = { .netns = socket->netns,
				   .local = { .port = socket->local.port } };
	const struct tine_socket_place place = { &key };

	return sockets->listeners_count &&
	       bsearch(&place, sockets->listeners, sockets->listeners_count,
		       sizeof(*sockets->listeners), by_port) != NULL;
}
