/* SPDX-License-Identifier: PostgreSQL */
/*
 * The settings of a pool: defaults, by name, by environment, and the check of all of them. Every
 * default and range is a row of the option table.
 *
 * Locks: none. Fork: nothing to do.
 */
#include "pool/config.h"

#include "base/option.h"
#include "pool/settings.h"

static const struct tine_settings_kind pool_settings = {
	.command = TINE_COMMAND_POOL,
	.size_bytes = sizeof(tine_pool_config),
	.least_bytes = offsetof(tine_pool_config, kind),
	.init = "tine_pool_config_init",
	.variable = "DATABASE_URL",
};

_Static_assert(sizeof(tine_pool_config) <= TINE_SETTINGS_MAX_BYTES, "room for the settings");

/* The name of the function is also that of a macro. */
void(tine_pool_config_init)(tine_pool_config *config, size_t size_bytes)
{
	tine_settings_init(&pool_settings, config, size_bytes);
}

int tine_pool_config_set(tine_pool_config *config, const char *name, const char *value,
			 tine_error *error)
{
	return tine_settings_set(&pool_settings, config, name, value, error);
}

int tine_pool_config_env(tine_pool_config *config, tine_error *error)
{
	return tine_settings_env(&pool_settings, config, NULL, error);
}

int tine_pool_config_check(const tine_pool_config *config, tine_pool_config *ret_full,
			   tine_error *error)
{
	return tine_settings_check(&pool_settings, config, ret_full, error);
}
