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
	size_t end; /* of EACH, UNLESS: the place of their END */
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
	if (rc == 0)
		return shelf;
	shelf_free(shelf);
	return NULL;
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
	const json_t *values;
};

struct filling {
	const struct shelf *shelf;
	struct buffer *out;
	int depth;
};

static const struct page *find_page(const struct shelf *shelf, const char *name)
{
	for (const struct page *page = shelf->pages; page; page = page->next)
		if (strcmp(page->name, name) == 0)
			return page;
	return NULL;
}

static const json_t *look_up(const struct scope *scope, const char *name)
{
	for (; scope; scope = scope->outer) {
		const json_t *value = json_object_get(scope->values, name);

		if (value)
			return value;
	}
	return NULL;
}

static bool is_something(const json_t *value)
{
	if (json_is_string(value))
		return json_string_length(value) > 0;
	if (json_is_array(value))
		return json_array_size(value) > 0;
	return value && !json_is_null(value) && !json_is_false(value);
}

static void add_value(struct buffer *out, const json_t *value)
{
	char number[32];

	if (json_is_string(value)) {
		buffer_escaped(out, json_string_value(value));
	} else if (json_is_integer(value)) {
		snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(value));
		buffer_text(out, number);
	}
}

static void fill(struct filling *filling, const struct page *page, size_t from, size_t to,
		 const struct scope *scope);

static void fill_each(struct filling *filling, const struct page *page, size_t at,
		      const struct scope *scope, const json_t *value)
{
	size_t count = json_is_array(value) ? json_array_size(value) : 1;

	for (size_t i = 0; i < count; i++) {
		struct scope inner = {
			.outer = scope,
			.values = json_is_array(value) ? json_array_get(value, i) : value,
		};

		fill(filling, page, at + 1, page->nodes[at].end, &inner);
	}
}

static void fill_page(struct filling *filling, const char *name, const struct scope *scope)
{
	const struct page *page = find_page(filling->shelf, name);

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
		const json_t *value;

		switch (node->kind) {
		case NODE_TEXT:
			buffer_add(filling->out, node->text, node->length);
			break;
		case NODE_VALUE:
			add_value(filling->out, look_up(scope, node->name));
			break;
		case NODE_EACH:
			value = look_up(scope, node->name);
			if (is_something(value))
				fill_each(filling, page, i, scope, value);
			i = node->end;
			break;
		case NODE_UNLESS:
			if (!is_something(look_up(scope, node->name)))
				fill(filling, page, i + 1, node->end, scope);
			i = node->end;
			break;
		case NODE_PAGE:
			fill_page(filling, node->name, scope);
			break;
		case NODE_END:
			break;
		}
	}
}

void shelf_render(const struct shelf *shelf, const char *name, const json_t *values,
		  struct buffer *out)
{
	struct filling filling = { .shelf = shelf, .out = out };
	struct scope scope = { .values = values };

	fill_page(&filling, name, &scope);
}
