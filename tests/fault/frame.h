/* SPDX-License-Identifier: PostgreSQL */
/*
 * Where one record ends and the next begins in the two byte streams of a PostgreSQL connection:
 * messages in the clear, TLS records after the server agreed to TLS or the client began with it.
 *
 * Locks: none. Fork: plain memory.
 */
#ifndef TINE_TESTS_FAULT_FRAME_H
#define TINE_TESTS_FAULT_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum side { CLIENT, SERVER, SIDES };

enum framing {
	FRAME_UNTYPED, /* the client's first messages: length and code */
	FRAME_ANSWER,  /* the server's one byte to SSLRequest or GSSENCRequest */
	FRAME_TYPED,   /* messages: type and length */
	FRAME_TLS,
	FRAME_OPAQUE, /* not understood: no record ends any more */
};

#define FRAME_HEAD_MAX 8

/* One direction. */
struct frame {
	enum framing framing;
	enum framing next; /* of the record after this one */
	uint8_t head[FRAME_HEAD_MAX];
	uint64_t at;    /* bytes seen of the record */
	uint64_t total; /* its length with its head; 0 while the head is incomplete */
};

struct frames {
	struct frame from[SIDES];
};

/* A piece of one record: of its head, or of its body. */
struct span {
	size_t length;
	uint64_t at;      /* where it begins in the record */
	uint64_t total;   /* length of the record; 0 while the head is incomplete */
	unsigned head;    /* length of the head */
	bool head_done;   /* the head became complete with it */
	bool application; /* a message in the clear or a TLS record of application data */
	char name[16];    /* when head_done: "Startup", "Q", "tls-data", ... */
};

/** Begin at the first byte of a connection. */
void frames_init(struct frames *frames);

/** Take the next piece out of bytes that came from a side. length must not be 0. */
void frames_step(struct frames *frames, enum side from, const uint8_t *bytes, size_t length,
		 struct span *ret_span);

#endif
