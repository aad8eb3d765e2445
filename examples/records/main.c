/* SPDX-License-Identifier: PostgreSQL */
/*
 * records: a small document-control service. See README.md for what it answers.
 */
#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "commands.h"
#include "service.h"

static int command_serve(const struct config *config, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return service_run(config);
}

static int command_help(const struct config *config, int argc, char **argv);

static const struct command {
	const char *name, *arguments, *help;
	int (*run)(const struct config *config, int argc, char **argv);
	bool takes_arguments;
} commands[] = {
	{ "serve", "", "the service, until TERM, INT or QUIT", command_serve, false },
	{ "migrate", "", "bring the schema up to date", command_migrate, false },
	{ "check-schema", "", "name what the schema lacks", command_check_schema, false },
	{ "create-user", " NAME [--role ROLE] [--password-file FILE]", "make a user, or change one",
	  command_create_user, true },
	{ "help", "", "this", command_help, false },
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static int command_help(const struct config *config, int argc, char **argv)
{
	(void)config;
	(void)argc;
	(void)argv;
	printf("usage: records [COMMAND]\n\n");
	for (size_t i = 0; i < COMMANDS; i++)
		printf("  %s%s\n      %s\n", commands[i].name, commands[i].arguments,
		       commands[i].help);
	printf("\nSettings, by environment (DATABASE_URL and TINE_... are libtine's):\n");
	config_help(stdout);
	return 0;
}

static const struct command *find(const char *name)
{
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		name = "help";
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static int refuse(const char *why)
{
	fprintf(stderr, "records: %s; see records help\n", why);
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	const struct command *command = find(argc > 1 ? argv[1] : "serve");
	struct config config;
	char error[512];

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!command || (argc > 2 && !command->takes_arguments)) {
		snprintf(error, sizeof(error),
			 command ? "%.100s takes no arguments" : "there is no command %.100s",
			 argv[1]);
		return refuse(error);
	}
	if (command->run == command_help)
		return command_help(NULL, 0, NULL);
	if (sodium_init() < 0)
		return refuse("libsodium does not work here");
	if (config_read(&config, error, sizeof(error)) < 0)
		return refuse(error);
	return command->run(&config, argc > 2 ? argc - 2 : 0, argv + 2);
}
