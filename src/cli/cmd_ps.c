/* SPDX-License-Identifier: PostgreSQL */
/*
 * tine ps: the trees on this host, once. Only looks.
 */
#include <limits.h>

#include "board/forest.h"
#include "cli/command.h"
#include "show/json.h"
#include "show/tables.h"

static void print_json(const struct tine_forest *forest)
{
	json_t *trees = json_array(), *report;

	for (int i = 0; i < forest->trees_count; i++)
		json_array_append_new(trees, tine_json_tree(forest->trees[i], NULL));
	report = json_pack("{s:o, s:o}", "trees", trees, "not_shown", tine_json_problems(forest));
	json_dumpf(report, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(report);
}

static void print_text(const struct tine_forest *forest, bool summary)
{
	const struct tine_tables tables = { .order.key = TINE_ORDER_WORKER,
					    .connections = !summary };
	struct tine_page page = { 0 };

	for (int i = 0; i < forest->trees_count; i++) {
		if (i > 0)
			tine_page_add(&page, TINE_PAGE_PLAIN, "%s", "");
		tine_tables_tree(&page, forest->trees[i], &tables, NULL);
	}
	tine_page_print(&page, stdout);
	tine_page_clear(&page);
}

static int grade(const struct tine_forest *forest, bool json)
{
	char places[2 * PATH_MAX];

	if (!json)
		for (int i = 0; i < forest->problems_count; i++)
			tine_fail(0, "not shown: %s: %s", forest->problems[i].path,
				  forest->problems[i].why);
	if (forest->cut)
		tine_fail(0, "only the first %d boards are looked at", TINE_FOREST_TREES);
	for (int i = 0; i < forest->trees_count; i++)
		if (tine_view_living(forest->trees[i]))
			return TINE_EXIT_OK;
	if (forest->problems_count)
		return TINE_EXIT_SYSTEM;
	if (json || forest->trees_count)
		return TINE_EXIT_NO;
	return tine_fail(TINE_EXIT_NO, "no such process tree (looked in %s)",
			 tine_forest_places(places, sizeof(places)));
}

int tine_cmd_ps(const struct tine_settings *settings, int argc, char **argv)
{
	struct tine_forest *forest = tine_forest_read(argv);
	int status;

	(void)argc;
	if (!forest)
		return tine_fail(TINE_EXIT_SYSTEM, "out of memory");
	if (settings->json)
		print_json(forest);
	else
		print_text(forest, settings->summary);
	status = grade(forest, settings->json);
	tine_forest_free(forest);
	return status;
}
