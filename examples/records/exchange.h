/* SPDX-License-Identifier: PostgreSQL */
/*
 * One request and its reply on a connection of libmicrohttpd.
 *
 * Locks: none: an exchange is the loop's, but for the time between queue_put() and
 * MHD_resume_connection(), when it is a handler's. Fork: in workers only.
 */
#ifndef RECORDS_EXCHANGE_H
#define RECORDS_EXCHANGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <microhttpd.h>

#include "request.h"

#define ADDRESS_BYTES 64

struct http;

/* A connection. */
struct client {
	struct client *next, **back;
	struct MHD_Connection *connection;
	char address[ADDRESS_BYTES]; /* whose it is, as text_of_whom() has it */
	int fd;
	bool busy;        /* a request is under way */
	int64_t until_ns; /* of CLOCK_MONOTONIC: when it is cut off; 0: it waits for us */
};

struct http {
	struct MHD_Daemon *daemon;
	struct service *service;
	tine_worker *worker;
	struct client *clients;
	struct exchange *spares; /* for the next requests: of the last ones */
	int spare_count;
	int64_t now_ns; /* of CLOCK_MONOTONIC, when the loop's last wait ended */
	bool draining;
	unsigned enough;      /* connections: others may take what comes */
	int64_t next_cut_ns;  /* when slow clients are looked for again */
	int64_t upload_bytes; /* of files that are on their way in */
	int wake_fd;          /* an eventfd that ends the loop's wait */
	atomic_bool sleeping, resumed;
	atomic_int answering; /* handlers that may still touch this */
};

struct exchange {
	struct exchange *next_spare;
	struct http *http;
	struct MHD_Connection *connection;
	struct client *client;
	struct request request;
	struct reply reply;
	struct MHD_PostProcessor *post;
	int64_t body_bytes;
	int64_t upload_bytes; /* its part of the loop's */
	bool drops_body;      /* what comes is not kept */
	bool is_scanner;
	bool is_early; /* answered without its body, which was not sent yet or is far too large */
	bool answered;
};

/** For a request that begins. What a request before needed of memory is there. Never NULL. */
struct exchange *exchange_begin(struct http *http, struct MHD_Connection *connection,
				struct client *client);

/** Nobody needs it any more: its reply is sent, or will never be. */
void exchange_end(struct exchange *exchange);

void exchange_free_spares(struct http *http);

#endif
