/* SPDX-License-Identifier: PostgreSQL */
/*
 * The trees on this host: views of all boards that the caller may see. Root sees all users' boards,
 * others their own; TINE_BOARD_DIRECTORY names the one directory to look in.
 *
 * Owns: the views. Locks: none. Fork: plain memory.
 */
#ifndef TINE_BOARD_FOREST_H
#define TINE_BOARD_FOREST_H

#include "board/view.h"

#define TINE_FOREST_TREES 256 /* more are not looked at */

/* A board that is not shown. */
struct tine_forest_problem {
	char path[256];
	char why[160];
};

struct tine_forest {
	struct tine_view *trees[TINE_FOREST_TREES]; /* by label */
	int trees_count;
	struct tine_forest_problem problems[TINE_FOREST_TREES];
	int problems_count;
	bool cut; /* there were more than that */
};

/** Look for them.
 *  @param labels  those to be shown, NULL-terminated; all when there is none
 *  @return the caller's, ended by tine_forest_free(); NULL when there is no memory */
struct tine_forest *tine_forest_read(char *const labels[]);

/** NULL is fine. */
void tine_forest_free(struct tine_forest *forest);

/** Where was looked, for people: "/dev/shm/tine-1000 and /tmp/tine-1000". @return text */
const char *tine_forest_places(char *text, size_t size);

#endif
