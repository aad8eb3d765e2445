/* SPDX-License-Identifier: PostgreSQL */
#include "base/option.h"

#include "support/check.h"

static struct tine_settings settings;
static char error[512];

static int arguments(int *rest, ...)
{
	char *argv[16] = { (char *)"run" };
	int argc = 1;
	va_list args;

	va_start(args, rest);
	while ((argv[argc] = va_arg(args, char *)) != NULL)
		argc++;
	va_end(args);
	memset(&settings, 0, sizeof(settings));
	error[0] = '\0';
	return tine_option_arguments(TINE_COMMAND_RUN, argc, argv, &settings, rest, error,
				     sizeof(error));
}

TEST(reads_every_form)
{
	int rest;

	CHECK_INT(arguments(&rest, "--port", "1,2", "--log=/x", "-qs", "--", "cmd", NULL), ==, 0);
	CHECK_STR(settings.ports, "1,2");
	CHECK_STR(settings.log, "/x");
	CHECK(settings.quiet && settings.strict && !settings.verbose);
	CHECK_INT(rest, ==, 6);
	CHECK_INT(arguments(&rest, "-p47021", "-l", "y", "cmd", "-v", NULL), ==, 0);
	CHECK_STR(settings.ports, "47021");
	CHECK_STR(settings.log, "y");
	CHECK(!settings.verbose);
	CHECK_INT(rest, ==, 4);
	CHECK_INT(arguments(&rest, "-vp", "9", NULL), ==, 0);
	CHECK_STR(settings.ports, "9");
	CHECK(settings.verbose);
}

TEST(names_option_value_and_range_in_errors)
{
	int rest;

	CHECK_INT(arguments(&rest, "--port", "70000", NULL), ==, -EINVAL);
	CHECK_CONTAINS(error, "--port");
	CHECK_CONTAINS(error, "70000");
	CHECK_CONTAINS(error, "1 to 65535");
	CHECK_INT(arguments(&rest, "--nonsense", NULL), ==, -EINVAL);
	CHECK_CONTAINS(error, "--nonsense");
	CHECK_INT(arguments(&rest, "-x", NULL), ==, -EINVAL);
	CHECK_CONTAINS(error, "-x");
	CHECK_INT(arguments(&rest, "--quiet=1", NULL), ==, -EINVAL);
	CHECK_CONTAINS(error, "--quiet");
	CHECK_INT(arguments(&rest, "--log", NULL), ==, -EINVAL);
	CHECK_CONTAINS(error, "FILE");
	CHECK_INT(arguments(&rest, "--por", "1", NULL), ==, -EINVAL);
}

TEST(reads_the_environment)
{
	setenv("TINE_PORT", "47021", 1);
	setenv("TINE_VERBOSE", "yes", 1);
	setenv("TINE_QUIET", "", 1);
	setenv("TINE_LOG", "", 1);
	CHECK_INT(tine_option_environment(TINE_COMMAND_RUN, &settings, error, sizeof(error)), ==,
		  0);
	CHECK_STR(settings.ports, "47021");
	CHECK(settings.verbose && !settings.quiet && !settings.log);
	setenv("TINE_STRICT", "maybe", 1);
	CHECK_INT(tine_option_environment(TINE_COMMAND_RUN, &settings, error, sizeof(error)), ==,
		  -EINVAL);
	CHECK_CONTAINS(error, "TINE_STRICT");
	CHECK_CONTAINS(error, "maybe");
}

TEST(the_table_is_sound)
{
	for (size_t i = 0; i < tine_options_count; i++) {
		const struct tine_option *option = &tine_options[i];

		CHECK(option->help[strlen(option->help) - 1] == '.');
		CHECK((option->metavar == NULL) == (option->type == TINE_OPTION_FLAG));
		CHECK(!option->env || strncmp(option->env, "TINE_", 5) == 0);
		for (size_t j = 0; j < i; j++) {
			CHECK(strcmp(tine_options[j].name, option->name) != 0);
			CHECK(tine_options[j].letter != option->letter);
			CHECK(tine_options[j].offset != option->offset);
		}
	}
}

CHECK_TABLE(T(reads_every_form), T(names_option_value_and_range_in_errors),
	    T(reads_the_environment), T(the_table_is_sound))
