/* SPDX-License-Identifier: PostgreSQL */
/*
 * The faults: how a link ends, what its mode is, and what is done to the records it carries.
 */
#include "proxy.h"

#include <linux/filter.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

/* Linux delays an acknowledgement by up to 200 ms. */
#define ACKNOWLEDGE_MS 500

const char *const mode_names[MODES] = {
	"pass", "mute", "blackhole", "oneway", "vanish", "trap",
};

void link_rst(struct link *link)
{
	struct linger now = { .l_onoff = 1, .l_linger = 0 };

	for (enum side side = CLIENT; side < SIDES; side++)
		if (link->end[side].watch.fd >= 0)
			setsockopt(link->end[side].watch.fd, SOL_SOCKET, SO_LINGER, &now,
				   sizeof(now));
	link_close(link);
}

void link_fin(struct link *link)
{
	char unread[4096];

	/* A socket that is closed with unread bytes sends RST instead. */
	while (recv(link->end[CLIENT].watch.fd, unread, sizeof(unread), MSG_DONTWAIT) > 0)
		;
	link_close(link);
}

/* The client's kernel may owe us an acknowledgement of the last answer. It would be the next
 * packet, though the client does nothing: wait for it. Nothing else goes on meanwhile. */
static void wait_acknowledged(int fd)
{
	struct timespec pause = { .tv_nsec = 1000000 };
	int unacknowledged;

	for (int i = 0; i < ACKNOWLEDGE_MS; i++) {
		if (ioctl(fd, SIOCOUTQ, &unacknowledged) < 0 || unacknowledged == 0)
			return;
		nanosleep(&pause, NULL);
	}
}

bool link_drop(struct link *link)
{
	struct proxy *proxy = link->proxy;
	int on = 1;

	wait_acknowledged(link->end[CLIENT].watch.fd);
	/* A socket in repair is closed without a word to its peer. Needs CAP_NET_ADMIN. */
	if (!proxy->no_repair &&
	    setsockopt(link->end[CLIENT].watch.fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)) == 0) {
		link_close(link);
		return true;
	}
	watch_close(proxy, &link->end[SERVER].watch);
	link_set_mode(link, MODE_TRAP);
	return false;
}

static int attach_filter(int fd)
{
	struct sock_filter nothing = { .code = BPF_RET | BPF_K, .k = 0 };
	struct sock_fprog program = { .len = 1, .filter = &nothing };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

void socket_set_deaf(int fd, bool deaf)
{
	int unused = 0;

	if (!deaf)
		/* Fails when there is no filter. */
		setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof(unused));
	else if (attach_filter(fd) < 0)
		die("SO_ATTACH_FILTER: %m");
}

bool vanish_works(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool works = attach_filter(fd) == 0;

	if (fd >= 0)
		close(fd);
	return works;
}

void link_set_mode(struct link *link, enum mode mode)
{
	/* A client that was never connected to the server, or waits for RST, stays so. */
	if (link->mode == MODE_MUTE || link->mode == MODE_TRAP)
		return;
	socket_set_deaf(link->end[CLIENT].watch.fd, mode == MODE_VANISH);
	link->mode = mode;
	/* What became of the server while nothing was passed on, the client learns now. */
	if (mode == MODE_PASS && link->end[SERVER].watch.fd < 0)
		link_rst(link);
	else
		link_go_on(link);
}

/* Whether an armed fault is for this link; it happens once. */
static bool fires(struct trigger *trigger, const struct link *link)
{
	if (!trigger->armed || (trigger->link != 0 && trigger->link != link->number))
		return false;
	trigger->armed = false;
	return true;
}

/* A record is cut before its last byte at the latest. @return how much of the span goes on */
static size_t cut(struct link *link, const struct span *span)
{
	struct proxy *proxy = link->proxy;
	uint64_t limit;

	if (span->at == 0 && !link->cutting && fires(&proxy->cut, link)) {
		link->cutting = true;
		link->cut_at = proxy->cut.value;
	}
	if (!link->cutting)
		return span->length;
	limit = link->cut_at;
	if (span->total > 0 && limit >= span->total)
		limit = span->total - 1;
	return span->at + span->length > limit ? (size_t)(limit - span->at) : span->length;
}

static void corrupt(struct link *link, const struct span *span, uint8_t *bytes)
{
	struct proxy *proxy = link->proxy;
	uint64_t last = span->total - 1;

	if (!link->flipping && span->head > 0 && span->at == span->head && span->application &&
	    fires(&proxy->corrupt, link)) {
		link->flipping = true;
		link->flip_at = span->head + proxy->corrupt.value;
		if (link->flip_at > last)
			link->flip_at = last;
	}
	if (!link->flipping || link->flip_at < span->at || link->flip_at >= span->at + span->length)
		return;
	bytes[link->flip_at - span->at] ^= 0x01;
	link->flipping = false;
}

static size_t rst_after(struct link *link, size_t length, enum then *ret_then)
{
	struct trigger *trigger = &link->proxy->rst_after;
	uint64_t received = link->end[SERVER].received_bytes - link->rst_base_bytes;

	if (!trigger->armed || received + length < trigger->value || !fires(trigger, link))
		return length;
	*ret_then = THEN_RST;
	return trigger->value > received ? (size_t)(trigger->value - received) : 0;
}

/* Walk over the records in bytes; from the server, they may be harmed. */
static size_t walk(struct link *link, enum side from, uint8_t *bytes, size_t length,
		   enum then *ret_then)
{
	size_t forward = length;
	struct span span;

	for (size_t at = 0; at < length; at += span.length) {
		size_t kept;

		frames_step(&link->frames, from, bytes + at, length - at, &span);
		if (span.head_done)
			record_name(link->proxy, span.name);
		if (from == CLIENT || *ret_then != THEN_GO_ON)
			continue;
		corrupt(link, &span, bytes + at);
		kept = cut(link, &span);
		if (kept < span.length) {
			forward = at + kept;
			*ret_then = THEN_FIN;
		}
	}
	return forward;
}

size_t fault_chunk(struct link *link, enum side from, uint8_t *bytes, size_t length,
		   enum then *ret_then)
{
	size_t forward;

	record_begin(link->proxy, link, from, length);
	forward = walk(link, from, bytes, length, ret_then);
	record_end(link->proxy);
	return from == SERVER ? rst_after(link, forward, ret_then) : forward;
}
