/* SPDX-License-Identifier: PostgreSQL */
#include "frame.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define CODE_CANCEL 80877102u
#define CODE_SSL 80877103u
#define CODE_GSSENC 80877104u

#define TLS_CHANGE_CIPHER 20
#define TLS_ALERT 21
#define TLS_HANDSHAKE 22
#define TLS_DATA 23

static uint32_t big_endian_32(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
	       bytes[3];
}

static unsigned head_length(enum framing framing)
{
	switch (framing) {
	case FRAME_UNTYPED:
		return 8;
	case FRAME_ANSWER:
		return 1;
	case FRAME_TYPED:
	case FRAME_TLS:
		return 5;
	default:
		return 0;
	}
}

static void frame_set(struct frame *frame, enum framing framing)
{
	frame->framing = frame->next = framing;
	frame->at = 0;
	frame->total = framing == FRAME_OPAQUE ? UINT64_MAX : 0;
}

void frames_init(struct frames *frames)
{
	frame_set(&frames->from[CLIENT], FRAME_UNTYPED);
	frame_set(&frames->from[SERVER], FRAME_TYPED);
}

static void both_tls(struct frames *frames)
{
	frame_set(&frames->from[CLIENT], FRAME_TLS);
	frame_set(&frames->from[SERVER], FRAME_TLS);
}

/* A client may begin with TLS at once, a server may answer SSLRequest with an error message. */
static void settle_framing(struct frames *frames, enum side from, uint8_t first)
{
	struct frame *frame = &frames->from[from];

	if (frame->at > 0)
		return;
	if (frame->framing == FRAME_UNTYPED && first == TLS_HANDSHAKE)
		both_tls(frames);
	else if (frame->framing == FRAME_ANSWER && first == 'E')
		frame_set(frame, FRAME_TYPED);
}

static void untyped_done(struct frames *frames, struct frame *frame, struct span *span)
{
	uint32_t code = big_endian_32(frame->head + 4);

	frame->total = big_endian_32(frame->head);
	if (code == CODE_SSL || code == CODE_GSSENC) {
		frame_set(&frames->from[SERVER], FRAME_ANSWER);
		strcpy(span->name, code == CODE_SSL ? "SSLRequest" : "GSSENCRequest");
		return;
	}
	frame->next = FRAME_TYPED;
	strcpy(span->name, code == CODE_CANCEL ? "CancelRequest" : "Startup");
}

static void answer_done(struct frames *frames, struct frame *frame, struct span *span)
{
	uint8_t answer = frame->head[0];

	frame->total = 1;
	frame->next = answer == 'N' ? FRAME_TYPED : answer == 'S' ? FRAME_TLS : FRAME_OPAQUE;
	if (answer != 'N')
		frame_set(&frames->from[CLIENT], frame->next);
	strcpy(span->name, answer == 'S' ? "tls-yes" : answer == 'N' ? "tls-no" : "other");
}

static void typed_done(struct frame *frame, struct span *span)
{
	uint8_t type = frame->head[0];

	frame->total = 1 + (uint64_t)big_endian_32(frame->head + 1);
	span->application = true;
	snprintf(span->name, sizeof(span->name), isalnum(type) ? "%c" : "0x%02x", type);
}

static void tls_done(struct frame *frame, struct span *span)
{
	uint8_t type = frame->head[0];

	frame->total = 5 + (uint64_t)(frame->head[3] << 8 | frame->head[4]);
	span->application = type == TLS_DATA;
	strcpy(span->name, type == TLS_DATA            ? "tls-data"
			   : type == TLS_HANDSHAKE     ? "tls-handshake"
			   : type == TLS_ALERT         ? "tls-alert"
			   : type == TLS_CHANGE_CIPHER ? "tls-ccs"
						       : "tls-other");
}

/* The head is complete: how long is the record, and what comes after it? */
static void head_done(struct frames *frames, struct frame *frame, struct span *span)
{
	span->head_done = true;
	switch (frame->framing) {
	case FRAME_UNTYPED:
		untyped_done(frames, frame, span);
		break;
	case FRAME_ANSWER:
		answer_done(frames, frame, span);
		break;
	case FRAME_TYPED:
		typed_done(frame, span);
		break;
	default:
		tls_done(frame, span);
	}
	if (frame->total < frame->at) {
		frame_set(frame, FRAME_OPAQUE);
		strcpy(span->name, "other");
	}
}

static void step_head(struct frames *frames, struct frame *frame, const uint8_t *bytes,
		      size_t length, struct span *span)
{
	size_t missing = span->head - (size_t)frame->at;

	span->length = length < missing ? length : missing;
	memcpy(frame->head + frame->at, bytes, span->length);
	frame->at += span->length;
	if (frame->at == span->head)
		head_done(frames, frame, span);
}

void frames_step(struct frames *frames, enum side from, const uint8_t *bytes, size_t length,
		 struct span *ret_span)
{
	struct frame *frame = &frames->from[from];

	settle_framing(frames, from, bytes[0]);
	*ret_span = (struct span){ .at = frame->at, .head = head_length(frame->framing) };
	if (frame->at < ret_span->head) {
		step_head(frames, frame, bytes, length, ret_span);
	} else {
		uint64_t left = frame->total - frame->at;

		ret_span->length = length < left ? length : (size_t)left;
		ret_span->application = frame->framing == FRAME_TYPED ||
					(frame->framing == FRAME_TLS && frame->head[0] == TLS_DATA);
		frame->at += ret_span->length;
	}
	ret_span->total = frame->total;
	if (frame->total > 0 && frame->at == frame->total)
		frame_set(frame, frame->next);
}
