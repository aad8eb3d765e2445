/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a report is made of, for report.c, which collects, and print.c, which shows.
 */
#ifndef TINE_DOCTOR_FINDINGS_H
#define TINE_DOCTOR_FINDINGS_H

#include <stddef.h>

#include <jansson.h>

#include "doctor/code.h"

struct tine_texts {
	char **items;
	size_t count;
};

struct tine_finding {
	struct tine_finding *next;
	const struct tine_code *code;
	const char *examination;
	enum tine_grade grade;
	char *where, *seen, *change;
	struct tine_texts details, lines;
	json_t *data;
};

struct tine_report {
	struct tine_finding *first, *last;
	struct tine_texts summary;
	json_t *facts;
};

#endif
