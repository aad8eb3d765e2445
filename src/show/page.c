/* SPDX-License-Identifier: PostgreSQL */
#include "show/page.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static struct tine_page_line *new_line(struct tine_page *page)
{
	if (page->count == page->room) {
		int room = page->room ? 2 * page->room : 64;
		struct tine_page_line *lines =
			realloc(page->lines, (size_t)room * sizeof(page->lines[0]));

		if (!lines) {
			page->no_memory = true;
			return NULL;
		}
		page->lines = lines;
		page->room = room;
	}
	return &page->lines[page->count++];
}

void tine_page_add(struct tine_page *page, enum tine_page_kind kind, const char *format, ...)
{
	struct tine_page_line *line = new_line(page);
	va_list args;
	size_t length;

	if (!line)
		return;
	line->kind = kind;
	va_start(args, format);
	vsnprintf(line->text, sizeof(line->text), format, args);
	va_end(args);
	/* The last column of a table may be empty. */
	length = strlen(line->text);
	while (length > 0 && line->text[length - 1] == ' ')
		line->text[--length] = '\0';
}

void tine_page_print(const struct tine_page *page, FILE *out)
{
	for (int i = 0; i < page->count; i++)
		fprintf(out, "%s\n", page->lines[i].text);
}

void tine_page_clear(struct tine_page *page)
{
	free(page->lines);
	memset(page, 0, sizeof(*page));
}
