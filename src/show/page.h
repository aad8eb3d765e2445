/* SPDX-License-Identifier: PostgreSQL */
/*
 * Lines of text for people, to be printed or shown on a terminal. Whoever adds a line has stripped
 * what is foreign in it.
 *
 * Owns: the lines. Locks: none. Fork: plain memory.
 */
#ifndef TINE_SHOW_PAGE_H
#define TINE_SHOW_PAGE_H

#include <stdbool.h>
#include <stdio.h>

enum tine_page_kind {
	TINE_PAGE_PLAIN,
	TINE_PAGE_HEAD, /* of a table */
	TINE_PAGE_TREE, /* where a tree begins */
	TINE_PAGE_ALARM,
};

struct tine_page_line {
	enum tine_page_kind kind;
	char text[480];
};

struct tine_page {
	struct tine_page_line *lines;
	int count, room;
	bool no_memory; /* lines are missing */
};

/** Add a line; begin with a page of zeroes. */
void tine_page_add(struct tine_page *page, enum tine_page_kind kind, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/** Print it all. */
void tine_page_print(const struct tine_page *page, FILE *out);

/** Make it empty, without memory. */
void tine_page_clear(struct tine_page *page);

#endif
