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

TEST(an_empty_variable_says_nothing)
{
	const struct tine_option *option = tine_option_find(TINE_COMMAND_POOL, "lifo", 4);
	tine_pool_config config = { .lifo = true };

	setenv("TINE_LIFO", "", 1);
	CHECK_INT(tine_option_set_env(option, &config, error, sizeof(error)), ==, 0);
	CHECK(config.lifo);
	setenv("TINE_LIFO", "no", 1);
	CHECK_INT(tine_option_set_env(option, &config, error, sizeof(error)), ==, 0);
	CHECK(!config.lifo);
}

/* ---- values --------------------------------------------------------------------------------- */

static struct tine_option sample; /* of a field at offset 0 */

static int64_t read_as(enum tine_option_type type, const char *text)
{
	int64_t wide = -1;
	int narrow = -1;
	void *field = type == TINE_OPTION_BYTES ? (void *)&wide : (void *)&narrow;

	sample = (struct tine_option){ .name = "sample", .type = type, .maximum = INT64_MAX };
	if (type != TINE_OPTION_BYTES)
		sample.maximum = INT32_MAX;
	error[0] = '\0';
	if (tine_option_set(&sample, field, text, "sample", error, sizeof(error)) < 0) {
		CHECK_INT(wide, ==, -1);
		CHECK_INT(narrow, ==, -1);
		CHECK_CONTAINS(error, text);
		return -1;
	}
	return type == TINE_OPTION_BYTES ? wide : narrow;
}

TEST(reads_numbers_strictly)
{
	static const char *const wrong[] = {
		"",    "-1",  "+1",  "1 ", " 1", "1x",         "x",
		"0x1", "1.5", "1e3", "1s", "1k", "2147483648", "99999999999999999999999999",
	};

	CHECK_INT(read_as(TINE_OPTION_INT, "0"), ==, 0);
	CHECK_INT(read_as(TINE_OPTION_INT, "007"), ==, 7);
	CHECK_INT(read_as(TINE_OPTION_INT, "2147483647"), ==, INT32_MAX);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		CHECK_INT(read_as(TINE_OPTION_INT, wrong[i]), ==, -1);
}

TEST(reads_units)
{
	CHECK_INT(read_as(TINE_OPTION_MS, "1500"), ==, 1500);
	CHECK_INT(read_as(TINE_OPTION_MS, "1500ms"), ==, 1500);
	CHECK_INT(read_as(TINE_OPTION_MS, "30s"), ==, 30000);
	CHECK_INT(read_as(TINE_OPTION_MS, "5min"), ==, 300000);
	CHECK_INT(read_as(TINE_OPTION_MS, "2h"), ==, 7200000);
	CHECK_INT(read_as(TINE_OPTION_MS, "0"), ==, 0);
	CHECK_INT(read_as(TINE_OPTION_SECONDS, "20"), ==, 20);
	CHECK_INT(read_as(TINE_OPTION_SECONDS, "20s"), ==, 20);
	CHECK_INT(read_as(TINE_OPTION_SECONDS, "3000ms"), ==, 3);
	CHECK_INT(read_as(TINE_OPTION_SECONDS, "2min"), ==, 120);
	CHECK_INT(read_as(TINE_OPTION_BYTES, "4096"), ==, 4096);
	CHECK_INT(read_as(TINE_OPTION_BYTES, "2k"), ==, 2000);
	CHECK_INT(read_as(TINE_OPTION_BYTES, "2KiB"), ==, 2048);
	CHECK_INT(read_as(TINE_OPTION_BYTES, "3M"), ==, 3000000);
	CHECK_INT(read_as(TINE_OPTION_BYTES, "3MiB"), ==, 3 << 20);
	CHECK_INT(read_as(TINE_OPTION_BYTES, "5G"), ==, 5000000000);
	CHECK_INT(read_as(TINE_OPTION_BYTES, "5GiB"), ==, INT64_C(5) << 30);
}

TEST(refuses_other_units)
{
	static const char *const times[] = {
		"s",     "1 s",     "1S", "1m", "1d", "1sec", "1s ", "-1s", "9223372036854775807h",
		"600h0", "600000h",
	};
	static const char *const sizes[] = { "1K", "1kB", "1B", "1Mi", "9223372036854775807GiB" };

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
		CHECK_INT(read_as(TINE_OPTION_MS, times[i]), ==, -1);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		CHECK_INT(read_as(TINE_OPTION_BYTES, sizes[i]), ==, -1);
	CHECK_INT(read_as(TINE_OPTION_SECONDS, "1500ms"), ==, -1);
}

static const char *range_of(const char *name)
{
	static char text[128];

	return tine_option_range(tine_option_find(TINE_COMMAND_POOL, name, strlen(name)), text,
				 sizeof(text));
}

TEST(says_ranges_in_the_largest_unit)
{
	CHECK_STR(range_of("pool_size"), "a number from 1 to 10000");
	CHECK_STR(range_of("acquire_timeout_ms"), "a time from 1ms to 24h");
	CHECK_STR(range_of("connect_timeout_ms"), "a time from 1ms to 10min");
	CHECK_STR(range_of("keepalives_idle_s"), "a time from 0 to 2h");
	CHECK_STR(range_of("max_result_bytes"), "a size from 0 to 1024GiB");
	CHECK_STR(range_of("kind"), "one of queue, null");
	CHECK_STR(range_of("lifo"), "yes or no");
}

TEST(cuts_long_values_and_not_the_range)
{
	char value[2000];

	memset(value, '9', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	sample = *tine_option_find(TINE_COMMAND_POOL, "pool_size", 9);
	CHECK_INT(tine_option_set(&sample, &(tine_pool_config){ 0 }, value, "TINE_POOL_SIZE", error,
				  sizeof(error)),
		  ==, -EINVAL);
	CHECK_CONTAINS(error, "TINE_POOL_SIZE: '999");
	CHECK_CONTAINS(error, "...' is not a number from 1 to 10000");
}

/* ---- the table ------------------------------------------------------------------------------ */

/* Rows of one struct of the library's; those of the commands have bits in common. */
#define LIBRARY (TINE_COMMAND_POOL | TINE_COMMAND_MASTER | TINE_COMMAND_WORKER)

static const struct {
	unsigned command;
	size_t size;
} structs[] = {
	{ TINE_COMMAND_POOL, sizeof(tine_pool_config) },
	{ TINE_COMMAND_MASTER, sizeof(tine_master_config) },
	{ TINE_COMMAND_WORKER, sizeof(tine_worker_config) },
};

#define STRUCTS (sizeof(structs) / sizeof(structs[0]))

static bool is_of_library(const struct tine_option *option)
{
	return option->commands & LIBRARY;
}

static bool is_of_same(const struct tine_option *option, const struct tine_option *other)
{
	return option->commands & other->commands;
}

static bool is_number(const struct tine_option *option)
{
	return option->type == TINE_OPTION_INT || option->type == TINE_OPTION_MS ||
	       option->type == TINE_OPTION_SECONDS || option->type == TINE_OPTION_BYTES;
}

static void check_row(const struct tine_option *option)
{
	CHECK(option->help[strlen(option->help) - 1] == '.');
	CHECK((option->metavar == NULL) ==
	      (option->type == TINE_OPTION_FLAG ||
	       (option->type == TINE_OPTION_CHOICE && is_of_library(option))));
	CHECK((option->choices != NULL) == (option->type == TINE_OPTION_CHOICE));
	CHECK(!option->env || strncmp(option->env, "TINE_", 5) == 0);
	CHECK(!is_of_library(option) || __builtin_popcount(option->commands) == 1);
	CHECK(is_of_library(option) == (option->letter == 0));
	CHECK(is_number(option) == (option->maximum > option->minimum));
}

TEST(the_table_is_sound)
{
	for (size_t i = 0; i < tine_options_count; i++) {
		const struct tine_option *option = &tine_options[i];

		check_row(option);
		for (size_t j = 0; j < i; j++) {
			const struct tine_option *other = &tine_options[j];

			if (!is_of_same(option, other))
				continue;
			CHECK(strcmp(other->name, option->name) != 0);
			CHECK(other->offset != option->offset);
			CHECK(!option->letter || other->letter != option->letter);
		}
	}
}

/* One variable may say the same to several commands, and to the library. */
TEST(rows_of_one_variable_have_one_name)
{
	for (size_t i = 0; i < tine_options_count; i++)
		for (size_t j = 0; j < i; j++) {
			const struct tine_option *option = &tine_options[i];
			const struct tine_option *other = &tine_options[j];

			if (!option->env || !other->env || strcmp(option->env, other->env) != 0)
				continue;
			CHECK(!is_of_same(option, other));
			CHECK_STR(option->name, other->name);
		}
}

TEST(variables_of_the_library_are_the_fields_names)
{
	for (size_t i = 0; i < tine_options_count; i++) {
		const struct tine_option *option = &tine_options[i];
		const char *name = option->name;

		if (!is_of_library(option))
			continue;
		CHECK_INT(strlen(option->env), ==, strlen("TINE_") + strlen(name));
		for (size_t at = 0; name[at]; at++) {
			char upper = name[at] == '_' ? '_' : (char)(name[at] - 'a' + 'A');

			CHECK_INT(option->env[strlen("TINE_") + at], ==, upper);
		}
	}
}

/* The row of a struct whose field begins at an offset or is the next one after it. */
static const struct tine_option *row_from(unsigned command, size_t offset)
{
	const struct tine_option *next = NULL;

	for (size_t i = 0; i < tine_options_count; i++)
		if (tine_options[i].commands == command && tine_options[i].offset >= offset &&
		    (!next || tine_options[i].offset < next->offset))
			next = &tine_options[i];
	return next;
}

static void check_fields(unsigned command, size_t size)
{
	size_t end = sizeof(((tine_pool_config *)0)->size);
	size_t rows = 0, fields = 0;

	for (const struct tine_option *row = row_from(command, end); row;
	     row = row_from(command, end)) {
		/* A field is aligned to its size at most, so more room than that is a field's. */
		CHECK_INT(row->offset - end, <, tine_option_size(row));
		end = row->offset + tine_option_size(row);
		fields++;
	}
	/* Less than what makes the struct a multiple of its alignment. */
	CHECK_INT(size - end, <, _Alignof(tine_pool_config));
	for (size_t i = 0; i < tine_options_count; i++)
		rows += tine_options[i].commands == command;
	CHECK_INT(rows, ==, fields);
}

TEST(every_field_of_the_library_has_one_row)
{
	for (size_t i = 0; i < STRUCTS; i++)
		check_fields(structs[i].command, structs[i].size);
}

TEST(defaults_of_the_library_are_values)
{
	union {
		tine_pool_config pool;
		tine_master_config master;
		tine_worker_config worker;
	} config;

	for (size_t i = 0; i < tine_options_count; i++) {
		const struct tine_option *option = &tine_options[i];

		if (!is_of_library(option))
			continue;
		CHECK(option->initial || option->type == TINE_OPTION_TEXT);
		if (option->initial)
			CHECK_INT(tine_option_set(option, &config, option->initial, option->name,
						  error, sizeof(error)),
				  ==, 0);
	}
}

CHECK_TABLE(T(reads_every_form), T(names_option_value_and_range_in_errors),
	    T(reads_the_environment), T(an_empty_variable_says_nothing), T(reads_numbers_strictly),
	    T(reads_units), T(refuses_other_units), T(says_ranges_in_the_largest_unit),
	    T(cuts_long_values_and_not_the_range), T(the_table_is_sound),
	    T(rows_of_one_variable_have_one_name), T(variables_of_the_library_are_the_fields_names),
	    T(every_field_of_the_library_has_one_row), T(defaults_of_the_library_are_values))
