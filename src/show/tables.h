/* SPDX-License-Identifier: PostgreSQL */
/* A board as lines of text. Locks: none. Fork: no state. */
#ifndef TINE_SHOW_TABLES_H
#define TINE_SHOW_TABLES_H

#include "board/forest.h"
#include "show/order.h"
#include "show/page.h"
#include "show/rates.h"

struct tine_tables {
	struct tine_order order;
	bool connections; /* a row for each */
	int events;       /* so many of the newest */
};

/** Add a tree: what it has and wants, its processes, connections, waiters, outages, events.
 *  @param rates  NULL: not known */
void tine_tables_tree(struct tine_page *page, const struct tine_view *view,
		      const struct tine_tables *tables, const struct tine_rates *rates);

/** Add the boards that could not be read. */
void tine_tables_problems(struct tine_page *page, const struct tine_forest *forest);

#endif
