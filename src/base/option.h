/* SPDX-License-Identifier: PostgreSQL */
/*
 * The one option table. A row feeds the settings struct, the environment, the command line, the
 * help text and the man page (through the build-time program optdoc), and a test that they agree.
 *
 * A value is checked where it is set; a wrong one is an error that names the option, the value and
 * what would be right. Nothing here allocates: texts are borrowed from argv or the environment.
 */
#ifndef TINE_BASE_OPTION_H
#define TINE_BASE_OPTION_H

#include <stdbool.h>
#include <stddef.h>

enum tine_option_type {
	TINE_OPTION_FLAG,  /* bool; from the environment: 1/0, yes/no, on/off, true/false */
	TINE_OPTION_TEXT,  /* const char *, not empty */
	TINE_OPTION_PORTS, /* const char *, a list that tine_ports_add_list() accepts */
};

enum tine_option_commands {
	TINE_COMMAND_RUN = 1 << 0,
	TINE_COMMAND_VERSION = 1 << 1,
};

struct tine_settings {
	const char *ports;
	const char *log;
	bool quiet;
	bool verbose;
	bool strict;
	bool check;
	bool json;
	bool help;
};

struct tine_option {
	const char *name; /* as on the command line, without "--" */
	char letter;      /* short form, or 0 */
	const char *env;  /* TINE_… variable, or NULL when the environment cannot set it */
	enum tine_option_type type;
	const char *metavar; /* NULL for flags */
	const char *initial; /* default as shown to people, or NULL */
	size_t offset;       /* in struct tine_settings */
	unsigned commands;   /* enum tine_option_commands */
	const char *help;    /* one sentence or more; wrapped by who prints it */
};

extern const struct tine_option tine_options[];
extern const size_t tine_options_count;

/** Set one option from text.
 *  @param value   borrowed as long as settings is used; for a flag NULL means "given"
 *  @param origin  how the user wrote it ("--port", "TINE_PORT"); goes into the error
 *  @param error   receives one line on failure
 *  @return 0 or -EINVAL; settings is unchanged on failure */
int tine_option_set(const struct tine_option *option, struct tine_settings *settings,
		    const char *value, const char *origin, char *error, size_t error_size);

/** Set what the environment says for a command (a mask of enum tine_option_commands).
 *  @return as tine_option_set(); stops at the first error */
int tine_option_environment(unsigned command, struct tine_settings *settings, char *error,
			    size_t error_size);

/** Read the options of a command line up to the first operand or "--".
 *  @param argv   argv[0] is the command's name and is skipped
 *  @param rest   set to the index of the first operand
 *  @return as tine_option_set() */
int tine_option_arguments(unsigned command, int argc, char **argv, struct tine_settings *settings,
			  int *rest, char *error, size_t error_size);

#endif
