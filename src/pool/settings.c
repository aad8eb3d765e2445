/* SPDX-License-Identifier: PostgreSQL */
#include "pool/settings.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/option.h"
#include "pool/error.h"

/* No struct of settings will ever be larger; one that says so was never initialised. */
#define SIZE_MAX_BYTES 4096
#define ERROR_BYTES 512
#define VARIABLE_BYTES 96

static bool is_field_of(const struct tine_settings_kind *kind, const struct tine_option *option,
			size_t size_bytes)
{
	return (option->commands & kind->command) &&
	       option->offset + tine_option_size(option) <= size_bytes;
}

static size_t size_of(const void *settings)
{
	return *(const size_t *)settings;
}

static size_t known_size(const struct tine_settings_kind *kind, const void *settings)
{
	return size_of(settings) < kind->size_bytes ? size_of(settings) : kind->size_bytes;
}

static int invalid(tine_error *error, const char *text)
{
	return tine_error_set(error, TINE_E_INVALID, "%s", text);
}

void tine_settings_init(const struct tine_settings_kind *kind, void *settings, size_t size_bytes)
{
	char text[ERROR_BYTES];

	memset(settings, 0, size_bytes);
	*(size_t *)settings = size_bytes;
	for (size_t i = 0; i < tine_options_count; i++) {
		const struct tine_option *option = &tine_options[i];

		if (is_field_of(kind, option, size_bytes) && option->initial)
			tine_option_set(option, settings, option->initial, option->name, text,
					sizeof(text));
	}
}

static int check_size(const struct tine_settings_kind *kind, const void *settings,
		      tine_error *error)
{
	if (settings && size_of(settings) >= kind->least_bytes &&
	    size_of(settings) <= SIZE_MAX_BYTES)
		return 0;
	return tine_error_set(error, TINE_E_INVALID, "the settings were not initialised with %s()",
			      kind->init);
}

int tine_settings_set(const struct tine_settings_kind *kind, void *settings, const char *name,
		      const char *value, tine_error *error)
{
	const struct tine_option *option = tine_option_find(kind->command, name, strlen(name));
	char text[ERROR_BYTES];
	int rc = check_size(kind, settings, error);

	if (rc < 0)
		return rc;
	if (!option || !is_field_of(kind, option, size_of(settings)))
		return tine_error_set(error, TINE_E_INVALID, "unknown option '%.80s'", name);
	if (!value)
		return tine_error_set(error, TINE_E_INVALID, "%s: no value", option->name);
	if (tine_option_set(option, settings, value, option->name, text, sizeof(text)) < 0)
		return invalid(error, text);
	return 0;
}

/* TINE_WORKERS of the group "task" is TINE_TASK_WORKERS. */
static void name_in_group(const char *variable, const char *group, char *name, size_t size)
{
	const char *rest = variable + strlen("TINE_");

	snprintf(name, size, "TINE_%s_%s", group, rest);
	for (char *p = name; *p; p++)
		*p = *p == '-' ? '_' : (char)toupper((unsigned char)*p);
}

static int set_in_group(const struct tine_option *option, void *settings, const char *group,
			char *text, size_t text_size)
{
	char name[VARIABLE_BYTES];
	const char *value;

	name_in_group(option->env, group, name, sizeof(name));
	value = secure_getenv(name);
	if (!value || !*value)
		return 0;
	return tine_option_set(option, settings, value, name, text, text_size);
}

static void set_first(const struct tine_settings_kind *kind, char *settings)
{
	const char *value = kind->variable ? secure_getenv(kind->variable) : NULL;

	if (value && *value)
		*(const char **)(settings + sizeof(size_t)) = value;
}

int tine_settings_env(const struct tine_settings_kind *kind, void *settings, const char *group,
		      tine_error *error)
{
	_Alignas(max_align_t) char changed[TINE_SETTINGS_MAX_BYTES] = { 0 };
	char text[ERROR_BYTES];
	size_t size;
	int rc = check_size(kind, settings, error);

	if (rc < 0)
		return rc;
	size = known_size(kind, settings);
	memcpy(changed, settings, size);
	set_first(kind, changed);
	for (size_t i = 0; i < tine_options_count; i++) {
		const struct tine_option *option = &tine_options[i];

		if (!is_field_of(kind, option, size))
			continue;
		rc = tine_option_set_env(option, changed, text, sizeof(text));
		if (rc == 0 && group)
			rc = set_in_group(option, changed, group, text, sizeof(text));
		if (rc < 0)
			return invalid(error, text);
	}
	memcpy(settings, changed, size);
	return 0;
}

/* What a newer header has and this library does not must not be dropped without a word. */
static int check_unknown(const struct tine_settings_kind *kind, const void *settings,
			 tine_error *error)
{
	for (size_t i = kind->size_bytes; i < size_of(settings); i++)
		if (((const char *)settings)[i])
			return invalid(error, "a setting is not known to this version of libtine, "
					      "which is older than its header");
	return 0;
}

int tine_settings_check(const struct tine_settings_kind *kind, const void *settings, void *ret_full,
			tine_error *error)
{
	_Alignas(max_align_t) char full[TINE_SETTINGS_MAX_BYTES];
	char text[ERROR_BYTES];
	int rc = check_size(kind, settings, error);

	if (rc == 0)
		rc = check_unknown(kind, settings, error);
	if (rc < 0)
		return rc;
	tine_settings_init(kind, full, kind->size_bytes);
	memcpy(full, settings, known_size(kind, settings));
	*(size_t *)full = kind->size_bytes;
	for (size_t i = 0; i < tine_options_count; i++)
		if (is_field_of(kind, &tine_options[i], kind->size_bytes) &&
		    tine_option_check(&tine_options[i], full, text, sizeof(text)) < 0)
			return invalid(error, text);
	memcpy(ret_full, full, kind->size_bytes);
	return 0;
}

int tine_settings_check_or_env(const struct tine_settings_kind *kind, const void *settings,
			       const char *group, void *ret_full, tine_error *error)
{
	if (settings)
		return tine_settings_check(kind, settings, ret_full, error);
	tine_settings_init(kind, ret_full, kind->size_bytes);
	return tine_settings_env(kind, ret_full, group, error);
}
