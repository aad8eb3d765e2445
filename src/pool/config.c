/* SPDX-License-Identifier: PostgreSQL */
/*
 * The settings of a pool: defaults, by name, by environment, and the check of all of them. Every
 * default and range is a row of the option table.
 *
 * The struct is the program's, which may have been built with another version of the header: only
 * fields inside its size are touched.
 *
 * Locks: none. Fork: nothing to do.
 */
#include "pool/config.h"

#include <stdlib.h>
#include <string.h>

#include "base/option.h"
#include "pool/error.h"

/* No struct of this name will ever be larger; one that says so was never initialised. */
#define SIZE_MAX_BYTES 4096
#define ERROR_BYTES 512

static bool is_field_of(const struct tine_option *option, size_t size_bytes)
{
	return (option->commands & TINE_COMMAND_POOL) &&
	       option->offset + tine_option_size(option) <= size_bytes;
}

static int invalid(tine_error *error, const char *text)
{
	return tine_error_set(error, TINE_E_INVALID, "%s", text);
}

/* The name of the function is also that of a macro. */
void(tine_pool_config_init)(tine_pool_config *config, size_t size_bytes)
{
	char text[ERROR_BYTES];

	memset(config, 0, size_bytes);
	config->size = size_bytes;
	for (size_t i = 0; i < tine_options_count; i++) {
		const struct tine_option *option = &tine_options[i];

		if (is_field_of(option, size_bytes) && option->initial)
			tine_option_set(option, config, option->initial, option->name, text,
					sizeof(text));
	}
}

static int check_size(const tine_pool_config *config, tine_error *error)
{
	if (config && config->size >= offsetof(tine_pool_config, kind) &&
	    config->size <= SIZE_MAX_BYTES)
		return 0;
	return invalid(error, "the settings were not initialised with tine_pool_config_init()");
}

int tine_pool_config_set(tine_pool_config *config, const char *name, const char *value,
			 tine_error *error)
{
	const struct tine_option *option = tine_option_find(TINE_COMMAND_POOL, name, strlen(name));
	char text[ERROR_BYTES];
	int rc = check_size(config, error);

	if (rc < 0)
		return rc;
	if (!option || !is_field_of(option, config->size))
		return tine_error_set(error, TINE_E_INVALID, "unknown option '%.80s'", name);
	if (!value)
		return tine_error_set(error, TINE_E_INVALID, "%s: no value", option->name);
	if (tine_option_set(option, config, value, option->name, text, sizeof(text)) < 0)
		return invalid(error, text);
	return 0;
}

static const char *said(const char *variable)
{
	const char *value = secure_getenv(variable);

	return value && *value ? value : NULL;
}

int tine_pool_config_env(tine_pool_config *config, tine_error *error)
{
	tine_pool_config changed = { 0 };
	char text[ERROR_BYTES];
	size_t size;
	int rc = check_size(config, error);

	if (rc < 0)
		return rc;
	size = config->size < sizeof(changed) ? config->size : sizeof(changed);
	memcpy(&changed, config, size);
	if (said("DATABASE_URL"))
		changed.conninfo = said("DATABASE_URL");
	for (size_t i = 0; i < tine_options_count; i++)
		if (is_field_of(&tine_options[i], size) &&
		    tine_option_set_env(&tine_options[i], &changed, text, sizeof(text)) < 0)
			return invalid(error, text);
	memcpy(config, &changed, size);
	return 0;
}

/* What a newer header has and this library does not must not be dropped without a word. */
static int check_unknown(const tine_pool_config *config, tine_error *error)
{
	for (size_t i = sizeof(*config); i < config->size; i++)
		if (((const char *)config)[i])
			return invalid(error, "a setting is not known to this version of libtine, "
					      "which is older than its header");
	return 0;
}

int tine_pool_config_check(const tine_pool_config *config, tine_pool_config *ret_full,
			   tine_error *error)
{
	tine_pool_config full;
	char text[ERROR_BYTES];
	int rc = check_size(config, error);

	if (rc == 0)
		rc = check_unknown(config, error);
	if (rc < 0)
		return rc;
	tine_pool_config_init(&full);
	memcpy(&full, config, config->size < sizeof(full) ? config->size : sizeof(full));
	full.size = sizeof(full);
	for (size_t i = 0; i < tine_options_count; i++)
		if (is_field_of(&tine_options[i], sizeof(full)) &&
		    tine_option_check(&tine_options[i], &full, text, sizeof(text)) < 0)
			return invalid(error, text);
	*ret_full = full;
	return 0;
}
