/* SPDX-License-Identifier: PostgreSQL */
/*
 * The report for people: the worst first, words wrapped to the terminal, lines to be copied left as
 * they are.
 *
 * Owns nothing. Locks: none. Fork: nothing to do.
 */
#include "doctor/report.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "doctor/findings.h"

#define COLUMNS_DEFAULT 80
#define COLUMNS_MIN 40
#define COLUMNS_MAX 120
#define INDENT 9 /* of texts; the labels and grades are in it */

struct page {
	FILE *out;
	int columns;
	bool colours;
};

/* ---- the terminal --------------------------------------------------------------------------- */

static bool is_set(const char *name)
{
	const char *value = getenv(name);

	return value && *value;
}

static void page_init(struct page *page, FILE *out)
{
	const char *term = getenv("TERM");
	struct winsize size;

	page->out = out;
	page->columns = COLUMNS_DEFAULT;
	page->colours = isatty(fileno(out)) && !is_set("NO_COLOR") && term && *term &&
			strcmp(term, "dumb") != 0;
	if (ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col >= COLUMNS_MIN)
		page->columns = size.ws_col < COLUMNS_MAX ? size.ws_col : COLUMNS_MAX;
}

static void paint(const struct page *page, const char *colour, const char *text)
{
	if (page->colours)
		fprintf(page->out, "\033[%sm%s\033[0m", colour, text);
	else
		fputs(text, page->out);
}

static const char *colour_of(enum tine_grade grade)
{
	static const char *const colours[] = { "32", "36", "33", "1;31" };

	return colours[grade];
}

/* ---- text ----------------------------------------------------------------------------------- */

/* Words from column on, further lines indented. */
static void wrap(const struct page *page, int column, const char *text)
{
	bool first = true;

	while (*text) {
		int word = (int)strcspn(text, " ");

		if (!first && column + 1 + word >= page->columns) {
			fprintf(page->out, "\n%*s", INDENT, "");
			column = INDENT;
			first = true;
		}
		column += fprintf(page->out, "%s%.*s", first ? "" : " ", word, text);
		first = false;
		text += word;
		text += strspn(text, " ");
	}
	fputc('\n', page->out);
}

static void labelled(const struct page *page, const char *label, const char *text)
{
	if (!*text)
		return;
	fputs("  ", page->out);
	paint(page, "2", label);
	fprintf(page->out, "%*s", (int)(INDENT - 2 - strlen(label)), "");
	wrap(page, INDENT, text);
}

/* ---- findings ------------------------------------------------------------------------------- */

static void print_finding(const struct page *page, const struct tine_finding *finding)
{
	fputc('\n', page->out);
	paint(page, colour_of(finding->grade), tine_grade_name(finding->grade));
	fprintf(page->out, "%*s", (int)(INDENT - strlen(tine_grade_name(finding->grade))), "");
	paint(page, "1", finding->code->code);
	fprintf(page->out, ": %s\n", finding->where);
	labelled(page, "seen", finding->seen);
	for (size_t i = 0; i < finding->details.count; i++)
		fprintf(page->out, "%*s%s\n", INDENT + 2, "", finding->details.items[i]);
	labelled(page, "why", finding->code->why);
	labelled(page, "change", finding->change);
	for (size_t i = 0; i < finding->lines.count; i++)
		fprintf(page->out, "%*s%s\n", INDENT + 4, "", finding->lines.items[i]);
}

static void print_ok(const struct page *page, const struct tine_finding *finding)
{
	int column = INDENT + (int)strlen(finding->where) + 2;

	paint(page, colour_of(TINE_GRADE_OK), "ok");
	fprintf(page->out, "%*s%s: ", INDENT - 2, "", finding->where);
	wrap(page, column, finding->seen);
}

static int count(const struct tine_report *report, enum tine_grade grade)
{
	int number = 0;

	for (const struct tine_finding *finding = report->first; finding; finding = finding->next)
		number += finding->grade == grade;
	return number;
}

static void print_verdict(const struct page *page, const struct tine_report *report)
{
	static const char *const plural[] = { "", "notes", "warnings", "hazards" };
	enum tine_grade worst = tine_report_grade(report);
	bool first = true;

	fputc('\n', page->out);
	if (worst == TINE_GRADE_OK) {
		paint(page, colour_of(worst), "ok");
		fputs(": nothing found\n", page->out);
		return;
	}
	for (int grade = TINE_GRADE_HAZARD; grade > TINE_GRADE_OK; grade--) {
		int number = count(report, (enum tine_grade)grade);
		char text[64];

		if (!number)
			continue;
		snprintf(text, sizeof(text), "%d %s", number,
			 number == 1 ? tine_grade_name((enum tine_grade)grade) : plural[grade]);
		fputs(first ? "" : ", ", page->out);
		paint(page, colour_of((enum tine_grade)grade), text);
		first = false;
	}
	fputc('\n', page->out);
}

void tine_report_print(const struct tine_report *report, FILE *out)
{
	struct page page;

	page_init(&page, out);
	for (size_t i = 0; i < report->summary.count; i++)
		fprintf(out, "%s\n", report->summary.items[i]);
	for (const struct tine_finding *finding = report->first; finding; finding = finding->next)
		if (finding->grade == TINE_GRADE_OK)
			print_ok(&page, finding);
	for (int grade = TINE_GRADE_HAZARD; grade > TINE_GRADE_OK; grade--)
		for (const struct tine_finding *finding = report->first; finding;
		     finding = finding->next)
			if ((int)finding->grade == grade)
				print_finding(&page, finding);
	print_verdict(&page, report);
}
