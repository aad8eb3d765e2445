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

#include "base/exit.h"
#include "base/option.h"

struct tine_command {
	const char *name;
	unsigned option_mask; /* enum tine_option_commands */
	const char *operands; /* for the synopsis */
	const char *summary;  /* one line */
	/** A program of ours that is the command, executed with the arguments when they are right;
	 * then there is no run. */
	const char *program;
	/** @param argv  the operands, NULL-terminated; settings are from environment and options
	 *  @return an exit status */
	int (*run)(const struct tine_settings *settings, int argc, char **argv);
};

extern const struct tine_command tine_commands[];
extern const size_t tine_commands_count;

int tine_cmd_ps(const struct tine_settings *settings, int argc, char **argv);
int tine_cmd_run(const struct tine_settings *settings, int argc, char **argv);
int tine_cmd_version(const struct tine_settings *settings, int argc, char **argv);

/** Become a program of ours. @return an exit status, when that fails */
int tine_program_execute(const char *program, char **argv);

/** The synopsis and options of a command; what `-h` prints and the man page says. */
void tine_help_command(FILE *out, const struct tine_command *command);

/** All commands. */
void tine_help(FILE *out);

/** "tine: " and a line on standard error. @return status, to be returned in the same statement */
int tine_fail(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
