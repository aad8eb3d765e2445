/* SPDX-License-Identifier: PostgreSQL */
/*
 * Build-time program, not installed: copies a man page's source from standard input to standard
 * output and puts the rows of the option table where a line says "@options COMMAND@".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/option.h"

static const struct {
	const char *name;
	unsigned mask;
} commands[] = {
	{ "run", TINE_COMMAND_RUN },
	{ "version", TINE_COMMAND_VERSION },
};

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

static void print_options(const char *command)
{
	for (size_t c = 0; c < sizeof(commands) / sizeof(commands[0]); c++) {
		if (strcmp(commands[c].name, command) != 0)
			continue;
		for (size_t i = 0; i < tine_options_count; i++)
			if (tine_options[i].commands & commands[c].mask)
				print_option(&tine_options[i]);
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
