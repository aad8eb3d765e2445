/* SPDX-License-Identifier: PostgreSQL */
/*
 * The command table of tine(1). To add a command: 1. cmd_NAME.c with its function, declared here;
 * 2. a row in main.c; 3. a bit in enum tine_option_commands and its options in base/option_table.c;
 * 4. docs/man/tine-NAME.1.scd; 5. both new files in meson.build.
 */
#ifndef TINE_CLI_COMMAND_H
#define TINE_CLI_COMMAND_H

#include <stddef.h>
#include <stdio.h>

#include "base/option.h"

enum tine_exit {
	TINE_EXIT_OK = 0,
	TINE_EXIT_NO = 1,           /* the answer is no */
	TINE_EXIT_USAGE = 100,      /* wrong command line or TINE_… variable */
	TINE_EXIT_SYSTEM = 111,     /* a system call failed */
	TINE_EXIT_CANNOT_RUN = 126, /* as env(1): CMD was found but is not run */
	TINE_EXIT_NOT_FOUND = 127,  /* as env(1) */
};

struct tine_command {
	const char *name;
	unsigned option_mask; /* enum tine_option_commands */
	const char *operands; /* for the synopsis */
	const char *summary;  /* one line */
	/** @param argv  the operands, NULL-terminated; settings are from environment and options
	 *  @return an exit status */
	int (*run)(const struct tine_settings *settings, int argc, char **argv);
};

extern const struct tine_command tine_commands[];
extern const size_t tine_commands_count;

int tine_cmd_run(const struct tine_settings *settings, int argc, char **argv);
int tine_cmd_version(const struct tine_settings *settings, int argc, char **argv);

/** The synopsis and options of a command; what `-h` prints and the man page says. */
void tine_help_command(FILE *out, const struct tine_command *command);

/** All commands. */
void tine_help(FILE *out);

/** "tine: " and a line on standard error. @return status, to be returned in the same statement */
int tine_fail(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
