/* SPDX-License-Identifier: PostgreSQL */
/*
 * The rows of the one option table; see option.h. Defaults and ranges of the library's structs are
 * here and nowhere else.
 *
 * Locks: none. Fork: constant data.
 */
#include "base/option.h"

#define DAY_MS (INT64_C(24) * 60 * 60 * 1000)

/* What all rows of a pool have in common. */
#define POOL(field, variable)                                                                      \
	.name = #field, .env = "TINE_" variable, .commands = TINE_COMMAND_POOL,                    \
	.offset = offsetof(struct tine_pool_config, field)

/* The same for the supervisor, and for a kind of workers. */
#define MASTER(field, variable)                                                                    \
	.name = #field, .env = "TINE_" variable, .commands = TINE_COMMAND_MASTER,                  \
	.offset = offsetof(struct tine_master_config, field)

#define WORKER(field, variable)                                                                    \
	.name = #field, .env = "TINE_" variable, .commands = TINE_COMMAND_WORKER,                  \
	.offset = offsetof(struct tine_worker_config, field)

const struct tine_option tine_options[] = {
#include "base/option_rows_command.inc"
#include "base/option_rows_pool.inc"
#include "base/option_rows_master.inc"
};

const size_t tine_options_count = sizeof(tine_options) / sizeof(tine_options[0]);
