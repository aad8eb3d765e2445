/* SPDX-License-Identifier: PostgreSQL */
/* Boards as JSON, for programs. Locks: none. Fork: plain memory. */
#ifndef TINE_SHOW_JSON_H
#define TINE_SHOW_JSON_H

#include <jansson.h>

#include "board/forest.h"
#include "show/rates.h"

/** A tree. @param rates  NULL: not known
 *  @return the caller's; NULL when there is no memory */
json_t *tine_json_tree(const struct tine_view *view, const struct tine_rates *rates);

/** The boards that could not be read: [{"path", "why"}]. @return as tine_json_tree() */
json_t *tine_json_problems(const struct tine_forest *forest);

/** Now, in UTC: "2026-01-31T12:34:56.789Z". @return as tine_json_tree() */
json_t *tine_json_time(void);

#endif
