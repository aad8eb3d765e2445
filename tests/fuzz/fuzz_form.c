/* SPDX-License-Identifier: PostgreSQL */
/*
 * Fields and files as libmicrohttpd hands them on, with names and types that anybody can choose,
 * and what becomes of the name of a file: whatever it is, no header ends by it and no path begins.
 * The input is pieces: an operation, three lengths, and a name, a file's name and data of these.
 */
#include "form.h"

#include <stdlib.h>
#include <string.h>

#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void check(bool good)
{
	if (!good)
		__builtin_trap();
}

struct input {
	const uint8_t *bytes;
	size_t length;
};

static unsigned next(struct input *input)
{
	if (input->length == 0)
		return 0;
	input->length--;
	return *input->bytes++;
}

static char *piece(struct arena *arena, struct input *input, size_t length)
{
	char *text;

	if (length > input->length)
		length = input->length;
	text = arena_copy(arena, (const char *)input->bytes, length);
	input->bytes += length;
	input->length -= length;
	return text;
}

static void check_file_name(struct arena *arena, const char *name)
{
	const char *clean = text_file_name(arena, name);
	const char *value = text_disposition(arena, clean);

	check(text_is_plain(clean, 1, FILE_NAME_BYTES) && !strchr(clean, '\n'));
	check(!strchr(clean, '/') && !strchr(clean, '\\'));
	check(strcmp(clean, ".") != 0 && strcmp(clean, "..") != 0);
	check(text_is_header_value(value) && text_is_header_value(text_disposition(arena, name)));
	/* two quotes are ours, and none is inside */
	check(strchr(value, '"') && strrchr(value, '"') == strchr(strchr(value, '"') + 1, '"'));
}

static void check_text(struct arena *arena, const char *text)
{
	char number[LOT_NUMBER_BYTES], again[LOT_NUMBER_BYTES];
	int year = text_lot_number(text, number);

	check_file_name(arena, text);
	check(text_is_header_value(text_media_type(arena, text)));
	check(text_next(text)[0] == '/' && text_next(text)[1] != '/');
	check(text_is_header_value(text_next(text)) && !strchr(text_next(text), '\\'));
	if (year)
		check(text_lot_number(number, again) == year && strcmp(number, again) == 0);
	text_is_scanner_path(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	struct input input = { bytes, length };
	struct arena arena = { NULL };
	struct form form;

	form_init(&form);
	form.wants_upload = next(&input) & 1;
	form.limit_bytes = 64;
	while (input.length > 0) {
		unsigned operation = next(&input), name = next(&input), file = next(&input);
		unsigned size = next(&input);
		const char *its_name = operation & 1 ? "file" : piece(&arena, &input, name);
		const char *its_file = operation & 2 ? piece(&arena, &input, file) : NULL;
		const char *type = piece(&arena, &input, 8);
		size_t data_length = size < input.length ? size : input.length;
		const char *data = piece(&arena, &input, size);

		form_add(&form, &arena, its_name, its_file, type, data, operation & 4 ? 1 : 0,
			 data_length);
		check_text(&arena, its_name);
		check_text(&arena, type);
		check_text(&arena, data);
	}
	check(form.fields.count <= FIELDS_MAX && form.fields.bytes <= FIELDS_BYTES);
	check(form.upload.size_bytes <= 64 && (form.wants_upload || !form.upload.given));
	if (form.upload.given)
		check_file_name(&arena, form.upload.name);
	form_free(&form);
	arena_free(&arena);
	return 0;
}
