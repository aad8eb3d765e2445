/* SPDX-License-Identifier: PostgreSQL */
#include "top/watch.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

/* ---- looking -------------------------------------------------------------------------------- */

static const struct tine_view *find(const struct tine_forest *forest, const struct tine_view *view)
{
	for (int i = 0; forest && i < forest->trees_count; i++)
		if (strcmp(forest->trees[i]->path, view->path) == 0)
			return forest->trees[i];
	return NULL;
}

static void free_rates(struct tine_watch *watch)
{
	for (int i = 0; i < TINE_FOREST_TREES; i++) {
		tine_rates_free(watch->rates[i]);
		watch->rates[i] = NULL;
	}
}

int tine_watch_look(struct tine_watch *watch)
{
	struct tine_forest *before = watch->forest, *now = tine_forest_read(watch->labels);
	int64_t now_ns = tine_clock_ns(), since_ns = now_ns - watch->looked_ns;

	if (!now)
		return -ENOMEM;
	free_rates(watch);
	for (int i = 0; i < now->trees_count; i++) {
		const struct tine_view *earlier = find(before, now->trees[i]);

		if (earlier && since_ns > 0)
			watch->rates[i] = tine_rates_between(earlier, now->trees[i], since_ns);
	}
	tine_forest_free(before);
	watch->forest = now;
	watch->looked_ns = now_ns;
	return 0;
}

void tine_watch_end(struct tine_watch *watch)
{
	free_rates(watch);
	tine_forest_free(watch->forest);
	watch->forest = NULL;
	tine_page_clear(&watch->page);
}

/* ---- for people ----------------------------------------------------------------------------- */

static void add_totals(struct tine_watch *watch)
{
	int processes = 0, held = 0, busy = 0, waiting = 0;
	const struct tine_forest *forest = watch->forest;
	time_t now = time(NULL);
	char clock[16];
	struct tm tm;

	for (int i = 0; i < forest->trees_count; i++) {
		const struct tine_view *view = forest->trees[i];

		processes += view->members_count;
		held += view->held;
		waiting += view->waiters_count;
		for (int m = 0; m < view->members_count; m++)
			busy += view->members[m].busy;
	}
	strftime(clock, sizeof(clock), "%H:%M:%S", localtime_r(&now, &tm));
	tine_page_add(&watch->page, TINE_PAGE_TREE,
		      "tine top %s: trees %d, processes %d, connections %d (%d busy), waiting %d; "
		      "sorted by %s%s%s%s",
		      clock, forest->trees_count, processes, held, busy, waiting,
		      tine_order_name(watch->tables.order.key),
		      watch->tables.order.reverse ? ", reversed" : "",
		      watch->tables.order.filter ? ", only: " : "",
		      watch->tables.order.filter ? watch->tables.order.filter : "");
}

void tine_watch_write_page(struct tine_watch *watch)
{
	char places[256];

	tine_page_clear(&watch->page);
	add_totals(watch);
	for (int i = 0; i < watch->forest->trees_count; i++) {
		tine_page_add(&watch->page, TINE_PAGE_PLAIN, "%s", "");
		tine_tables_tree(&watch->page, watch->forest->trees[i], &watch->tables,
				 watch->rates[i]);
	}
	if (watch->forest->trees_count == 0)
		tine_page_add(&watch->page, TINE_PAGE_PLAIN, "no process tree in %s",
			      tine_forest_places(places, sizeof(places)));
	tine_tables_problems(&watch->page, watch->forest);
}

/* ---- for programs --------------------------------------------------------------------------- */

json_t *tine_watch_json(const struct tine_watch *watch)
{
	json_t *trees = json_array();

	for (int i = 0; i < watch->forest->trees_count; i++)
		json_array_append_new(trees,
				      tine_json_tree(watch->forest->trees[i], watch->rates[i]));
	return json_pack("{s:o, s:o, s:o}", "time", tine_json_time(), "trees", trees, "not_shown",
			 tine_json_problems(watch->forest));
}
