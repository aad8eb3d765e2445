/* SPDX-License-Identifier: PostgreSQL */
/*
 * tine-doctor: reads the command line, chooses the examination, prints the report. tine(1) has
 * already read the same options from the same table, and prints the help.
 *
 * Owns the report. Locks, fork: nothing to do.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/exit.h"
#include "base/option.h"
#include "doctor/advice.h"
#include "doctor/doctor.h"
#include "doctor/report.h"

/* ---- which examination ---------------------------------------------------------------------- */

typedef int examine_fn(struct tine_report *report, const struct tine_doctor_options *options);

/* With --pid or --all a connection string is looked at as far as the processes need it; with --lint
 * it is where the limit of connections is measured. */
static examine_fn *chosen(const struct tine_doctor_options *options)
{
	if (options->pid || options->all)
		return tine_doctor_live;
	if (options->lint)
		return tine_doctor_lint;
	if (options->conninfo)
		return tine_doctor_database;
	return NULL;
}

static int check(const struct tine_doctor_options *options)
{
	if ((options->pid != 0) + options->all + (options->lint != NULL) > 1)
		return tine_doctor_fail(TINE_EXIT_USAGE,
					"--pid, --all and --lint exclude each other");
	if (options->probe_idle_s &&
	    (!options->conninfo || options->lint || options->pid || options->all))
		return tine_doctor_fail(TINE_EXIT_USAGE,
					"--probe-idle needs a connection string and nothing else "
					"to examine");
	if (!chosen(options) && !options->framework)
		return tine_doctor_fail(TINE_EXIT_USAGE,
					"nothing to examine: give --pid, --all, --lint or a "
					"connection string ('tine doctor -h' shows the options)");
	return TINE_EXIT_OK;
}

static int examine(const struct tine_doctor_options *options)
{
	struct tine_report *report = tine_report_new();
	int status = TINE_EXIT_SYSTEM;

	if (chosen(options)(report, options) == 0) {
		if (options->json)
			tine_report_print_json(report, stdout);
		else
			tine_report_print(report, stdout);
		status = tine_report_grade(report) > TINE_GRADE_NOTE ? TINE_EXIT_NO : TINE_EXIT_OK;
	}
	tine_report_free(report);
	return status;
}

/* ---- the command line ----------------------------------------------------------------------- */

/* A connection string can hold a password, and everybody can read a command line. */
static char *take(char *operand)
{
	char *copy = strdup(operand);

	memset(operand, 'x', strlen(operand));
	return copy;
}

static int read_options(int argc, char **argv, struct tine_doctor_options *ret_options)
{
	struct tine_settings settings = { 0 };
	char error[512];
	int rest;

	if (tine_option_environment(TINE_COMMAND_DOCTOR, &settings, error, sizeof(error)) < 0 ||
	    tine_option_arguments(TINE_COMMAND_DOCTOR, argc, argv, &settings, &rest, error,
				  sizeof(error)) < 0)
		return tine_doctor_fail(TINE_EXIT_USAGE, "%s ('tine doctor -h' shows the options)",
					error);
	if (argc - rest > 1)
		return tine_doctor_fail(TINE_EXIT_USAGE,
					"one connection string at most; quote it if it has spaces");
	*ret_options = (struct tine_doctor_options){
		.ports = settings.ports,
		.lint = settings.lint,
		.python = settings.python,
		.idle_limit_s = settings.idle_limit_s,
		.pid = settings.pid,
		.all = settings.all,
		.probe_idle_s = settings.probe_idle_s,
		.budget = settings.budget,
		.framework = (enum tine_framework)settings.framework,
		.json = settings.json,
	};
	if (rest < argc) {
		ret_options->conninfo = take(argv[rest]);
		if (!ret_options->conninfo)
			return tine_doctor_fail(TINE_EXIT_SYSTEM, "out of memory");
	}
	return check(ret_options);
}

static int run(const struct tine_doctor_options *options)
{
	int status = TINE_EXIT_OK;

	if (chosen(options))
		status = examine(options);
	else
		tine_advice_print(options->framework, options->json, stdout);
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	return tine_doctor_fail(TINE_EXIT_SYSTEM, "cannot write to standard output: %s",
				strerror(errno));
}

int main(int argc, char **argv)
{
	struct tine_doctor_options options = { 0 };
	int status = read_options(argc, argv, &options);

	if (status == TINE_EXIT_OK)
		status = run(&options);
	free((void *)options.conninfo);
	return status;
}
