/* SPDX-License-Identifier: PostgreSQL */
/*
 * What tine top watches: the forest, looked at again and again, and what changed in between.
 *
 * Owns: the last forest, the rates, the page. Locks: none. Fork: plain memory.
 */
#ifndef TINE_TOP_WATCH_H
#define TINE_TOP_WATCH_H

#include "base/option.h"
#include "show/json.h"
#include "show/tables.h"

#define TINE_WATCH_EVENTS 12 /* shown of a tree */

struct tine_watch {
	char *const *labels; /* of the trees to be shown; borrowed */
	int interval_ms;
	int count; /* looks still to come; 0: any number */
	struct tine_tables tables;
	struct tine_forest *forest;
	struct tine_rates *rates[TINE_FOREST_TREES]; /* by tree; NULL: not known yet */
	int64_t looked_ns;
	struct tine_page page;
};

/** Look. What was seen before is gone. @return 0 or -ENOMEM: nothing has changed */
int tine_watch_look(struct tine_watch *watch);

/** Write the page anew from what was seen. */
void tine_watch_write_page(struct tine_watch *watch);

/** What was seen, for programs. @return the caller's; NULL when there is no memory */
json_t *tine_watch_json(const struct tine_watch *watch);

/** Let go of all. */
void tine_watch_end(struct tine_watch *watch);

/* The two ways to show it, until the count is reached or somebody says quit.
 * @return an exit status, having said why it is not 0 */
int tine_top_plain(struct tine_watch *watch, bool json);
int tine_top_screen(struct tine_watch *watch);

/** "tine: top: " and a line on standard error. @return status */
int tine_top_fail(int status, const char *text);

#endif
