/* SPDX-License-Identifier: PostgreSQL */
/*
 * The examination of a project: what the Python program found becomes the report.
 *
 * Owns the program's answer. Locks: none. Fork: see lint.h.
 */
#include "doctor/lint.h"

#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name;
	enum tine_grade grade;
} grades[] = {
	{ "ok", TINE_GRADE_OK },
	{ "note", TINE_GRADE_NOTE },
	{ "warning", TINE_GRADE_WARNING },
	{ "hazard", TINE_GRADE_HAZARD },
};

static const char *text(const json_t *object, const char *key)
{
	const char *value = json_string_value(json_object_get(object, key));

	return value ? value : "";
}

/* A line that is to be copied may stand in a file of the project, and so may a secret. */
static char *without_secrets(const char *line)
{
	char *copy = strdup(line);

	if (copy)
		tine_doctor_redact(copy);
	return copy;
}

static void add_finding(struct tine_report *report, const json_t *found)
{
	struct tine_finding *finding =
		tine_report_add(report, text(found, "code"), text(found, "where"), "%s",
				text(found, "seen"));
	const json_t *lines = json_object_get(found, "lines");
	size_t i;

	for (i = 0; i < sizeof(grades) / sizeof(grades[0]); i++)
		if (strcmp(text(found, "grade"), grades[i].name) == 0)
			tine_finding_set_grade(finding, grades[i].grade);
	if (*text(found, "change"))
		tine_finding_set_change(finding, "%s", text(found, "change"));
	for (i = 0; i < json_array_size(lines); i++) {
		char *copy = without_secrets(json_string_value(json_array_get(lines, i)));

		if (copy)
			tine_finding_add_line(finding, "%s", copy);
		free(copy);
	}
}

static size_t count(const json_t *seen, const char *key)
{
	return json_array_size(json_object_get(seen, key));
}

/* Its strings are plain ASCII: the program sees to that. */
static void keep_facts(struct tine_report *report, json_t *seen)
{
	json_t *facts = tine_report_facts(report, "lint");

	json_object_set(facts, "files", json_object_get(seen, "files"));
	json_object_set(facts, "python", json_object_get(seen, "python"));
	json_object_set(facts, "pools", json_object_get(seen, "pools"));
	json_object_set(facts, "deployments", json_object_get(seen, "deployments"));
}

static void summarize(struct tine_report *report, const char *path, const json_t *seen)
{
	long long files = json_integer_value(json_object_get(seen, "files"));
	size_t pools = count(seen, "pools"), ways = count(seen, "deployments");

	tine_report_summarize(report, "%s: %lld file%s, %zu pool%s, %zu way%s to start it", path,
			      files, files == 1 ? "" : "s", pools, pools == 1 ? "" : "s", ways,
			      ways == 1 ? "" : "s");
}

int tine_doctor_lint(struct tine_report *report, const struct tine_doctor_options *options)
{
	const char *whose;
	const json_t *found;
	json_t *seen = NULL;
	int limit, rc = tine_lint_limit(options, &limit, &whose);

	if (rc == 0)
		rc = tine_lint_read(options, &seen);
	if (rc < 0)
		return rc;
	summarize(report, options->lint, seen);
	found = json_object_get(seen, "findings");
	for (size_t i = 0; i < json_array_size(found); i++)
		add_finding(report, json_array_get(found, i));
	tine_lint_budget(report, json_object_get(seen, "deployments"), limit, whose);
	keep_facts(report, seen);
	json_decref(seen);
	return 0;
}
