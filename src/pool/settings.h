/* SPDX-License-Identifier: PostgreSQL */
/*
 * Structs of settings that a program holds: filled, changed and checked by the rows of the option
 * table. Each begins with its size as the program knows it, which may have been built with another
 * version of the header: only fields inside that size are touched.
 *
 * Locks: none. Fork: plain data.
 */
#ifndef TINE_POOL_SETTINGS_H
#define TINE_POOL_SETTINGS_H

#include "tine/tine.h"

/* A struct of settings, as this library knows it. */
struct tine_settings_kind {
	unsigned command;     /* whose rows: enum tine_option_commands */
	size_t size_bytes;    /* of the struct */
	size_t least_bytes;   /* of the oldest there is */
	const char *init;     /* the function that a program should have called */
	const char *variable; /* read before those of the rows, for the first field, or NULL */
};

#define TINE_SETTINGS_MAX_BYTES 256 /* of any of them */

/** Set every field to its default, and the size. */
void tine_settings_init(const struct tine_settings_kind *kind, void *settings, size_t size_bytes);

/** Set one field by its name. @return 0 or TINE_E_INVALID; unchanged then */
int tine_settings_set(const struct tine_settings_kind *kind, void *settings, const char *name,
		      const char *value, tine_error *error);

/** Set what the environment says. @param group when not NULL, TINE_GROUP_NAME is read after
 *  TINE_NAME for each field; letters become capitals, '-' becomes '_'
 *  @return 0 or TINE_E_INVALID; unchanged then */
int tine_settings_env(const struct tine_settings_kind *kind, void *settings, const char *group,
		      tine_error *error);

/** Copy a program's settings into a struct of this library's size: fields that the program does not
 *  know get their defaults, every other one is checked, since it may have been assigned directly.
 *  @param settings its texts stay borrowed from the program; NULL is an error
 *  @param ret_full filled on success only
 *  @return 0; TINE_E_INVALID with field, value and range in the text, or when settings were never
 *  initialised, or set a field that this library does not know */
int tine_settings_check(const struct tine_settings_kind *kind, const void *settings, void *ret_full,
			tine_error *error);

/** The same for settings that may be NULL: the defaults then, and what the environment says. */
int tine_settings_check_or_env(const struct tine_settings_kind *kind, const void *settings,
			       const char *group, void *ret_full, tine_error *error);

#endif
