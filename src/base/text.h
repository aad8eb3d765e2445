/* SPDX-License-Identifier: PostgreSQL */
/*
 * A string built in a buffer of the caller: no allocation, no stdio, async-signal-safe, so that it
 * serves in a fork handler. What does not fit is cut and the end is marked with "...".
 */
#ifndef TINE_BASE_TEXT_H
#define TINE_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tine_text {
	char *buf;     /* borrowed; always NUL-terminated */
	size_t size;   /* of buf in bytes, at least 8 */
	size_t length; /* without the NUL */
	bool cut;
};

/** Start an empty string in buf. */
void tine_text_init(struct tine_text *text, char *buf, size_t size_bytes);

/** Append a trusted string as it is. */
void tine_text_add(struct tine_text *text, const char *string);

/** Append foreign bytes: control bytes, DEL and everything above ASCII become '?', so that no byte
 *  of a path or a server message can steer a terminal or forge a second line. */
void tine_text_add_foreign(struct tine_text *text, const char *bytes, size_t length);

/** Append a number in decimal. */
void tine_text_add_number(struct tine_text *text, uint64_t number);

#endif
