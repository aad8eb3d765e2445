/* SPDX-License-Identifier: PostgreSQL */
/*
 * Memory that lives as long as a request, and texts that grow. When there is none left the process
 * ends: the supervisor replaces it, and no caller has to have a way out that is never tried.
 *
 * Locks: none; an arena is used by one thread at a time. Fork: ordinary memory.
 */
#ifndef RECORDS_ARENA_H
#define RECORDS_ARENA_H

#include <stddef.h>

struct arena_block;

struct arena {
	struct arena_block *blocks;
};

/** Memory until arena_free() or arena_reset(), with anything in it. Never NULL. */
void *arena_take(struct arena *arena, size_t size_bytes);

/** A copy with a 0 byte behind it. Never NULL. */
char *arena_copy(struct arena *arena, const char *text, size_t length);

/** As printf(). Never NULL. */
char *arena_print(struct arena *arena, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/** The end of all that was taken; a block stays for what is taken next. */
void arena_reset(struct arena *arena);

void arena_free(struct arena *arena);

/* A text that grows. There is a 0 byte behind it once something was added. */
struct buffer {
	char *data; /* the holder's, for free() */
	size_t length;
	size_t size;
};

/** Room for so much more. */
void buffer_reserve(struct buffer *buffer, size_t length);
void buffer_add(struct buffer *buffer, const char *data, size_t length);
void buffer_text(struct buffer *buffer, const char *text);
/** With & < > " ' as HTML has them. */
void buffer_escaped(struct buffer *buffer, const char *text);

#endif
