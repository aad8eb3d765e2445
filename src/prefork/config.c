/* SPDX-License-Identifier: PostgreSQL */
/*
 * The settings of a supervisor and of its kinds of workers. Every default and range is a row of the
 * option table.
 *
 * Locks: none. Fork: nothing to do.
 */
#include "base/option.h"
#include "prefork/master.h"

const struct tine_settings_kind tine_master_settings = {
	.command = TINE_COMMAND_MASTER,
	.size_bytes = sizeof(tine_master_config),
	.least_bytes = offsetof(tine_master_config, backlog),
	.init = "tine_master_config_init",
};

const struct tine_settings_kind tine_worker_settings = {
	.command = TINE_COMMAND_WORKER,
	.size_bytes = sizeof(tine_worker_config),
	.least_bytes = offsetof(tine_worker_config, threads),
	.init = "tine_worker_config_init",
};

/* The names of these functions are also those of macros. */
void(tine_master_config_init)(tine_master_config *config, size_t size_bytes)
{
	tine_settings_init(&tine_master_settings, config, size_bytes);
}

void(tine_worker_config_init)(tine_worker_config *config, size_t size_bytes)
{
	tine_settings_init(&tine_worker_settings, config, size_bytes);
}

int tine_master_config_set(tine_master_config *config, const char *name, const char *value,
			   tine_error *error)
{
	return tine_settings_set(&tine_master_settings, config, name, value, error);
}

int tine_worker_config_set(tine_worker_config *config, const char *name, const char *value,
			   tine_error *error)
{
	return tine_settings_set(&tine_worker_settings, config, name, value, error);
}

int tine_master_config_env(tine_master_config *config, tine_error *error)
{
	return tine_settings_env(&tine_master_settings, config, NULL, error);
}

int tine_worker_config_env(tine_worker_config *config, const char *kind, tine_error *error)
{
	return tine_settings_env(&tine_worker_settings, config, kind, error);
}
