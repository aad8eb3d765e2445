/* SPDX-License-Identifier: PostgreSQL */
/*
 * tine-doctor: three examinations that fill one report. The program is apart from tine(1), which
 * executes it for `tine doctor`, so that `tine run` loads no libpq.
 */
#ifndef TINE_DOCTOR_DOCTOR_H
#define TINE_DOCTOR_DOCTOR_H

#include <stdbool.h>

struct tine_report;

enum tine_framework {
	TINE_FRAMEWORK_NONE,
	TINE_FRAMEWORK_GUNICORN,
	TINE_FRAMEWORK_CELERY,
	TINE_FRAMEWORK_UWSGI,
};

/* What the command line asks for. Texts are borrowed for the whole run. */
struct tine_doctor_options {
	const char *conninfo; /* keywords or URL; NULL: none. Holds a password, perhaps. */
	const char *ports;    /* a list that tine_ports_add_list() accepts, or NULL */
	const char *lint;     /* a directory or file, or NULL */
	const char *python;   /* which Python --lint uses; NULL: the first there is */
	int idle_limit_s;     /* after which idle connections are cut; 0: not told */
	int pid;              /* root of the process tree, or 0 */
	bool all;
	int probe_idle_s;              /* 0: do not probe */
	int budget;                    /* connections there may be; 0: not told */
	enum tine_framework framework; /* of --for */
	const char *proc;              /* in place of /proc; for tests. NULL: /proc */
	bool json;                     /* nothing but the report may go to standard output */
};

/* Each examination adds its findings to the report, and its facts to tine_report_facts().
 *
 * Returns 0 when it looked, whatever it found. Negative errno when it could not look: then it has
 * said why with tine_doctor_fail(), and the exit status will be 111. Locks, fork: one thread, no
 * forks but those of the examination itself. */
int tine_doctor_live(struct tine_report *report, const struct tine_doctor_options *options);
int tine_doctor_database(struct tine_report *report, const struct tine_doctor_options *options);
int tine_doctor_lint(struct tine_report *report, const struct tine_doctor_options *options);

/** "tine: doctor: " and a line on standard error, without control bytes.
 *  @return status, to be returned in the same statement */
int tine_doctor_fail(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Stands between the words of a command line that are to be told apart afterwards. */
#define TINE_DOCTOR_SEPARATOR "\x1f"

/** Replace by '***' what may be a password in a command line, a URL or connection settings:
 *  "scheme://user:PASSWORD@", "password=...", "PGPASSWORD=...", "--password ...". In place; the
 * text never grows, and separators stay.
 *  @return text */
char *tine_doctor_redact(char *text);

#endif
