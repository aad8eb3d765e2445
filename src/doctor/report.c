/* SPDX-License-Identifier: PostgreSQL */
/*
 * The report: collecting findings and facts, and JSON. print.c shows it to people.
 *
 * Owns every finding and fact until tine_report_free(). Locks: none. Fork: nothing to do.
 */
#include "doctor/report.h"

#include <err.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/exit.h"
#include "doctor/findings.h"

static void *need(void *memory)
{
	if (!memory)
		errx(TINE_EXIT_SYSTEM, "doctor: out of memory");
	return memory;
}

/* ---- texts ---------------------------------------------------------------------------------- */

static char *clean(char *text)
{
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < 0x20 || (unsigned char)*p >= 0x7f)
			*p = '?';
	return text;
}

__attribute__((format(printf, 1, 0))) static char *formatted(const char *format, va_list args)
{
	char *text = NULL;

	if (vasprintf(&text, format, args) < 0)
		need(NULL);
	return clean(text);
}

__attribute__((format(printf, 2, 0))) static void replace(char **field, const char *format,
							  va_list args)
{
	char *text = formatted(format, args);

	free(*field);
	*field = text;
}

static void append(struct tine_texts *texts, char *text)
{
	texts->items = need(realloc(texts->items, (texts->count + 1) * sizeof(*texts->items)));
	texts->items[texts->count++] = text;
}

static void texts_free(struct tine_texts *texts)
{
	for (size_t i = 0; i < texts->count; i++)
		free(texts->items[i]);
	free(texts->items);
}

json_t *tine_report_string(const char *text)
{
	char *copy;
	json_t *string;

	if (!text)
		return json_null();
	copy = clean(need(strdup(text)));
	string = need(json_string(copy));
	free(copy);
	return string;
}

/* ---- collecting ----------------------------------------------------------------------------- */

struct tine_report *tine_report_new(void)
{
	struct tine_report *report = need(calloc(1, sizeof(*report)));

	report->facts = need(json_object());
	return report;
}

void tine_report_free(struct tine_report *report)
{
	struct tine_finding *next;

	for (struct tine_finding *finding = report->first; finding; finding = next) {
		next = finding->next;
		json_decref(finding->data);
		texts_free(&finding->details);
		texts_free(&finding->lines);
		free(finding->where);
		free(finding->seen);
		free(finding->change);
		free(finding);
	}
	texts_free(&report->summary);
	json_decref(report->facts);
	free(report);
}

struct tine_finding *tine_report_add(struct tine_report *report, const char *code,
				     const char *where, const char *seen_format, ...)
{
	struct tine_finding *finding = need(calloc(1, sizeof(*finding)));
	va_list args;

	finding->code = tine_code_find(code, &finding->examination);
	finding->grade = finding->code->grade;
	finding->where = clean(need(strdup(where)));
	finding->change = need(strdup(finding->code->change));
	finding->data = need(json_object());
	va_start(args, seen_format);
	finding->seen = formatted(seen_format, args);
	va_end(args);
	if (report->last)
		report->last->next = finding;
	else
		report->first = finding;
	report->last = finding;
	return finding;
}

void tine_finding_set_change(struct tine_finding *finding, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	replace(&finding->change, format, args);
	va_end(args);
}

void tine_finding_set_grade(struct tine_finding *finding, enum tine_grade grade)
{
	finding->grade = grade;
}

void tine_finding_add_line(struct tine_finding *finding, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	append(&finding->lines, formatted(format, args));
	va_end(args);
}

void tine_finding_add_detail(struct tine_finding *finding, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	append(&finding->details, formatted(format, args));
	va_end(args);
}

json_t *tine_finding_data(struct tine_finding *finding)
{
	return finding->data;
}

json_t *tine_report_facts(struct tine_report *report, const char *examination)
{
	json_t *facts = json_object_get(report->facts, examination);

	if (facts)
		return facts;
	facts = need(json_object());
	json_object_set_new(report->facts, examination, facts);
	return facts;
}

void tine_report_summarize(struct tine_report *report, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	append(&report->summary, formatted(format, args));
	va_end(args);
}

enum tine_grade tine_report_grade(const struct tine_report *report)
{
	enum tine_grade worst = TINE_GRADE_OK;

	for (const struct tine_finding *finding = report->first; finding; finding = finding->next)
		if (finding->grade > worst)
			worst = finding->grade;
	return worst;
}

/* ---- JSON ----------------------------------------------------------------------------------- */

static json_t *strings(const struct tine_texts *texts)
{
	json_t *array = need(json_array());

	for (size_t i = 0; i < texts->count; i++)
		json_array_append_new(array, tine_report_string(texts->items[i]));
	return array;
}

static json_t *finding_json(const struct tine_finding *finding)
{
	return need(json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:s, s:s, s:o, s:O}", "examination",
			      finding->examination, "code", finding->code->code, "grade",
			      tine_grade_name(finding->grade), "where", finding->where, "seen",
			      finding->seen, "details", strings(&finding->details), "why",
			      finding->code->why, "change", finding->change, "lines",
			      strings(&finding->lines), "data", finding->data));
}

void tine_report_print_json(const struct tine_report *report, FILE *out)
{
	json_t *findings = need(json_array());
	json_t *root;

	for (int grade = TINE_GRADE_HAZARD; grade >= TINE_GRADE_OK; grade--)
		for (const struct tine_finding *finding = report->first; finding;
		     finding = finding->next)
			if ((int)finding->grade == grade)
				json_array_append_new(findings, finding_json(finding));
	root = need(json_pack("{s:s, s:s, s:o, s:o}", "version", TINE_VERSION, "grade",
			      tine_grade_name(tine_report_grade(report)), "summary",
			      strings(&report->summary), "findings", findings));
	json_object_update(root, report->facts);
	json_dumpf(root, out, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
	fputc('\n', out);
	json_decref(root);
}
