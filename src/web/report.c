/* SPDX-License-Identifier: PostgreSQL */
/* /json: the shapes of tine top --json, the history, and the findings. docs/web.md describes it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "show/json.h"
#include "web/web.h"

/* ---- which process to examine --------------------------------------------------------------- */

static int parent_of(int pid)
{
	char path[32], text[512], *end;
	FILE *file;
	int parent = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "re");
	if (!file)
		return 0;
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	/* The name in parentheses may hold anything. */
	end = strrchr(text, ')');
	if (!end || sscanf(end + 1, " %*c %d", &parent) != 1)
		return 0;
	return parent;
}

static bool is_member(const struct tine_view *view, int pid)
{
	for (int i = 0; i < view->members_count; i++)
		if (view->members[i].life == TINE_VIEW_ALIVE && view->members[i].pid == pid)
			return true;
	return false;
}

int tine_web_root(const struct tine_view *view)
{
	int first = 0, common = 0;
	bool several = false;

	for (int i = 0; i < view->members_count; i++) {
		const struct tine_view_member *member = &view->members[i];
		int parent = member->life == TINE_VIEW_ALIVE ? parent_of(member->pid) : 0;

		if (!parent || is_member(view, parent))
			continue;
		several = first != 0;
		common = several && parent != common ? 0 : parent;
		first = first ? first : member->pid;
	}
	/* Several of one master, which has no pool itself; but not of init. */
	return several && common > 1 ? common : first;
}

/* ---- findings ------------------------------------------------------------------------------- */

json_t *tine_web_findings(const tine_web *web, const struct tine_look *look, int tree)
{
	int pid = tine_web_root(look->forest->trees[tree]);
	json_t *known = NULL;

	if (web->examine && pid)
		known = web->examine(web->examine_arg, look->keys[tree], pid);
	return known ? known
		     : json_pack("{s:s, s:o}", "state", "off", "pid",
				 pid ? json_integer(pid) : json_null());
}

/* ---- the history ---------------------------------------------------------------------------- */

static const char *const columns[] = { "at_ms",   "budget", "held",   "busy",  "idle",
				       "waiting", "opened", "failed", "waits", "timeouts" };

static json_t *rate_of(int32_t thousandths)
{
	return thousandths < 0 ? json_null() : json_real(thousandths / 1000.0);
}

static json_t *row_of(const struct tine_sample *sample)
{
	return json_pack("[I, o, i, i, i, i, o, o, o, o]", (json_int_t)sample->at_ms,
			 sample->budget ? json_integer(sample->budget) : json_null(), sample->held,
			 sample->busy, sample->idle, sample->waiting, rate_of(sample->opened),
			 rate_of(sample->failed), rate_of(sample->waits),
			 rate_of(sample->timeouts));
}

static json_t *history_of(tine_web *web, const struct tine_view *view, int64_t after_ms)
{
	struct tine_sample *samples = calloc(TINE_HISTORY_SAMPLES, sizeof(*samples));
	int count = samples ? tine_history_get(web->history, view, after_ms, samples) : 0;
	json_t *names = json_array(), *rows = json_array();

	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
		json_array_append_new(names, json_string(columns[i]));
	for (int i = 0; i < count; i++)
		json_array_append_new(rows, row_of(&samples[i]));
	free(samples);
	return json_pack("{s:I, s:i, s:o, s:o}", "now_ms",
			 (json_int_t)(tine_clock_ns() / TINE_NS_PER_MS), "keep_s",
			 TINE_HISTORY_SAMPLES, "columns", names, "rows", rows);
}

/* ---- the whole ------------------------------------------------------------------------------ */

static json_t *tree_of(tine_web *web, const struct tine_look *look, int tree, int64_t history_ms)
{
	json_t *json = tine_json_tree(look->forest->trees[tree], look->rates[tree]);

	json_object_set_new(json, "key", json_string(look->keys[tree]));
	if (history_ms >= 0)
		json_object_set_new(json, "history",
				    history_of(web, look->forest->trees[tree], history_ms));
	json_object_set_new(json, "findings", tine_web_findings(web, look, tree));
	return json;
}

void tine_web_write_json(tine_web *web, const struct tine_look *look, int tree, int64_t history_ms,
			 struct tine_out *out)
{
	json_t *trees = json_array(), *report;
	char *text;

	for (int i = 0; i < look->forest->trees_count; i++)
		if (tree < 0 || tree == i)
			json_array_append_new(trees, tree_of(web, look, i, history_ms));
	report = json_pack("{s:o, s:o, s:o}", "time", tine_json_time(), "trees", trees, "not_shown",
			   tine_json_problems(look->forest));
	text = report ? json_dumps(report,
				   JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(9))
		      : NULL;
	json_decref(report);
	if (text)
		tine_out_add(out, text);
	else
		out->no_memory = true;
	free(text);
}
