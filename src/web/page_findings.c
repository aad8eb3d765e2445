/* SPDX-License-Identifier: PostgreSQL */
#include <string.h>

#include "base/clock.h"
#include "show/words.h"
#include "web/page.h"

#define FINDINGS_MAX 50
#define LINES_MAX 20

/* "" for what is no text. */
static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "";
}

static void add_lines(struct tine_out *out, const json_t *lines)
{
	if (!json_array_size(lines))
		return;
	tine_out_add(out, "<pre>");
	for (size_t i = 0; i < json_array_size(lines) && i < LINES_MAX; i++) {
		const char *line = json_string_value(json_array_get(lines, i));

		tine_out_html(out, line ? line : "");
		tine_out_add(out, "\n");
	}
	tine_out_add(out, "</pre>");
}

static void add_labelled(struct tine_out *out, const char *label, const char *text)
{
	if (!*text)
		return;
	tine_out_format(out, "<p><b>%s</b> ", label);
	tine_out_html(out, text);
	tine_out_add(out, "</p>");
}

static const char *class_of(const char *grade)
{
	static const char *const grades[] = { "hazard", "warning", "note" };

	for (size_t i = 0; i < sizeof(grades) / sizeof(grades[0]); i++)
		if (strcmp(grade, grades[i]) == 0)
			return grades[i];
	return "ok";
}

static void add_finding(struct tine_out *out, const json_t *finding)
{
	const char *class = class_of(text_of(finding, "grade"));

	tine_out_format(out, "<li class=\"%s\"><details%s><summary><b class=\"grade\">%s</b> ",
			class, strcmp(class, "hazard") == 0 ? " open" : "", class);
	tine_out_html(out, text_of(finding, "code"));
	tine_out_add(out, ": ");
	tine_out_html(out, text_of(finding, "where"));
	tine_out_add(out, "</summary>");
	add_labelled(out, "Seen", text_of(finding, "seen"));
	add_lines(out, json_object_get(finding, "details"));
	add_labelled(out, "Why", text_of(finding, "why"));
	add_labelled(out, "Change", text_of(finding, "change"));
	add_lines(out, json_object_get(finding, "lines"));
	tine_out_add(out, "</details></li>\n");
}

static void add_state(struct tine_out *out, const json_t *findings)
{
	const char *state = text_of(findings, "state");
	int64_t pid = json_integer_value(json_object_get(findings, "pid"));
	char age[TINE_WORDS_AGE_BYTES];

	tine_out_add(out, "<p id=\"findings-state\" class=\"note\">");
	if (strcmp(state, "done") == 0) {
		int64_t ms = json_integer_value(json_object_get(findings, "age_ms"));

		tine_out_format(out, "examined %s ago: %s",
				tine_words_age(age, ms * TINE_NS_PER_MS),
				json_array_size(json_object_get(findings, "items"))
					? ""
					: "nothing found; ");
		tine_out_html(out, text_of(findings, "summary"));
	} else if (strcmp(state, "failed") == 0) {
		tine_out_add(out, "could not be examined: ");
		tine_out_html(out, text_of(findings, "why"));
	} else if (strcmp(state, "running") == 0) {
		tine_out_format(out, "process %lld is being examined", (long long)pid);
	} else if (pid) {
		tine_out_format(out,
				"not examined here; this does: <code>tine doctor --pid "
				"%lld</code>",
				(long long)pid);
	} else {
		tine_out_add(out, "no process is left, or none of this pid namespace");
	}
	tine_out_add(out, "</p>\n");
}

void tine_page_findings(struct tine_out *out, const json_t *findings)
{
	const json_t *items = json_object_get(findings, "items");

	add_state(out, findings);
	tine_out_add(out, "<ul id=\"findings\" class=\"findings\">\n");
	for (size_t i = 0; i < json_array_size(items) && i < FINDINGS_MAX; i++)
		add_finding(out, json_array_get(items, i));
	tine_out_add(out, "</ul>\n");
}
