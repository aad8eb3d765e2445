/* SPDX-License-Identifier: PostgreSQL */
#include "form.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "text.h"

void form_init(struct form *form)
{
	*form = (struct form){ .upload.fd = -1 };
}

void form_free(struct form *form)
{
	fields_free(&form->fields);
	free(form->raw.data);
	if (form->upload.fd >= 0)
		close(form->upload.fd);
	form_init(form);
}

/* ---- fields --------------------------------------------------------------------------------- */

static struct field *begin_field(struct fields *fields, const char *name)
{
	struct field *field = calloc(1, sizeof(*field));

	if (!field)
		abort();
	strncpy(field->name, name, sizeof(field->name) - 1);
	buffer_text(&field->value, "");
	if (fields->last)
		fields->last->next = field;
	else
		fields->first = field;
	fields->last = field;
	fields->count++;
	return field;
}

/* What is typed may be a password: no copy of it is left in the heap. */
static void grow_value(struct buffer *value, size_t more)
{
	struct buffer grown = { 0 };

	if (value->size - value->length > more)
		return;
	buffer_reserve(&grown, value->length + more);
	buffer_add(&grown, value->data, value->length);
	sodium_memzero(value->data, value->size);
	free(value->data);
	*value = grown;
}

static void add_to_value(struct fields *fields, struct field *field, const char *data, size_t size)
{
	grow_value(&field->value, size);
	buffer_add(&field->value, data, size);
	fields->bytes += size;
}

void fields_add(struct fields *fields, const char *name, const char *data, size_t size)
{
	struct field *field = begin_field(fields, name);

	add_to_value(fields, field, data, size);
}

const char *fields_find(const struct fields *fields, const char *name)
{
	const char *value = "";

	for (const struct field *field = fields->first; field; field = field->next)
		if (strcmp(field->name, name) == 0)
			value = field->value.data;
	return value;
}

void fields_free(struct fields *fields)
{
	while (fields->first) {
		struct field *field = fields->first;

		fields->first = field->next;
		sodium_memzero(field->value.data, field->value.size);
		free(field->value.data);
		free(field);
	}
	*fields = (struct fields){ 0 };
}

/* ---- the file ------------------------------------------------------------------------------- */

static void begin_file(struct form *form, struct arena *arena, const char *file_name,
		       const char *type)
{
	struct upload *upload = &form->upload;

	upload->given = true;
	upload->name = text_file_name(arena, file_name);
	upload->type = text_media_type(arena, type ? type : "");
	crypto_hash_sha256_init(&upload->hash);
	upload->fd = file_temporary();
	upload->failed = upload->fd < 0;
}

static void add_to_file(struct form *form, const char *data, size_t size)
{
	struct upload *upload = &form->upload;

	if (upload->too_large || upload->failed)
		return;
	if (upload->size_bytes + (int64_t)size > form->limit_bytes) {
		upload->too_large = true;
		close(upload->fd);
		upload->fd = -1;
		return;
	}
	upload->size_bytes += (int64_t)size;
	crypto_hash_sha256_update(&upload->hash, (const unsigned char *)data, size);
	upload->failed = file_write(upload->fd, data, size) < 0;
}

void form_drop_upload(struct form *form)
{
	if (form->upload.fd >= 0)
		close(form->upload.fd);
	form->upload.fd = -1;
	form->upload.keeps = false;
	form->upload.size_bytes = 0;
	form->no_room = true;
}

static void add_file(struct form *form, struct arena *arena, const char *file_name,
		     const char *type, const char *data, uint64_t offset, size_t size)
{
	/* A form without a chosen file sends one without a name. */
	if (!form->wants_upload || !*file_name)
		return;
	if (offset == 0) {
		form->upload.keeps = !form->upload.given;
		if (form->upload.keeps)
			begin_file(form, arena, file_name, type);
	}
	if (form->upload.keeps)
		add_to_file(form, data, size);
}

/* ---- pieces --------------------------------------------------------------------------------- */

void form_add(struct form *form, struct arena *arena, const char *name, const char *file_name,
	      const char *type, const char *data, uint64_t offset, size_t size)
{
	struct fields *fields = &form->fields;
	struct field *field = fields->last;

	if (file_name && strcmp(name, "file") == 0) {
		add_file(form, arena, file_name, type, data, offset, size);
		return;
	}
	if (file_name || strlen(name) >= FIELD_NAME_BYTES)
		return;
	if (fields->bytes + size > FIELDS_BYTES || (offset == 0 && fields->count == FIELDS_MAX)) {
		form->too_large = true;
		return;
	}
	if (offset == 0 || !field || strcmp(field->name, name) != 0) {
		fields_add(fields, name, data, size);
		return;
	}
	add_to_value(fields, field, data, size);
}

void form_add_raw(struct form *form, const char *data, size_t size)
{
	if (form->raw.length + size > FIELDS_BYTES)
		form->too_large = true;
	else
		buffer_add(&form->raw, data, size);
}
