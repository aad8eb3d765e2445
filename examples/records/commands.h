/* SPDX-License-Identifier: PostgreSQL */
/*
 * The commands beside `records serve`. Each is one unit of work of the kind script: all of it
 * happens, or nothing.
 *
 * Locks: none. Fork: they fork nothing.
 */
#ifndef RECORDS_COMMANDS_H
#define RECORDS_COMMANDS_H

#include "config.h"

#define EXIT_ANSWER_IS_NO 1
#define EXIT_USAGE 100
#define EXIT_NOT_DONE 111

/** @return an exit status */
int command_migrate(const struct config *config, int argc, char **argv);
int command_check_schema(const struct config *config, int argc, char **argv);
int command_create_user(const struct config *config, int argc, char **argv);

#endif
