/* SPDX-License-Identifier: PostgreSQL */
/* Pieces of the page. Locks: none. Fork: no state. */
#ifndef TINE_WEB_PAGE_H
#define TINE_WEB_PAGE_H

#include "web/web.h"

/* A table. A name may begin with what the column is: '#' numbers, '-' left out on narrow screens,
 * '+' both. All is constant text. */
struct tine_page_columns {
	const char *id; /* its title has the id "ID-title" */
	const char *names[16];
};

void tine_page_table(struct tine_out *out, const struct tine_page_columns *columns);
void tine_page_table_end(struct tine_out *out);

/* Cells. @param class  a constant; "" for none */
void tine_page_text(struct tine_out *out, const char *class, const char *text);
void tine_page_number(struct tine_out *out, const char *class, int64_t number);
void tine_page_age(struct tine_out *out, const char *class, int64_t age_ns);

/** What tine doctor found; docs/web.md describes the object. Nothing of it is believed. */
void tine_page_findings(struct tine_out *out, const json_t *findings);

#endif
