/* SPDX-License-Identifier: PostgreSQL */
/*
 * The report of tine-doctor: findings and facts, printed for people or as JSON with the same
 * content.
 *
 * Everything that comes in is foreign (names of processes, text of servers and of files): control
 * bytes, and bytes that are not ASCII, become '?' here, so no caller has to see to that. Passwords
 * are the caller's to keep out; tine_doctor_redact() helps.
 *
 * Memory that is not there ends the program. Locks: none, one thread.
 */
#ifndef TINE_DOCTOR_REPORT_H
#define TINE_DOCTOR_REPORT_H

#include <stdio.h>

#include <jansson.h>

#include "doctor/code.h"

struct tine_report;
struct tine_finding;

/** An empty report; tine_report_free() frees it. */
struct tine_report *tine_report_new(void);
void tine_report_free(struct tine_report *report);

/** Adds a finding of a code of the table. Findings are shown by grade, the worst first, else in the
 *  order in which they were added. One of grade ok is shown as a single line.
 *  @param code   must be in the table
 *  @param where  what it is about: "pid 4711", "db.py:12", "db.example.org:5432"
 *  @param seen_format  what was seen, as printf's
 *  @return the finding, owned by the report, for the calls below */
struct tine_finding *tine_report_add(struct tine_report *report, const char *code,
				     const char *where, const char *seen_format, ...)
	__attribute__((format(printf, 4, 5)));

/** Replace the table's advice by one that is exact for this case. */
void tine_finding_set_change(struct tine_finding *finding, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/** Another grade than the table's. */
void tine_finding_set_grade(struct tine_finding *finding, enum tine_grade grade);

/** Add a line to be copied as it stands (a command, a setting); it is shown below the advice and
 *  never wrapped. JSON: "lines". */
void tine_finding_add_line(struct tine_finding *finding, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/** Add a line that belongs to what was seen (one of many connections); shown below it and never
 *  wrapped. JSON: "details". */
void tine_finding_add_detail(struct tine_finding *finding, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/** A JSON object for what the finding is made of (pids, addresses, numbers); JSON: "data".
 *  @return borrowed; its strings must be made with tine_report_string() when they are foreign */
json_t *tine_finding_data(struct tine_finding *finding);

/** The JSON object for what an examination saw, whatever it thinks of it.
 *  @param examination "live", "database" or "lint"
 *  @return borrowed */
json_t *tine_report_facts(struct tine_report *report, const char *examination);

/** A line that says what was looked at ("4 processes, 12 connections, none shared"); the lines of
 *  all calls are shown above the findings, in their order. JSON: "summary". */
void tine_report_summarize(struct tine_report *report, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/** A JSON string of foreign bytes; text may be NULL (JSON null). @return new reference */
json_t *tine_report_string(const char *text);

/** The worst grade of all findings. */
enum tine_grade tine_report_grade(const struct tine_report *report);

/** Print for people: with colour and as wide as the terminal where out is one (NO_COLOR and
 *  TERM=dumb are heeded), else 80 columns without. */
void tine_report_print(const struct tine_report *report, FILE *out);

/** Print as one JSON object: version, grade, summary, findings (examination, code, grade, where,
 *  seen, details, why, change, lines, data), and facts by examination. */
void tine_report_print_json(const struct tine_report *report, FILE *out);

#endif
