/* SPDX-License-Identifier: PostgreSQL */
/*
 * The front of tine(1): finds the command, reads its options, runs it, and makes sure that what it
 * printed has really been written.
 */
#include <errno.h>
#include <string.h>

#include "cli/command.h"

const struct tine_command tine_commands[] = {
	{ "run", TINE_COMMAND_RUN, "[--] CMD [ARG...]",
	  "Run a command whose forked children never share a connection", NULL, tine_cmd_run },
	{ "doctor", TINE_COMMAND_DOCTOR, "[--] [CONNINFO]",
	  "Say what is wrong with connections, a server or a project", "tine-doctor", NULL },
	{ "ps", TINE_COMMAND_PS, "[--] [NAME...]",
	  "Show the process trees on this host and their connections", NULL, tine_cmd_ps },
	{ "top", TINE_COMMAND_TOP, "[--] [NAME...]",
	  "Watch the process trees on this host and their connections", "tine-top", NULL },
	{ "web", TINE_COMMAND_WEB, "[--] [NAME...]",
	  "Show the process trees on this host in a web browser", "tine-web", NULL },
	{ "version", TINE_COMMAND_VERSION, "", "Print the version and where the preload library is",
	  NULL, tine_cmd_version },
};

const size_t tine_commands_count = sizeof(tine_commands) / sizeof(tine_commands[0]);

static const struct tine_command *find_command(const char *name)
{
	for (size_t i = 0; i < tine_commands_count; i++)
		if (strcmp(tine_commands[i].name, name) == 0)
			return &tine_commands[i];
	return NULL;
}

/* A full disk or a closed pipe must not look like success. */
static int check_stdout(int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	return tine_fail(TINE_EXIT_SYSTEM, "cannot write to standard output: %s", strerror(errno));
}

static int run_command(const struct tine_command *command, int argc, char **argv)
{
	struct tine_settings settings = TINE_SETTINGS_NONE;
	char error[512];
	int rest;

	if (tine_option_environment(command->option_mask, &settings, error, sizeof(error)) < 0 ||
	    tine_option_arguments(command->option_mask, argc, argv, &settings, &rest, error,
				  sizeof(error)) < 0)
		return tine_fail(TINE_EXIT_USAGE, "%s ('tine %s -h' shows the options)", error,
				 command->name);
	if (settings.help) {
		tine_help_command(stdout, command);
		return check_stdout(TINE_EXIT_OK);
	}
	if (command->program)
		return tine_program_execute(command->program, argv);
	return check_stdout(command->run(&settings, argc - rest, argv + rest));
}

/* "tine help", "tine help run", "tine --help" */
static int run_help(int argc, char **argv)
{
	const struct tine_command *command = argc > 0 ? find_command(argv[0]) : NULL;

	if (argc > 0 && !command)
		return tine_fail(TINE_EXIT_USAGE, "unknown command '%s'", argv[0]);
	if (command)
		tine_help_command(stdout, command);
	else
		tine_help(stdout);
	return check_stdout(TINE_EXIT_OK);
}

int main(int argc, char **argv)
{
	const struct tine_command *command;

	if (argc < 2) {
		tine_help(stderr);
		return TINE_EXIT_USAGE;
	}
	if (!strcmp(argv[1], "help") || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		return run_help(argc - 2, argv + 2);
	command = find_command(strcmp(argv[1], "--version") == 0 ? "version" : argv[1]);
	if (!command)
		return tine_fail(TINE_EXIT_USAGE, "unknown command '%s' ('tine help' lists them)",
				 argv[1]);
	return run_command(command, argc - 1, argv + 1);
}
