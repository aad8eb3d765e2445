/* SPDX-License-Identifier: PostgreSQL */
/*
 * Pages: text with {{name}}, filled from a view. Everything that is filled in is escaped; there is
 * no way to have it otherwise, and so nobody can forget it.
 *
 *	{{name}}		the value: a text, a number; nothing when there is none
 *	{{#name}}...{{/name}}	for each of a list; once for a text, a number or a true flag
 *	{{^name}}...{{/name}}	when it is missing, false, "" or an empty list
 *	{{>name}}		another page
 *
 * A name is looked for in the innermost row first.
 *
 * Locks: none; constant after shelf_load(). Fork: ordinary memory.
 */
#ifndef RECORDS_TEMPLATE_H
#define RECORDS_TEMPLATE_H

#include <stddef.h>

#include "arena.h"
#include "view.h"

struct shelf;

/** Read all files NAME.html of a directory.
 *  @param error receives one line
 *  @return the caller's, for shelf_free(); NULL when one cannot be read, or is not well formed */
struct shelf *shelf_load(const char *directory, char *error, size_t error_size);

void shelf_free(struct shelf *shelf);

/** Fill a page. @param name one that is there, else nothing is added */
void shelf_render(const struct shelf *shelf, const char *name, const struct view *values,
		  struct buffer *out);

#endif
