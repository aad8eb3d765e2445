/* SPDX-License-Identifier: PostgreSQL */
/* A growing text, and what is foreign in it made harmless. Locks: none. Fork: plain memory. */
#ifndef TINE_WEB_OUT_H
#define TINE_WEB_OUT_H

#include <stdbool.h>
#include <stddef.h>

/* Begin with zeroes; free(bytes) in the end. */
struct tine_out {
	char *bytes; /* ends with a NUL, when there are any */
	size_t length, room;
	bool no_memory; /* something is missing */
};

/** Append a trusted text. */
void tine_out_add(struct tine_out *out, const char *text);

/** Append so many trusted bytes. */
void tine_out_add_bytes(struct tine_out *out, const char *bytes, size_t length);

/** Append numbers and trusted words, up to 200 bytes. */
void tine_out_format(struct tine_out *out, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/** Append a foreign text as content of an element, or as value of an attribute within quotes. */
void tine_out_html(struct tine_out *out, const char *text);

/** Append a foreign text as a value within a URL's query. */
void tine_out_url(struct tine_out *out, const char *text);

/** Append a foreign text as the value of a label in OpenMetrics, without its quotes. */
void tine_out_label(struct tine_out *out, const char *text);

#endif
