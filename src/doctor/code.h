/* SPDX-License-Identifier: PostgreSQL */
/*
 * The table of all finding codes: what a code means, how bad it is, why it matters and what to
 * change. docs/doctor.md explains each one; a test compares. One list per examination, each in a
 * file of its own (codes_live.c and so on) and ended by a row without a code.
 *
 * A code is part of the interface (--json): it is never renamed, and means the same for ever.
 */
#ifndef TINE_DOCTOR_CODE_H
#define TINE_DOCTOR_CODE_H

enum tine_grade {
	TINE_GRADE_OK,
	TINE_GRADE_NOTE,    /* worth knowing, nothing to do */
	TINE_GRADE_WARNING, /* will fail under conditions that come up */
	TINE_GRADE_HAZARD,  /* fails, loses or mixes data, now or at the next fork */
};

struct tine_code {
	const char *code; /* "shared-connection" */
	enum tine_grade grade;
	const char *why;    /* one or two sentences; "" when the grade is ok */
	const char *change; /* what to do in general; a finding may say it more exactly */
};

extern const struct tine_code tine_codes_live[];
extern const struct tine_code tine_codes_database[];
extern const struct tine_code tine_codes_lint[];

/** The row of a code. Aborts when there is none: that is a bug here.
 *  @param ret_examination "live", "database" or "lint" */
const struct tine_code *tine_code_find(const char *code, const char **ret_examination);

/** "ok", "note", "warning", "hazard" */
const char *tine_grade_name(enum tine_grade grade);

#endif
