/* SPDX-License-Identifier: PostgreSQL */
/*
 * What to use instead, by framework: the lines that --for prints.
 */
#ifndef TINE_DOCTOR_ADVICE_H
#define TINE_DOCTOR_ADVICE_H

#include <stdbool.h>
#include <stdio.h>

#include "doctor/doctor.h"

/** The framework that a command line runs, or TINE_FRAMEWORK_NONE.
 *  @param words  the arguments, each ended by a NUL
 *  @param size   of all of them in bytes */
enum tine_framework tine_advice_framework(const char *words, size_t size);

/** "gunicorn", "celery", "uwsgi" */
const char *tine_advice_name(enum tine_framework framework);

/** "tine run -- gunicorn --preload ..." */
const char *tine_advice_command(enum tine_framework framework);

/** Print the command line and the configuration to use, as text to be copied or as JSON. */
void tine_advice_print(enum tine_framework framework, bool json, FILE *out);

#endif
