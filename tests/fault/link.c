/* SPDX-License-Identifier: PostgreSQL */
/*
 * Links: bytes that arrive at one end are queued with the time at which they are due and sent to
 * the other end. link_may_read() and link_may_send() say what the link's mode allows.
 */
#include "proxy.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define QUEUE_MAX_BYTES (256 * 1024)
#define CLOSED_MAX 10000

static void end_ready(struct watch *watch, uint32_t events);

static struct end *other_end(struct end *end)
{
	return &end->link->end[end->side == CLIENT ? SERVER : CLIENT];
}

static void set_nodelay(int fd)
{
	int on = 1;

	/* Fails for a unix socket, which has no delay. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static void end_init(struct link *link, enum side side)
{
	struct end *end = &link->end[side];

	end->watch = (struct watch){ .fd = -1, .ready = end_ready };
	end->link = link;
	end->side = side;
	STAILQ_INIT(&end->queue);
}

static void queue_clear(struct end *end)
{
	struct chunk *chunk;

	while ((chunk = STAILQ_FIRST(&end->queue))) {
		STAILQ_REMOVE_HEAD(&end->queue, next);
		free(chunk);
	}
	end->queued_bytes = 0;
}

static bool link_dial(struct link *link)
{
	struct proxy *proxy = link->proxy;
	struct end *server = &link->end[SERVER];
	int fd = socket(proxy->server.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket: %m");
	set_nodelay(fd);
	server->watch.fd = fd;
	if (connect(fd, (struct sockaddr *)&proxy->server, proxy->server_length) == 0)
		return true;
	server->connecting = errno == EINPROGRESS;
	return server->connecting;
}

static void count_open(struct proxy *proxy)
{
	const struct link *link;
	uint64_t open = 0;

	TAILQ_FOREACH(link, &proxy->open, next)
	open += link_has_client(link);
	if (open > proxy->peak)
		proxy->peak = open;
}

void link_open(struct proxy *proxy, int client_fd)
{
	struct link *link = calloc(1, sizeof(*link));

	if (!link)
		die("out of memory");
	link->proxy = proxy;
	link->number = ++proxy->last_number;
	link->opened_us = now_us();
	link->held_until_us = link->opened_us + proxy->connect_delay_us;
	frames_init(&link->frames);
	end_init(link, CLIENT);
	end_init(link, SERVER);
	link->end[CLIENT].watch.fd = client_fd;
	set_nodelay(client_fd);
	TAILQ_INSERT_TAIL(&proxy->open, link, next);
	proxy->connect_us[proxy->accepted++ % CONNECT_TIMES] = link->opened_us;
	count_open(proxy);
	link->mode = proxy->mode;
	socket_set_deaf(client_fd, link->mode == MODE_VANISH);
	if (link->mode != MODE_MUTE && !link_dial(link))
		link_rst(link);
	else
		link_go_on(link);
}

static void forget_oldest(struct proxy *proxy)
{
	struct link *link = TAILQ_FIRST(&proxy->closed);

	TAILQ_REMOVE(&proxy->closed, link, next);
	proxy->closed_count--;
	free(link);
}

void links_forget(struct proxy *proxy)
{
	while (!TAILQ_EMPTY(&proxy->closed))
		forget_oldest(proxy);
}

void link_close(struct link *link)
{
	struct proxy *proxy = link->proxy;

	for (enum side side = CLIENT; side < SIDES; side++) {
		queue_clear(&link->end[side]);
		watch_close(proxy, &link->end[side].watch);
	}
	TAILQ_REMOVE(&proxy->open, link, next);
	TAILQ_INSERT_TAIL(&proxy->closed, link, next);
	/* Not this one, which the caller may still look at. */
	if (++proxy->closed_count > CLOSED_MAX)
		forget_oldest(proxy);
}

bool link_has_client(const struct link *link)
{
	const struct end *client = &link->end[CLIENT];

	return client->watch.fd >= 0 && client->then != THEN_SHUT && link->mode != MODE_TRAP;
}

static bool link_may_read(const struct end *end)
{
	static const bool allowed[MODES][SIDES] = {
		[MODE_PASS] = { true, true },
		[MODE_MUTE] = { true, false },
		[MODE_ONEWAY] = { true, false },
		[MODE_TRAP] = { true, false },
	};

	return end->watch.fd >= 0 && !end->connecting && end->then == THEN_GO_ON &&
	       end->queued_bytes < QUEUE_MAX_BYTES && allowed[end->link->mode][end->side];
}

static bool link_may_send(const struct end *to)
{
	static const bool allowed[MODES][SIDES] = {
		[MODE_PASS] = { true, true },
		[MODE_ONEWAY] = { false, true },
	};

	return to->watch.fd >= 0 && !to->connecting && !to->blocked &&
	       allowed[to->link->mode][to->side];
}

/* A socket broke. A client that gets no answers does not get this one either. */
static void end_broke(struct end *end)
{
	struct link *link = end->link;

	if (end->side == CLIENT || link->mode == MODE_PASS) {
		link_rst(link);
		return;
	}
	queue_clear(&link->end[CLIENT]);
	watch_close(link->proxy, &end->watch);
}

/* Send one chunk, whole or in part. @return true: go on with the next */
static bool send_chunk(struct end *from, struct end *to, struct chunk *chunk)
{
	ssize_t sent = send(to->watch.fd, chunk->bytes + chunk->at, chunk->length, MSG_NOSIGNAL);

	if (sent < 0) {
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			to->blocked = true;
		else
			end_broke(to);
		return false;
	}
	chunk->at += (size_t)sent;
	chunk->length -= (size_t)sent;
	from->queued_bytes -= (size_t)sent;
	from->delivered_bytes += (uint64_t)sent;
	if (chunk->length == 0) {
		STAILQ_REMOVE_HEAD(&from->queue, next);
		free(chunk);
	}
	return true;
}

/* Everything from this end was passed on, and it is over with it. @return false: the link too */
static bool do_then(struct end *from, struct end *to)
{
	struct link *link = from->link;

	switch (from->then) {
	case THEN_SHUT:
		from->then_done = true;
		shutdown(to->watch.fd, SHUT_WR);
		return true;
	case THEN_RST:
		link_rst(link);
		return false;
	case THEN_FIN:
		link_fin(link);
		return false;
	default:
		return true;
	}
}

static bool then_is_due(const struct end *from)
{
	return from->then != THEN_GO_ON && !from->then_done && STAILQ_EMPTY(&from->queue);
}

/* @return false when the link is closed */
static bool pump(struct end *from)
{
	struct end *to = other_end(from);
	uint64_t now = now_us();
	struct chunk *chunk;

	while ((chunk = STAILQ_FIRST(&from->queue)) && chunk->due_us <= now && link_may_send(to))
		if (!send_chunk(from, to, chunk))
			break;
	if (from->link->end[CLIENT].watch.fd < 0)
		return false;
	if (then_is_due(from) && from->then_us <= now && link_may_send(to))
		return do_then(from, to);
	return true;
}

static void arm(struct end *end)
{
	uint32_t events = link_may_read(end) ? EPOLLIN : 0;

	if (end->watch.fd < 0)
		return;
	if (end->blocked || end->connecting)
		events |= EPOLLOUT;
	watch_set(end->link->proxy, &end->watch, events);
}

void link_go_on(struct link *link)
{
	if (!pump(&link->end[CLIENT]) || !pump(&link->end[SERVER]))
		return;
	arm(&link->end[CLIENT]);
	arm(&link->end[SERVER]);
}

static uint64_t end_due_us(struct end *from)
{
	const struct chunk *chunk = STAILQ_FIRST(&from->queue);

	if (!link_may_send(other_end(from)))
		return UINT64_MAX;
	if (chunk)
		return chunk->due_us;
	return then_is_due(from) ? from->then_us : UINT64_MAX;
}

uint64_t link_due_us(const struct link *link)
{
	uint64_t client = end_due_us((struct end *)&link->end[CLIENT]);
	uint64_t server = end_due_us((struct end *)&link->end[SERVER]);

	return client < server ? client : server;
}

static uint64_t due_us(const struct link *link)
{
	uint64_t due = now_us() + link->proxy->latency_us;

	return due > link->held_until_us ? due : link->held_until_us;
}

void link_queue(struct link *link, enum side from, const uint8_t *bytes, size_t length)
{
	struct end *end = &link->end[from];
	struct chunk *chunk;

	if (length == 0)
		return;
	chunk = malloc(sizeof(*chunk) + length);
	if (!chunk)
		die("out of memory");
	chunk->due_us = due_us(link);
	chunk->at = 0;
	chunk->length = length;
	memcpy(chunk->bytes, bytes, length);
	STAILQ_INSERT_TAIL(&end->queue, chunk, next);
	end->queued_bytes += length;
}

/* The client goes: what it sent still arrives. The server goes: so does its socket, and the
 * client's next packet is answered by RST, as by a server without a proxy. */
static void end_of_stream(struct end *end)
{
	if (end->link->mode == MODE_MUTE) {
		link_fin(end->link);
		return;
	}
	end->then = end->side == CLIENT ? THEN_SHUT : THEN_FIN;
	end->then_us = due_us(end->link);
}

static void take(struct end *end, uint8_t *bytes, size_t length)
{
	struct link *link = end->link;
	enum then then = THEN_GO_ON;
	size_t forward = fault_chunk(link, end->side, bytes, length, &then);

	end->received_bytes += length;
	if (link->mode != MODE_MUTE)
		link_queue(link, end->side, bytes, forward);
	if (then != THEN_GO_ON) {
		end->then = then;
		end->then_us = due_us(link);
	}
}

/* @return false when the link is closed or the socket was closed */
static bool end_read(struct end *end)
{
	uint8_t bytes[65536];
	ssize_t length = recv(end->watch.fd, bytes, sizeof(bytes), 0);

	if (length < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return true;
	if (end->link->mode == MODE_TRAP)
		link_rst(end->link);
	else if (length < 0)
		end_broke(end);
	else if (length == 0)
		end_of_stream(end);
	else
		take(end, bytes, (size_t)length);
	return end->watch.fd >= 0;
}

static bool end_connected(struct end *end)
{
	int cause = 0;
	socklen_t length = sizeof(cause);

	if (getsockopt(end->watch.fd, SOL_SOCKET, SO_ERROR, &cause, &length) < 0 || cause) {
		end_broke(end);
		return false;
	}
	end->connecting = false;
	return true;
}

static void end_ready(struct watch *watch, uint32_t events)
{
	struct end *end = (struct end *)watch;
	struct link *link = end->link;

	/* Closed by what was done for another event of the same turn. */
	if (watch->fd < 0)
		return;
	if (end->connecting && !end_connected(end))
		return;
	end->blocked = false;
	if ((events & (EPOLLIN | EPOLLERR | EPOLLHUP)) && link_may_read(end) && !end_read(end))
		return;
	link_go_on(link);
}
