/* SPDX-License-Identifier: PostgreSQL */
/*
 * Finding a code in the lists of the examinations. Constant data; locks, fork: nothing to do.
 */
#include "doctor/code.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *examination;
	const struct tine_code *codes;
} lists[] = {
	{ "live", tine_codes_live },
	{ "database", tine_codes_database },
	{ "lint", tine_codes_lint },
};

const struct tine_code *tine_code_find(const char *code, const char **ret_examination)
{
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		for (const struct tine_code *row = lists[i].codes; row->code; row++)
			if (strcmp(row->code, code) == 0) {
				*ret_examination = lists[i].examination;
				return row;
			}
	fprintf(stderr, "tine: doctor: no such code: %s\n", code);
	abort();
}

const char *tine_grade_name(enum tine_grade grade)
{
	static const char *const names[] = { "ok", "note", "warning", "hazard" };

	return names[grade];
}
