/* SPDX-License-Identifier: PostgreSQL */
/*
 * A pool's settings as the program gave them, made whole. Defaults and ranges are those of the
 * option table (base/option_table.c) and nowhere else.
 *
 * Locks: none. Fork: plain data.
 */
#ifndef TINE_POOL_CONFIG_H
#define TINE_POOL_CONFIG_H

#include "tine/tine.h"

/** Copy a program's settings, whose struct may be an older or a newer one than this library's, into
 *  a full struct: fields that the program does not know get their defaults, every other one is
 *  checked, since it may have been assigned directly.
 *  @param config    its texts stay borrowed from the program; NULL is an error
 *  @param ret_full  filled on success only; its size is that of this library's struct
 *  @return 0; TINE_E_INVALID with field, value and range in the text, or when config was never
 *  initialised, or sets a field that this library does not know */
int tine_pool_config_check(const tine_pool_config *config, tine_pool_config *ret_full,
			   tine_error *error);

#endif
