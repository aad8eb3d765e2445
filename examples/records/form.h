/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a client sends in a body: fields, and at most one file, which goes to a file without a name
 * as it comes. libmicrohttpd cuts the body into parts; what they may be called and how large they
 * may be is judged here.
 *
 * Locks: none. Fork: the file is close-on-exec and closed by form_free().
 */
#ifndef RECORDS_FORM_H
#define RECORDS_FORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sodium.h>

#include "arena.h"

#define FIELD_NAME_BYTES 40
#define FIELDS_BYTES 65536 /* of a form in all */
#define FIELDS_MAX 64

struct field {
	struct field *next;
	char name[FIELD_NAME_BYTES];
	struct buffer value; /* as text it ends with its first 0 byte */
};

struct fields {
	struct field *first, *last;
	int count;
	size_t bytes;
};

struct upload {
	bool given;     /* there was a field "file" with a name */
	bool too_large; /* the rest was dropped */
	bool failed;    /* it could not be written */
	bool keeps;     /* the part that is coming is the one; of two files the first is kept */
	const char *name;
	const char *type;
	int fd; /* -1 when there is none */
	int64_t size_bytes;
	crypto_hash_sha256_state hash;
};

struct form {
	struct fields fields;
	struct upload upload;
	bool wants_upload;
	int64_t limit_bytes; /* of the file */
	bool too_large;      /* the fields are */
	bool no_room;        /* others are sending so much that it was dropped */
	struct buffer raw;   /* a body that is no form */
};

void form_init(struct form *form);
void form_free(struct form *form);

/** A piece of a field or of the file; as libmicrohttpd's post processor calls it.
 *  @param file_name NULL for a field
 *  @param offset    of the piece in the value */
void form_add(struct form *form, struct arena *arena, const char *name, const char *file_name,
	      const char *type, const char *data, uint64_t offset, size_t size);

/** Drop what is there of a file. */
void form_drop_upload(struct form *form);

/** A piece of a body that is no form. */
void form_add_raw(struct form *form, const char *data, size_t size);

/** Add to a field, or make it. */
void fields_add(struct fields *fields, const char *name, const char *data, size_t size);

/** @return the value of the last of that name, "" when there is none */
const char *fields_find(const struct fields *fields, const char *name);

void fields_free(struct fields *fields);

#endif
