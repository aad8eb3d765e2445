/* SPDX-License-Identifier: PostgreSQL */
#include "cli/command.h"

#include <stdarg.h>
#include <string.h>

#define COLUMNS 78
#define INDENT 8

int tine_fail(int status, const char *format, ...)
{
	char line[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	for (char *p = line; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	fprintf(stderr, "tine: %s\n", line);
	return status;
}

static void print_wrapped(FILE *out, const char *text)
{
	int column = INDENT;

	fprintf(out, "%*s", INDENT, "");
	while (*text) {
		int word = (int)strcspn(text, " ");

		if (column > INDENT && column + 1 + word > COLUMNS) {
			fprintf(out, "\n%*s", INDENT, "");
			column = INDENT;
		}
		column += fprintf(out, "%s%.*s", column > INDENT ? " " : "", word, text);
		text += word;
		text += strspn(text, " ");
	}
	fputc('\n', out);
}

static void print_option(FILE *out, const struct tine_option *option)
{
	fprintf(out, "  -%c, --%s%s%s", option->letter, option->name, option->metavar ? " " : "",
		option->metavar ? option->metavar : "");
	if (option->env || option->initial) {
		fprintf(out, "  [%s%s%s%s]", option->env ? option->env : "",
			option->env && option->initial ? ", " : "",
			option->initial ? "default: " : "", option->initial ? option->initial : "");
	}
	fputc('\n', out);
	print_wrapped(out, option->help);
}

void tine_help_command(FILE *out, const struct tine_command *command)
{
	fprintf(out, "Usage: tine %s [options]%s%s\n%s.\n\nOptions:\n", command->name,
		*command->operands ? " " : "", command->operands, command->summary);
	for (size_t i = 0; i < tine_options_count; i++)
		if (tine_options[i].commands & command->option_mask)
			print_option(out, &tine_options[i]);
	fprintf(out, "\nSee tine-%s(1).\n", command->name);
}

void tine_help(FILE *out)
{
	fputs("Usage: tine COMMAND [options] ...\n"
	      "Keeps the PostgreSQL connections of a whole process tree right.\n\nCommands:\n",
	      out);
	for (size_t i = 0; i < tine_commands_count; i++)
		fprintf(out, "  %-9s %s\n", tine_commands[i].name, tine_commands[i].summary);
	fputs("\n'tine COMMAND -h' shows the options of a command. See tine(1).\n", out);
}
