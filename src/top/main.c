/* SPDX-License-Identifier: PostgreSQL */
/*
 * tine-top: reads the command line and chooses how to show. tine(1) has already read the same
 * options from the same table, and prints the help.
 */
#include <stdio.h>
#include <unistd.h>

#include "base/exit.h"
#include "base/text.h"
#include "top/watch.h"

int tine_top_fail(int status, const char *text)
{
	char line[600];
	struct tine_text out;

	tine_text_init(&out, line, sizeof(line));
	for (const char *at = text; *at; at++)
		tine_text_add_foreign(&out, at, 1);
	fprintf(stderr, "tine: top: %s\n", line);
	return status;
}

static int read_options(int argc, char **argv, struct tine_settings *settings, int *rest)
{
	char error[512];

	for (size_t i = 0; i < tine_options_count; i++)
		if ((tine_options[i].commands & TINE_COMMAND_TOP) && tine_options[i].initial)
			tine_option_set(&tine_options[i], settings, tine_options[i].initial,
					tine_options[i].name, error, sizeof(error));
	if (tine_option_environment(TINE_COMMAND_TOP, settings, error, sizeof(error)) < 0 ||
	    tine_option_arguments(TINE_COMMAND_TOP, argc, argv, settings, rest, error,
				  sizeof(error)) < 0)
		return tine_top_fail(TINE_EXIT_USAGE, error);
	return TINE_EXIT_OK;
}

int main(int argc, char **argv)
{
	struct tine_settings settings = { 0 };
	struct tine_watch watch = { .tables = { .connections = true,
						.events = TINE_WATCH_EVENTS } };
	int rest = argc, status = read_options(argc, argv, &settings, &rest);

	if (status != TINE_EXIT_OK)
		return status;
	watch.labels = argv + rest;
	watch.interval_ms = settings.interval_ms;
	watch.count = settings.count;
	watch.tables.order.key = (enum tine_order_key)settings.sort;
	if (settings.batch || settings.json || !isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		status = tine_top_plain(&watch, settings.json);
	else
		status = tine_top_screen(&watch);
	tine_watch_end(&watch);
	return status;
}
