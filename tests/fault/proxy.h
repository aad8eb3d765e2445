/* SPDX-License-Identifier: PostgreSQL */
/*
 * A TCP proxy in front of a PostgreSQL server that makes the network's faults happen on command:
 *
 *	proxy [--no-repair] HOST:PORT | SOCKET-PATH
 *
 * It listens on a free port of 127.0.0.1, says {"ready":true,"port":N} and answers each line on
 * its standard input with one line of JSON; the commands are in command.c. It ends when its input
 * ends and on SIGTERM.
 *
 * One thread, one epoll. A link is one client with the connection made for it to the server; each
 * of its two ends owns a socket and the bytes that came from it and wait to be passed on.
 *
 * Times are microseconds of CLOCK_MONOTONIC. Locks: none. Fork: it does not fork.
 */
#ifndef TINE_TESTS_FAULT_PROXY_H
#define TINE_TESTS_FAULT_PROXY_H

#include "frame.h"

#include <stdio.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/un.h>

/* What is done with the bytes of a link, and of links to come. */
enum mode {
	MODE_PASS,
	MODE_MUTE,      /* accepted; what the client sends is read and goes nowhere */
	MODE_BLACKHOLE, /* nothing is read or sent; TCP acknowledges while it has room */
	MODE_ONEWAY,    /* nothing is sent to the client */
	MODE_VANISH,    /* packets of the client are lost in the kernel, none is sent to it */
	MODE_TRAP,      /* the next packet of the client is answered by RST */
	MODES
};

extern const char *const mode_names[MODES];

/* A descriptor in the epoll. */
struct watch {
	int fd;         /* -1: none */
	uint32_t armed; /* what epoll waits for; 0: the descriptor is not in it */
	void (*ready)(struct watch *watch, uint32_t events);
};

/* What happens to a link once everything that one end sent has been passed on. */
enum then { THEN_GO_ON, THEN_SHUT, THEN_FIN, THEN_RST };

struct chunk {
	STAILQ_ENTRY(chunk) next;
	uint64_t due_us;
	size_t at, length; /* what is still to be sent */
	uint8_t bytes[];
};

struct end {
	struct watch watch; /* first */
	struct link *link;
	enum side side;
	bool connecting;
	bool blocked; /* a send to it had no room */
	/* of the bytes that come from it: */
	STAILQ_HEAD(, chunk) queue;
	size_t queued_bytes;
	uint64_t received_bytes, delivered_bytes;
	enum then then;
	uint64_t then_us; /* not before */
	bool then_done;
};

struct link {
	TAILQ_ENTRY(link) next;
	struct proxy *proxy;
	uint64_t number; /* from 1 */
	uint64_t opened_us, held_until_us;
	enum mode mode;
	struct end end[SIDES];
	struct frames frames;
	bool cutting, flipping;
	uint64_t cut_at, flip_at; /* in the record being forwarded */
	uint64_t rst_base_bytes;  /* received from the server when rst-after-bytes was armed */
};

TAILQ_HEAD(link_list, link);

/* A fault that waits for its occasion and happens once. */
struct trigger {
	bool armed;
	uint64_t value;
	uint64_t link; /* 0: any */
};

#define CONNECT_TIMES 65536

struct proxy {
	int epoll;
	bool done, input_ready, no_repair;
	struct watch listener, input, signals;
	int keeper; /* bound to our port, so that nobody takes it while nothing listens */
	int port;
	struct sockaddr_storage server;
	socklen_t server_length;

	enum mode mode; /* of new links */
	uint64_t latency_us, connect_delay_us;
	struct trigger cut, corrupt, rst_after;

	struct link_list open, closed;
	uint64_t last_number;
	uint64_t accepted, peak, closed_count;
	uint64_t connect_us[CONNECT_TIMES]; /* a ring, indexed by accepted */
	FILE *record;
	struct {
		char name[16];
		unsigned count; /* of the same name in a row, not written yet */
		bool first;
	} record_run;
};

/* ---- proxy.c: the loop and the listener ------------------------------------------------------ */

uint64_t now_us(void);

/** End the program with a message: what is wrong with its surroundings, it cannot mend. */
__attribute__((noreturn, format(printf, 1, 2))) void die(const char *format, ...);

/** Have epoll wait for events (EPOLLIN, EPOLLOUT) on the descriptor; 0: not at all. */
void watch_set(struct proxy *proxy, struct watch *watch, uint32_t events);

/** Take it out of epoll and close it. */
void watch_close(struct proxy *proxy, struct watch *watch);

/** Listen, or stop to: connections are refused then. The port stays the same. */
void listener_open(struct proxy *proxy);
void listener_close(struct proxy *proxy);

/* ---- link.c: one client and its server ------------------------------------------------------- */

/** Take over an accepted socket. */
void link_open(struct proxy *proxy, int client_fd);

/** Send what is due, then wait for what can happen next. May close the link. */
void link_go_on(struct link *link);

/** Note bytes as forwarded from a side; they are copied. */
void link_queue(struct link *link, enum side from, const uint8_t *bytes, size_t length);

/** When the link needs link_go_on() by the clock; UINT64_MAX: not at all. */
uint64_t link_due_us(const struct link *link);

/** True until the client is gone, as far as can be known. */
bool link_has_client(const struct link *link);

/** End the link: the server's side at once, the client's side as it is now. The link goes to the
 *  list of closed ones. */
void link_close(struct link *link);

/** Forget all closed links. */
void links_forget(struct proxy *proxy);

/* ---- fault.c: what is done to links ---------------------------------------------------------- */

void link_rst(struct link *link);
void link_fin(struct link *link);

/** Close without a packet to the client; its next one is answered by RST. Where the kernel does
 *  not let us, the socket stays and is reset when something arrives. @return true: closed */
bool link_drop(struct link *link);

void link_set_mode(struct link *link, enum mode mode);

/** Whether the kernel lets us do the next thing. */
bool vanish_works(void);

/** Lose all packets that arrive at a socket, or no longer. */
void socket_set_deaf(int fd, bool deaf);

/** Apply what is armed to bytes from the server, and write the record.
 *  @param ret_then what comes after them @return how many of them go on */
size_t fault_chunk(struct link *link, enum side from, uint8_t *bytes, size_t length,
		   enum then *ret_then);

/* ---- record.c: who sent what, a line of JSON for each chunk ---------------------------------- */

/** Begin the line of a chunk, name the records that begin in it, end the line. */
void record_begin(struct proxy *proxy, const struct link *link, enum side from, size_t length);
void record_name(struct proxy *proxy, const char *name);
void record_end(struct proxy *proxy);

/* ---- command.c ------------------------------------------------------------------------------- */

/** Do what one line says and answer it. */
void command_run(struct proxy *proxy, char *line);

#endif
