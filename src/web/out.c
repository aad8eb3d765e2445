/* SPDX-License-Identifier: PostgreSQL */
#include "web/out.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_BYTES 4096

static bool make_room(struct tine_out *out, size_t more)
{
	size_t room = out->room ? out->room : FIRST_BYTES;
	char *bytes;

	if (out->no_memory)
		return false;
	if (out->length + more < out->room)
		return true;
	while (room <= out->length + more)
		room *= 2;
	bytes = realloc(out->bytes, room);
	if (!bytes) {
		out->no_memory = true;
		return false;
	}
	out->bytes = bytes;
	out->room = room;
	return true;
}

void tine_out_add_bytes(struct tine_out *out, const char *bytes, size_t length)
{
	if (!make_room(out, length))
		return;
	memcpy(out->bytes + out->length, bytes, length);
	out->length += length;
	out->bytes[out->length] = '\0';
}

void tine_out_add(struct tine_out *out, const char *text)
{
	tine_out_add_bytes(out, text, strlen(text));
}

void tine_out_format(struct tine_out *out, const char *format, ...)
{
	char text[201];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	tine_out_add(out, text);
}

static const char *entity_of(char byte)
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
	case '\'':
		return "&#39;";
	default:
		return NULL;
	}
}

/* Texts of boards have been stripped already; this does not rely on it. */
static bool is_plain(char byte)
{
	return byte >= ' ' && byte <= '~';
}

void tine_out_html(struct tine_out *out, const char *text)
{
	for (; *text; text++) {
		const char *entity = entity_of(*text);

		if (entity)
			tine_out_add(out, entity);
		else
			tine_out_add_bytes(out, is_plain(*text) ? text : "?", 1);
	}
}

static bool is_unreserved(char byte)
{
	return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
	       (byte >= '0' && byte <= '9') || byte == '-' || byte == '.' || byte == '_' ||
	       byte == '~';
}

void tine_out_url(struct tine_out *out, const char *text)
{
	for (; *text; text++) {
		if (is_unreserved(*text))
			tine_out_add_bytes(out, text, 1);
		else
			tine_out_format(out, "%%%02X", (unsigned char)*text);
	}
}

void tine_out_label(struct tine_out *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '\\' || *text == '"')
			tine_out_add(out, "\\");
		tine_out_add_bytes(out, is_plain(*text) ? text : "?", 1);
	}
}
