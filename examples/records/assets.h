/* SPDX-License-Identifier: PostgreSQL */
/*
 * The files of static/, in memory: answered without the disk, the database or a session.
 *
 * Locks: none; constant after assets_load(). Fork: shared until written, which nobody does.
 */
#ifndef RECORDS_ASSETS_H
#define RECORDS_ASSETS_H

#include <stddef.h>

#include "request.h"

struct assets;

/** Read a directory. @param error receives one line
 *  @return the caller's, for assets_free(); NULL when one cannot be read */
struct assets *assets_load(const char *directory, char *error, size_t error_size);

void assets_free(struct assets *assets);

/** GET /static/NAME */
void assets_get(struct request *request, struct reply *reply);

#endif
