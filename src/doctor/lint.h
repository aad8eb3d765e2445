/* SPDX-License-Identifier: PostgreSQL */
/*
 * The examination of a project. What depends on syntax (which pools, hooks and command lines there
 * are, and what is wrong with them) is found by a Python program, by Python's own syntax tree; it
 * names the codes. What depends on a server, the number of connections, is judged here.
 *
 * Locks: none. Fork: the program runs as a child and is gone when the call returns.
 */
#ifndef TINE_DOCTOR_LINT_H
#define TINE_DOCTOR_LINT_H

#include <jansson.h>

#include "doctor/doctor.h"
#include "doctor/report.h"

/** Run the Python program over options->lint.
 *  @param ret_seen  its object: "findings", "pools", "deployments"; for json_decref()
 *  @return 0, or negative errno with the reason said */
int tine_lint_read(const struct tine_doctor_options *options, json_t **ret_seen);

/** How many connections there may be: as told, or as the server of the connection string says.
 *  @param ret_limit  0: not known
 *  @param ret_whose  text that says by whom
 *  @return 0, or negative errno with the reason said */
int tine_lint_limit(const struct tine_doctor_options *options, int *ret_limit,
		    const char **ret_whose);

/** Judge the "deployments" of tine_lint_read(). */
void tine_lint_budget(struct tine_report *report, const json_t *deployments, int limit,
		      const char *whose);

#endif
