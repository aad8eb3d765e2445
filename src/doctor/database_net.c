/* SPDX-License-Identifier: PostgreSQL */
/*
 * Connecting to every address of a host at the same time, so that one that swallows packets costs
 * its own time only.
 *
 * Owns the descriptors until the caller takes one (and puts -1 in its place). Locks: none.
 */
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "doctor/database_wire.h"

struct place {
	struct sockaddr_storage address;
	socklen_t length;
};

static int place_of_socket(const char *directory, const char *port, struct place *place)
{
	struct sockaddr_un *address = (struct sockaddr_un *)&place->address;
	int length = snprintf(address->sun_path, sizeof(address->sun_path), "%s/.s.PGSQL.%s",
			      directory, port);

	if (length >= (int)sizeof(address->sun_path))
		return -ENAMETOOLONG;
	address->sun_family = AF_UNIX;
	place->length = sizeof(*address);
	if (*directory == '@') {
		address->sun_path[0] = '\0';
		place->length =
			(socklen_t)offsetof(struct sockaddr_un, sun_path) + (socklen_t)length;
	}
	return 0;
}

static int place_of_address(const char *numeric, const char *port, struct place *place)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
				  .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV };
	struct addrinfo *found;

	if (getaddrinfo(numeric, port, &hints, &found) != 0)
		return -EADDRNOTAVAIL;
	memcpy(&place->address, found->ai_addr, found->ai_addrlen);
	place->length = found->ai_addrlen;
	freeaddrinfo(found);
	return 0;
}

/* Begins to connect. @return true when that is going on */
static bool begin(struct tine_endpoint *endpoint, const char *port, bool is_socket)
{
	struct place place = { 0 };
	int rc = is_socket ? place_of_socket(endpoint->address, port, &place)
			   : place_of_address(endpoint->address, port, &place);

	endpoint->fd = -1;
	endpoint->os_errno = -rc;
	if (rc < 0)
		return false;
	endpoint->fd =
		socket(place.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (endpoint->fd < 0 ||
	    connect(endpoint->fd, (struct sockaddr *)&place.address, place.length) < 0)
		endpoint->os_errno = errno;
	return endpoint->os_errno == EINPROGRESS;
}

static void end(struct tine_endpoint *endpoint, int os_errno, int64_t began_ns)
{
	endpoint->us = (tine_clock_ns() - began_ns) / TINE_NS_PER_US;
	endpoint->os_errno = os_errno;
	if (os_errno && endpoint->fd >= 0) {
		close(endpoint->fd);
		endpoint->fd = -1;
	}
}

static void look(struct tine_endpoint *endpoint, int64_t began_ns)
{
	int problem = 0;
	socklen_t length = sizeof(problem);

	getsockopt(endpoint->fd, SOL_SOCKET, SO_ERROR, &problem, &length);
	end(endpoint, problem, began_ns);
}

/* Waits for those on their way. @return how many came to an end */
static int await(struct tine_endpoint *endpoints, int count, struct pollfd *slots, int64_t began_ns,
		 int64_t until_ns)
{
	int going = 0, ended = 0;

	for (int i = 0; i < count; i++) {
		bool goes = endpoints[i].os_errno == EINPROGRESS;

		slots[i] = (struct pollfd){ .fd = goes ? endpoints[i].fd : -1, .events = POLLOUT };
		going += goes;
	}
	if (!going || poll(slots, (nfds_t)count, tine_clock_poll_ms(until_ns, tine_clock_ns())) < 0)
		return going && errno == EINTR;
	for (int i = 0; i < count; i++)
		if (slots[i].fd >= 0 && slots[i].revents) {
			look(&endpoints[i], began_ns);
			ended++;
		}
	return ended;
}

void tine_endpoints_connect(struct tine_endpoint *endpoints, int count, const char *port,
			    bool is_socket, int timeout_ms)
{
	int64_t began_ns = tine_clock_ns();
	int64_t until_ns = began_ns + (int64_t)timeout_ms * TINE_NS_PER_MS;
	struct pollfd *slots = calloc((size_t)count, sizeof(*slots));

	for (int i = 0; i < count; i++)
		if (!begin(&endpoints[i], port, is_socket))
			end(&endpoints[i], endpoints[i].os_errno, began_ns);
	while (slots && tine_clock_ns() < until_ns &&
	       await(endpoints, count, slots, began_ns, until_ns) > 0)
		;
	for (int i = 0; i < count; i++)
		if (endpoints[i].os_errno == EINPROGRESS)
			end(&endpoints[i], ETIMEDOUT, began_ns);
	free(slots);
}

void tine_endpoints_close(struct tine_endpoint *endpoints, int count)
{
	for (int i = 0; i < count; i++)
		if (endpoints[i].fd >= 0) {
			close(endpoints[i].fd);
			endpoints[i].fd = -1;
		}
}
