/* SPDX-License-Identifier: PostgreSQL */
#include "base/option.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/ports.h"

const struct tine_option tine_options[] = {
	{
		.name = "port",
		.letter = 'p',
		.env = "TINE_PORT",
		.type = TINE_OPTION_PORTS,
		.metavar = "N[,N...]",
		.offset = offsetof(struct tine_settings, ports),
		.commands = TINE_COMMAND_RUN,
		.help = "Connections to these TCP ports are PostgreSQL's, besides 5432, 6432, "
			"PGPORT and the ports of postgres:// URLs in the environment. Rarely "
			"needed: a connection is also recognised by the first bytes it sends.",
	},
	{
		.name = "log",
		.letter = 'l',
		.env = "TINE_LOG",
		.type = TINE_OPTION_TEXT,
		.metavar = "FILE|-",
		.initial = "-",
		.offset = offsetof(struct tine_settings, log),
		.commands = TINE_COMMAND_RUN,
		.help = "Append tine's lines to FILE (made with mode 0600 when missing); '-' is "
			"standard error.",
	},
	{
		.name = "quiet",
		.letter = 'q',
		.env = "TINE_QUIET",
		.type = TINE_OPTION_FLAG,
		.offset = offsetof(struct tine_settings, quiet),
		.commands = TINE_COMMAND_RUN,
		.help = "Say only what failed: no line for a fork that went as it should, no "
			"warning about a program that cannot be protected.",
	},
	{
		.name = "verbose",
		.letter = 'v',
		.env = "TINE_VERBOSE",
		.type = TINE_OPTION_FLAG,
		.offset = offsetof(struct tine_settings, verbose),
		.commands = TINE_COMMAND_RUN,
		.help = "Also say when the guard starts in a process, and for every fork that "
			"there was nothing to do.",
	},
	{
		.name = "strict",
		.letter = 's',
		.env = "TINE_STRICT",
		.type = TINE_OPTION_FLAG,
		.offset = offsetof(struct tine_settings, strict),
		.commands = TINE_COMMAND_RUN,
		.help = "Refuse to start a program that cannot be protected (exit status 126) "
			"instead of warning.",
	},
	{
		.name = "check",
		.letter = 'c',
		.type = TINE_OPTION_FLAG,
		.offset = offsetof(struct tine_settings, check),
		.commands = TINE_COMMAND_RUN,
		.help = "Report whether CMD would be protected, and why not, and exit without "
			"running it: status 0 when it would be, 1 when not.",
	},
	{
		.name = "json",
		.letter = 'j',
		.type = TINE_OPTION_FLAG,
		.offset = offsetof(struct tine_settings, json),
		.commands = TINE_COMMAND_RUN | TINE_COMMAND_VERSION,
		.help = "Print the report as JSON.",
	},
	{
		.name = "help",
		.letter = 'h',
		.type = TINE_OPTION_FLAG,
		.offset = offsetof(struct tine_settings, help),
		.commands = TINE_COMMAND_RUN | TINE_COMMAND_VERSION,
		.help = "Print this help and exit.",
	},
};

const size_t tine_options_count = sizeof(tine_options) / sizeof(tine_options[0]);

static int parse_flag(const char *value, bool *ret_on)
{
	static const char *const yes[] = { "1", "yes", "on", "true" };
	static const char *const no[] = { "0", "no", "off", "false", "" };

	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
		if (strcasecmp(value, yes[i]) == 0)
			return *ret_on = true, 0;
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		if (strcasecmp(value, no[i]) == 0)
			return *ret_on = false, 0;
	return -EINVAL;
}

static int refuse(const char *origin, const char *value, const char *wanted, char *error,
		  size_t size)
{
	snprintf(error, size, "%s: '%s' is not %s", origin, value, wanted);
	return -EINVAL;
}

int tine_option_set(const struct tine_option *option, struct tine_settings *settings,
		    const char *value, const char *origin, char *error, size_t error_size)
{
	void *field = (char *)settings + option->offset;

	switch (option->type) {
	case TINE_OPTION_FLAG:
		if (!value)
			*(bool *)field = true;
		else if (parse_flag(value, field) < 0)
			return refuse(origin, value, "yes or no", error, error_size);
		return 0;
	case TINE_OPTION_PORTS:
		if (tine_ports_add_list(NULL, value) < 0)
			return refuse(origin, value,
				      "a list of port numbers from 1 to 65535, such as 5432,47021",
				      error, error_size);
		*(const char **)field = value;
		return 0;
	case TINE_OPTION_TEXT:
		if (!*value)
			return refuse(origin, value, option->metavar, error, error_size);
		*(const char **)field = value;
		return 0;
	}
	return -EINVAL;
}

int tine_option_environment(unsigned command, struct tine_settings *settings, char *error,
			    size_t error_size)
{
	for (size_t i = 0; i < tine_options_count; i++) {
		const struct tine_option *option = &tine_options[i];
		const char *value = option->env ? secure_getenv(option->env) : NULL;
		int rc;

		if (!value || !(option->commands & command))
			continue;
		/* An empty variable is how people unset one in unit files and shells. */
		if (!*value && option->type != TINE_OPTION_FLAG)
			continue;
		rc = tine_option_set(option, settings, value, option->env, error, error_size);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static const struct tine_option *find(unsigned command, const char *name, size_t length)
{
	for (size_t i = 0; i < tine_options_count; i++) {
		const struct tine_option *option = &tine_options[i];

		if ((option->commands & command) && strlen(option->name) == length &&
		    strncmp(option->name, name, length) == 0)
			return option;
	}
	return NULL;
}

static const struct tine_option *find_letter(unsigned command, char letter)
{
	for (size_t i = 0; i < tine_options_count; i++)
		if ((tine_options[i].commands & command) && tine_options[i].letter == letter)
			return &tine_options[i];
	return NULL;
}

struct arguments {
	unsigned command;
	int argc;
	char **argv;
	int at;
	struct tine_settings *settings;
	char *error;
	size_t error_size;
};

/* Set option from "=value" or, failing that, from the next argument. */
static int set_from(struct arguments *args, const struct tine_option *option, const char *value,
		    const char *origin)
{
	if (option->type == TINE_OPTION_FLAG && value) {
		snprintf(args->error, args->error_size, "%s takes no value", origin);
		return -EINVAL;
	}
	if (option->type != TINE_OPTION_FLAG && !value) {
		if (args->at + 1 >= args->argc) {
			snprintf(args->error, args->error_size, "%s needs a value: %s", origin,
				 option->metavar);
			return -EINVAL;
		}
		value = args->argv[++args->at];
	}
	return tine_option_set(option, args->settings, value, origin, args->error,
			       args->error_size);
}

static int set_long(struct arguments *args, const char *argument)
{
	const char *name = argument + 2;
	const char *equals = strchr(name, '=');
	size_t length = equals ? (size_t)(equals - name) : strlen(name);
	const struct tine_option *option = find(args->command, name, length);
	char origin[64];

	snprintf(origin, sizeof(origin), "--%.*s", (int)length, name);
	if (!option) {
		snprintf(args->error, args->error_size, "unknown option %s", origin);
		return -EINVAL;
	}
	return set_from(args, option, equals ? equals + 1 : NULL, origin);
}

/* "-p5432", "-p 5432", "-qs": letters may stand together, the first one with a value ends them. */
static int set_letters(struct arguments *args, const char *letters)
{
	for (; *letters; letters++) {
		const struct tine_option *option = find_letter(args->command, *letters);
		char origin[] = { '-', *letters, '\0' };
		const char *value = NULL;
		int rc;

		if (!option) {
			snprintf(args->error, args->error_size, "unknown option %s", origin);
			return -EINVAL;
		}
		if (option->type != TINE_OPTION_FLAG && letters[1])
			value = letters + 1;
		rc = set_from(args, option, value, origin);
		if (rc < 0 || option->type != TINE_OPTION_FLAG)
			return rc;
	}
	return 0;
}

int tine_option_arguments(unsigned command, int argc, char **argv, struct tine_settings *settings,
			  int *rest, char *error, size_t error_size)
{
	struct arguments args = { command, argc, argv, 1, settings, error, error_size };

	for (; args.at < argc; args.at++) {
		const char *argument = argv[args.at];
		int rc;

		if (argument[0] != '-' || argument[1] == '\0')
			break;
		if (strcmp(argument, "--") == 0) {
			args.at++;
			break;
		}
		rc = argument[1] == '-' ? set_long(&args, argument)
					: set_letters(&args, argument + 1);
		if (rc < 0)
			return rc;
	}
	*rest = args.at;
	return 0;
}
