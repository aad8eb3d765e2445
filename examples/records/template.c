/* SPDX-License-Identifier: PostgreSQL */
#include "template.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"

#define NAME_BYTES 32
#define DEPTH_MAX 16

enum node_kind { NODE_TEXT, NODE_VALUE, NODE_EACH, NODE_UNLESS, NODE_END, NODE_PAGE };

struct node {
	enum node_kind kind;
	const char *text; /* of TEXT: in the page's source */
	size_t length;
	char name[NAME_BYTES];
	size_t end;		 /* of EACH, UNLESS: the place of their END */
	const struct page *page; /* of PAGE; NULL when there is none of that name */
};

struct page {
	struct page *next;
	char name[NAME_BYTES];
	char *source;
	struct node *nodes;
	size_t count;
};

struct shelf {
	struct page *pages;
};

/* ---- reading -------------------------------------------------------------------------------- */

static void add_node(struct page *page, const struct node *node)
{
	/* Powers of two, so that the array needs no field for its size. */
	if ((page->count & (page->count - 1)) == 0) {
		size_t size = page->count ? 2 * page->count : 1;
		struct node *nodes = realloc(page->nodes, size * sizeof(*nodes));

		if (!nodes)
			abort();
		page->nodes = nodes;
	}
	page->nodes[page->count++] = *node;
}

static void add_text(struct page *page, const char *text, size_t length)
{
	struct node node = { .kind = NODE_TEXT, .text = text, .length = length };

	if (length > 0)
		add_node(page, &node);
}

/* @param tag what is between the braces */
static int add_tag(struct page *page, const char *tag, size_t length)
{
	static const char signs[] = "#^/>";
	static const enum node_kind kinds[] = { NODE_EACH, NODE_UNLESS, NODE_END, NODE_PAGE };
	struct node node = { .kind = NODE_VALUE };
	const char *sign = length > 0 && *tag ? strchr(signs, *tag) : NULL;

	if (sign) {
		node.kind = kinds[sign - signs];
		tag++;
		length--;
	}
	if (length == 0 || length >= NAME_BYTES)
		return -1;
	memcpy(node.name, tag, length);
	add_node(page, &node);
	return 0;
}

static int match_ends(struct page *page)
{
	size_t open[DEPTH_MAX], depth = 0;

	for (size_t i = 0; i < page->count; i++) {
		struct node *node = &page->nodes[i];

		if (node->kind == NODE_EACH || node->kind == NODE_UNLESS) {
			if (depth == DEPTH_MAX)
				return -1;
			open[depth++] = i;
		} else if (node->kind == NODE_END) {
			if (depth == 0 ||
			    strcmp(page->nodes[open[depth - 1]].name, node->name) != 0)
				return -1;
			page->nodes[open[--depth]].end = i;
		}
	}
	return depth == 0 ? 0 : -1;
}

static int parse(struct page *page)
{
	const char *at = page->source;

	for (;;) {
		const char *tag = strstr(at, "{{");
		const char *end = tag ? strstr(tag, "}}") : NULL;

		if (!tag) {
			add_text(page, at, strlen(at));
			return match_ends(page);
		}
		add_text(page, at, (size_t)(tag - at));
		if (!end || add_tag(page, tag + 2, (size_t)(end - tag) - 2) < 0)
			return -1;
		at = end + 2;
	}
}

static int load_page(struct shelf *shelf, const char *directory, const char *file, char *error,
		     size_t error_size)
{
	size_t length = strlen(file), name = length - strlen(".html");
	struct page *page;

	if (length <= strlen(".html") || strcmp(file + name, ".html") != 0 || name >= NAME_BYTES)
		return 0;
	page = calloc(1, sizeof(*page));
	if (!page)
		abort();
	page->next = shelf->pages;
	shelf->pages = page;
	memcpy(page->name, file, name);
	page->source = file_read(directory, file, NULL, error, error_size);
	if (!page->source)
		return -1;
	if (parse(page) == 0)
		return 0;
	snprintf(error, error_size, "%s/%s: a {{...}} is not closed, or closes another", directory,
		 file);
	return -1;
}

static const struct page *find_page(const struct shelf *shelf, const char *name)
{
	for (const struct page *page = shelf->pages; page; page = page->next)
		if (strcmp(page->name, name) == 0)
			return page;
	return NULL;
}

static void link_pages(struct shelf *shelf)
{
	for (struct page *page = shelf->pages; page; page = page->next)
		for (size_t i = 0; i < page->count; i++)
			if (page->nodes[i].kind == NODE_PAGE)
				page->nodes[i].page = find_page(shelf, page->nodes[i].name);
}

struct shelf *shelf_load(const char *directory, char *error, size_t error_size)
{
	struct shelf *shelf = calloc(1, sizeof(*shelf));
	DIR *dir = opendir(directory);
	struct dirent *entry;
	int rc = 0;

	if (!shelf)
		abort();
	if (!dir) {
		snprintf(error, error_size, "%s cannot be opened (RECORDS_HOME)", directory);
		rc = -1;
	}
	while (rc == 0 && (entry = readdir(dir)) != NULL)
		rc = load_page(shelf, directory, entry->d_name, error, error_size);
	if (dir)
		closedir(dir);
	if (rc < 0) {
		shelf_free(shelf);
		return NULL;
	}
	link_pages(shelf);
	return shelf;
}

void shelf_free(struct shelf *shelf)
{
	while (shelf && shelf->pages) {
		struct page *page = shelf->pages;

		shelf->pages = page->next;
		free(page->source);
		free(page->nodes);
		free(page);
	}
	free(shelf);
}

/* ---- filling -------------------------------------------------------------------------------- */

struct scope {
	const struct scope *outer;
	const struct view *values;
};

struct filling {
	struct buffer *out;
	int depth;
};

static const struct value *look_up(const struct scope *scope, const char *name)
{
	const struct value *value = NULL;

	for (; scope && !value; scope = scope->outer)
		value = view_find(scope->values, name);
	return value;
}

static void add_number(struct buffer *out, int64_t number)
{
	char digits[24];
	size_t at = sizeof(digits);
	uint64_t rest = number < 0 ? -(uint64_t)number : (uint64_t)number;

	do
		digits[--at] = (char)('0' + rest % 10);
	while (rest /= 10);
	if (number < 0)
		digits[--at] = '-';
	buffer_add(out, digits + at, sizeof(digits) - at);
}

static void add_value(struct buffer *out, const struct value *value)
{
	if (value && value->kind == VALUE_TEXT)
		buffer_escaped(out, value->text);
	else if (value && value->kind == VALUE_NUMBER)
		add_number(out, value->number);
}

static void fill(struct filling *filling, const struct page *page, size_t from, size_t to,
		 const struct scope *scope);

static void fill_each(struct filling *filling, const struct page *page, size_t at,
		      const struct scope *scope, const struct value *value)
{
	size_t end = page->nodes[at].end;

	if (value->kind != VALUE_ROWS) {
		fill(filling, page, at + 1, end, scope);
		return;
	}
	for (const struct view *row = value->rows.first; row; row = row->next) {
		struct scope inner = { .outer = scope, .values = row };

		fill(filling, page, at + 1, end, &inner);
	}
}

static void fill_page(struct filling *filling, const struct page *page, const struct scope *scope)
{
	/* A page may name itself; nobody wants that, and it ends. */
	if (!page || filling->depth == DEPTH_MAX)
		return;
	filling->depth++;
	fill(filling, page, 0, page->count, scope);
	filling->depth--;
}

static void fill(struct filling *filling, const struct page *page, size_t from, size_t to,
		 const struct scope *scope)
{
	for (size_t i = from; i < to; i++) {
		const struct node *node = &page->nodes[i];
		const struct value *value;

		switch (node->kind) {
		case NODE_TEXT:
			buffer_add(filling->out, node->text, node->length);
			break;
		case NODE_VALUE:
			add_value(filling->out, look_up(scope, node->name));
			break;
		case NODE_EACH:
			value = look_up(scope, node->name);
			if (value_is_something(value))
				fill_each(filling, page, i, scope, value);
			i = node->end;
			break;
		case NODE_UNLESS:
			if (!value_is_something(look_up(scope, node->name)))
				fill(filling, page, i + 1, node->end, scope);
			i = node->end;
			break;
		case NODE_PAGE:
			fill_page(filling, node->page, scope);
			break;
		case NODE_END:
			break;
		}
	}
}

void shelf_render(const struct shelf *shelf, const char *name, const struct view *values,
		  struct buffer *out)
{
	struct filling filling = { .out = out };
	struct scope scope = { .values = values };

	fill_page(&filling, find_page(shelf, name), &scope);
}
