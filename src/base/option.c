/* SPDX-License-Identifier: PostgreSQL */
/*
 * Reading values into the fields that the rows of the option table describe. Owns nothing.
 *
 * Locks: none. Fork: nothing to do. No allocation: this is also part of the preload library.
 */
#include "base/option.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/ports.h"

#define RANGE_BYTES 128

/* ---- numbers and units ---------------------------------------------------------------------- */

struct unit {
	const char *name;
	int64_t factor;
};

static const struct unit time_units[] = {
	{ "h", 3600000 }, { "min", 60000 }, { "s", 1000 }, { "ms", 1 }, { NULL, 0 },
};

static const struct unit size_units[] = {
	{ "GiB", 1 << 30 }, { "MiB", 1 << 20 }, { "KiB", 1 << 10 }, { "G", 1000000000 },
	{ "M", 1000000 },   { "k", 1000 },      { NULL, 0 },
};

static const struct unit no_units[] = { { NULL, 0 } };

static const struct unit *units_of(enum tine_option_type type)
{
	if (type == TINE_OPTION_MS || type == TINE_OPTION_SECONDS)
		return time_units;
	return type == TINE_OPTION_BYTES ? size_units : no_units;
}

/* What one of the field's own units is in the smallest unit of its kind. */
static int64_t grain_of(enum tine_option_type type)
{
	return type == TINE_OPTION_SECONDS ? 1000 : 1;
}

static int parse_digits(const char *text, int64_t *ret_number, const char **ret_end)
{
	int64_t number = 0;
	const char *p = text;

	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(number, 10, &number) ||
		    __builtin_add_overflow(number, *p - '0', &number))
			return -ERANGE;
	*ret_number = number;
	*ret_end = p;
	return p == text ? -EINVAL : 0;
}

static int parse_number(enum tine_option_type type, const char *value, int64_t *ret_number)
{
	int64_t number, grain = grain_of(type), factor = grain;
	const char *unit;
	int rc = parse_digits(value, &number, &unit);

	if (rc < 0)
		return rc;
	if (*unit) {
		const struct unit *known = units_of(type);

		while (known->name && strcmp(known->name, unit) != 0)
			known++;
		if (!known->name)
			return -EINVAL;
		factor = known->factor;
	}
	if (__builtin_mul_overflow(number, factor, &number))
		return -ERANGE;
	*ret_number = number / grain;
	return number % grain ? -EINVAL : 0;
}

/* A number with the largest unit that leaves it whole. Powers of 1000 are for reading only. */
static void write_number(enum tine_option_type type, int64_t number, char *text, size_t size)
{
	const struct unit *unit = units_of(type);

	number *= grain_of(type);
	while (unit->name && (number == 0 || number % unit->factor != 0))
		unit++;
	if (unit->name)
		snprintf(text, size, "%lld%s", (long long)(number / unit->factor), unit->name);
	else
		snprintf(text, size, "%lld", (long long)number);
}

/* ---- what a field accepts ------------------------------------------------------------------- */

size_t tine_option_size(const struct tine_option *option)
{
	switch (option->type) {
	case TINE_OPTION_FLAG:
		return sizeof(bool);
	case TINE_OPTION_TEXT:
	case TINE_OPTION_PORTS:
		return sizeof(const char *);
	case TINE_OPTION_BYTES:
		return sizeof(int64_t);
	case TINE_OPTION_INT:
	case TINE_OPTION_MS:
	case TINE_OPTION_SECONDS:
	case TINE_OPTION_CHOICE:
		break;
	}
	return sizeof(int);
}

static const char *kind_of(enum tine_option_type type)
{
	if (type == TINE_OPTION_INT)
		return "number";
	return type == TINE_OPTION_BYTES ? "size" : "time";
}

const char *tine_option_range(const struct tine_option *option, char *text, size_t text_size)
{
	char least[32], most[32];

	switch (option->type) {
	case TINE_OPTION_FLAG:
		snprintf(text, text_size, "yes or no");
		break;
	case TINE_OPTION_TEXT:
		snprintf(text, text_size, "%s", option->metavar);
		break;
	case TINE_OPTION_PORTS:
		snprintf(text, text_size,
			 "a list of port numbers from 1 to 65535, such as 5432,47021");
		break;
	case TINE_OPTION_CHOICE:
		snprintf(text, text_size, "one of %s", option->choices);
		break;
	case TINE_OPTION_INT:
	case TINE_OPTION_MS:
	case TINE_OPTION_SECONDS:
	case TINE_OPTION_BYTES:
		write_number(option->type, option->minimum, least, sizeof(least));
		write_number(option->type, option->maximum, most, sizeof(most));
		snprintf(text, text_size, "a %s from %s to %s", kind_of(option->type), least, most);
		break;
	}
	return text;
}

static int refuse(const struct tine_option *option, const char *origin, const char *value,
		  char *error, size_t size)
{
	char range[RANGE_BYTES];

	snprintf(error, size, "%s: '%.80s%s' is not %s", origin, value,
		 strlen(value) > 80 ? "..." : "", tine_option_range(option, range, sizeof(range)));
	return -EINVAL;
}

/* ---- setting one field ---------------------------------------------------------------------- */

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

static int parse_choice(const char *choices, const char *value, int *ret_index)
{
	size_t length = strlen(value);

	for (int i = 0; *choices; i++) {
		size_t name = strcspn(choices, ",");

		if (name == length && strncmp(choices, value, length) == 0)
			return *ret_index = i, 0;
		choices += name;
		choices += strspn(choices, ", ");
	}
	return -EINVAL;
}

static int count_choices(const char *choices)
{
	int count = 1;

	for (; *choices; choices++)
		count += *choices == ',';
	return count;
}

static int set_number(const struct tine_option *option, void *field, const char *value)
{
	int64_t number;

	if (parse_number(option->type, value, &number) < 0 || number < option->minimum ||
	    number > option->maximum)
		return -EINVAL;
	if (option->type == TINE_OPTION_BYTES)
		*(int64_t *)field = number;
	else
		*(int *)field = (int)number;
	return 0;
}

static int set_text(const char **field, const char *value, bool good)
{
	if (!good)
		return -EINVAL;
	*field = value;
	return 0;
}

static int set_field(const struct tine_option *option, void *field, const char *value)
{
	switch (option->type) {
	case TINE_OPTION_FLAG:
		return parse_flag(value, field);
	case TINE_OPTION_PORTS:
		return set_text(field, value, tine_ports_add_list(NULL, value) == 0);
	case TINE_OPTION_TEXT:
		return set_text(field, value, (int64_t)strlen(value) >= option->minimum);
	case TINE_OPTION_CHOICE:
		return parse_choice(option->choices, value, field);
	case TINE_OPTION_INT:
	case TINE_OPTION_MS:
	case TINE_OPTION_SECONDS:
	case TINE_OPTION_BYTES:
		return set_number(option, field, value);
	}
	return -EINVAL;
}

int tine_option_set(const struct tine_option *option, void *settings, const char *value,
		    const char *origin, char *error, size_t error_size)
{
	if (!value)
		value = option->type == TINE_OPTION_FLAG ? "yes" : "";
	if (set_field(option, (char *)settings + option->offset, value) < 0)
		return refuse(option, origin, value, error, error_size);
	return 0;
}

int tine_option_check(const struct tine_option *option, const void *settings, char *error,
		      size_t error_size)
{
	const void *field = (const char *)settings + option->offset;
	int64_t number, least = option->minimum, most = option->maximum;
	char value[32];

	switch (option->type) {
	case TINE_OPTION_FLAG:
	case TINE_OPTION_TEXT:
	case TINE_OPTION_PORTS:
		return 0;
	case TINE_OPTION_BYTES:
		number = *(const int64_t *)field;
		break;
	case TINE_OPTION_CHOICE:
		least = 0;
		most = count_choices(option->choices) - 1;
		number = *(const int *)field;
		break;
	case TINE_OPTION_INT:
	case TINE_OPTION_MS:
	case TINE_OPTION_SECONDS:
		number = *(const int *)field;
		break;
	default:
		return -EINVAL;
	}
	if (number >= least && number <= most)
		return 0;
	snprintf(value, sizeof(value), "%lld", (long long)number);
	return refuse(option, option->name, value, error, error_size);
}

/* ---- the environment ------------------------------------------------------------------------ */

int tine_option_set_env(const struct tine_option *option, void *settings, char *error,
			size_t error_size)
{
	const char *value = option->env ? secure_getenv(option->env) : NULL;

	/* An empty variable is how people unset one in unit files and shells. */
	if (!value || !*value)
		return 0;
	return tine_option_set(option, settings, value, option->env, error, error_size);
}

int tine_option_environment(unsigned command, struct tine_settings *settings, char *error,
			    size_t error_size)
{
	for (size_t i = 0; i < tine_options_count; i++) {
		int rc = 0;

		if (tine_options[i].commands & command)
			rc = tine_option_set_env(&tine_options[i], settings, error, error_size);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* ---- the command line ----------------------------------------------------------------------- */

static bool same_name(const char *name, const char *given, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		char a = name[i] == '-' ? '_' : name[i];
		char b = given[i] == '-' ? '_' : given[i];

		if (!a || a != b)
			return false;
	}
	return name[length] == '\0';
}

const struct tine_option *tine_option_find(unsigned commands, const char *name, size_t length)
{
	for (size_t i = 0; i < tine_options_count; i++)
		if ((tine_options[i].commands & commands) &&
		    same_name(tine_options[i].name, name, length))
			return &tine_options[i];
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
	const struct tine_option *option = tine_option_find(args->command, name, length);
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
