/* SPDX-License-Identifier: PostgreSQL */
#include "arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES 4000
#define ALIGNED(size) (((size) + 15) & ~(size_t)15)

struct arena_block {
	struct arena_block *next;
	size_t size, used;
	_Alignas(16) char data[];
};

static void *must(void *memory)
{
	if (memory)
		return memory;
	fputs("records: out of memory\n", stderr);
	abort();
}

void *arena_take(struct arena *arena, size_t size_bytes)
{
	struct arena_block *block = arena->blocks;
	size_t size = ALIGNED(size_bytes);
	void *memory;

	if (!block || block->size - block->used < size) {
		size_t room = size > BLOCK_BYTES ? size : BLOCK_BYTES;

		block = must(malloc(sizeof(*block) + room));
		block->next = arena->blocks;
		block->size = room;
		block->used = 0;
		arena->blocks = block;
	}
	memory = block->data + block->used;
	block->used += size;
	return memory;
}

char *arena_copy(struct arena *arena, const char *text, size_t length)
{
	char *copy = arena_take(arena, length + 1);

	if (length > 0)
		memcpy(copy, text, length);
	copy[length] = '\0';
	return copy;
}

char *arena_print(struct arena *arena, const char *format, ...)
{
	va_list args, again;
	int length;
	char *text;

	va_start(args, format);
	va_copy(again, args);
	length = vsnprintf(NULL, 0, format, args);
	va_end(args);
	text = arena_take(arena, (size_t)length + 1);
	vsnprintf(text, (size_t)length + 1, format, again);
	va_end(again);
	return text;
}

void arena_reset(struct arena *arena)
{
	struct arena_block *block = arena->blocks;

	if (!block)
		return;
	while (block->next) {
		arena->blocks = block->next;
		free(block);
		block = arena->blocks;
	}
	block->used = 0;
}

void arena_free(struct arena *arena)
{
	while (arena->blocks) {
		struct arena_block *block = arena->blocks;

		arena->blocks = block->next;
		free(block);
	}
}

void buffer_reserve(struct buffer *buffer, size_t length)
{
	if (buffer->size - buffer->length >= length + 1)
		return;
	buffer->size = 2 * (buffer->length + length) + 256;
	buffer->data = must(realloc(buffer->data, buffer->size));
}

void buffer_add(struct buffer *buffer, const char *data, size_t length)
{
	buffer_reserve(buffer, length);
	if (length > 0)
		memcpy(buffer->data + buffer->length, data, length);
	buffer->length += length;
	buffer->data[buffer->length] = '\0';
}

void buffer_text(struct buffer *buffer, const char *text)
{
	buffer_add(buffer, text, strlen(text));
}

static const char *entity(char byte)
{
	switch (byte) {
	case '&':
		return "&amp;";
	case '<':
		return "&lt;";
	case '>':
		return "&gt;";
	case '"':
		return "&quot;";
	default:
		return "&#39;";
	}
}

void buffer_escaped(struct buffer *buffer, const char *text)
{
	for (;;) {
		size_t plain = strcspn(text, "&<>\"'");

		buffer_add(buffer, text, plain);
		text += plain;
		if (!*text)
			return;
		buffer_text(buffer, entity(*text++));
	}
}
