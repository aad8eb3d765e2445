/* SPDX-License-Identifier: PostgreSQL */
/*
 * Build-time program, not installed: copies a man page's source from standard input to standard
 * output and puts the rows of the option table where a line says "@options COMMAND@": a command's
 * options, or for "pool", "master" and "worker" the fields of their settings.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/option.h"

/* scdoc gives a meaning to these. */
static void print_escaped(const char *text)
{
	for (; *text; text++) {
		if (strchr("_*\\#~[]", *text))
			putchar('\\');
		putchar(*text);
	}
}

static void print_option(const struct tine_option *option)
{
	printf("*-%c*, *--%s*", option->letter, option->name);
	if (option->metavar) {
		fputs(" _", stdout);
		print_escaped(option->metavar);
		putchar('_');
	}
	fputs("\n\t", stdout);
	print_escaped(option->help);
	putchar('\n');
	if (option->initial || option->env) {
		fputs("\t\n\t", stdout);
		if (option->env) {
			fputs("Environment: ", stdout);
			print_escaped(option->env);
			putchar('.');
		}
		if (option->initial) {
			fputs(option->env ? " Default: " : "Default: ", stdout);
			print_escaped(option->initial);
			putchar('.');
		}
		putchar('\n');
	}
	putchar('\n');
}

/* Type of the field, and the unit of a number that is assigned to it. */
static const struct {
	const char *type, *unit;
} fields[] = {
	[TINE_OPTION_FLAG] = { "bool ", "" },
	[TINE_OPTION_TEXT] = { "const char \\*", "" },
	[TINE_OPTION_PORTS] = { "const char \\*", "" },
	[TINE_OPTION_INT] = { "int ", "" },
	[TINE_OPTION_MS] = { "int ", ", in milliseconds" },
	[TINE_OPTION_SECONDS] = { "int ", ", in seconds" },
	[TINE_OPTION_BYTES] = { "int64\\_t ", ", in bytes" },
	[TINE_OPTION_CHOICE] = { "int ", "" },
};

static void print_field(const struct tine_option *option)
{
	char range[128];

	printf("%s*", fields[option->type].type);
	print_escaped(option->name);
	fputs("*\n\t", stdout);
	print_escaped(option->help);
	fputs("\n\t\n\t", stdout);
	if (option->type != TINE_OPTION_TEXT) {
		tine_option_range(option, range, sizeof(range));
		range[0] = (char)toupper((unsigned char)range[0]);
		print_escaped(range);
		printf("%s. ", fields[option->type].unit);
	}
	fputs("Default: ", stdout);
	print_escaped(option->initial ? option->initial : "none");
	fputs(". Environment: ", stdout);
	print_escaped(option->env);
	fputs(".\n\n", stdout);
}

static const struct {
	const char *name;
	unsigned mask;
	void (*print)(const struct tine_option *option);
} commands[] = {
	{ "run", TINE_COMMAND_RUN, print_option },
	{ "version", TINE_COMMAND_VERSION, print_option },
	{ "doctor", TINE_COMMAND_DOCTOR, print_option },
	{ "ps", TINE_COMMAND_PS, print_option },
	{ "top", TINE_COMMAND_TOP, print_option },
	{ "web", TINE_COMMAND_WEB, print_option },
	{ "pool", TINE_COMMAND_POOL, print_field },
	{ "master", TINE_COMMAND_MASTER, print_field },
	{ "worker", TINE_COMMAND_WORKER, print_field },
};

static void print_options(const char *command)
{
	for (size_t c = 0; c < sizeof(commands) / sizeof(commands[0]); c++) {
		if (strcmp(commands[c].name, command) != 0)
			continue;
		for (size_t i = 0; i < tine_options_count; i++)
			if (tine_options[i].commands & commands[c].mask)
				commands[c].print(&tine_options[i]);
		return;
	}
	fprintf(stderr, "optdoc: no command '%s'\n", command);
	exit(1);
}

int main(void)
{
	char line[1024], command[32];

	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "@options %31[a-z]@", command) == 1)
			print_options(command);
		else
			fputs(line, stdout);
	}
	return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 1;
}
