/* SPDX-License-Identifier: PostgreSQL */
/*
 * The files that boards are in: one directory per user, /dev/shm/tine-UID, or /tmp/tine-UID where
 * there is none; TINE_BOARD_DIRECTORY names another. Locks: none. Fork: a mapping is inherited.
 */
#ifndef TINE_BOARD_SEGMENT_H
#define TINE_BOARD_SEGMENT_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "board/layout.h"

/** The directory of a user, whether it is there or not. */
void tine_segment_directory(uid_t user, char ret_path[PATH_MAX]);

/** Make it if need be. @return 0, -EPERM when it is not ours alone, or -errno */
int tine_segment_make_directory(char ret_path[PATH_MAX]);

/** Map a file that is a board of this layout, owned by us and open to nobody else.
 *  @return 0, -EPERM, -EPROTO (another layout, or none), -ENOENT, or -errno */
int tine_segment_map(const char *path, struct tine_board_layout **ret);

/** Copy a board of any user into memory of one's own, for who only looks: the file can be changed
 * or cut short while it is looked at, and a copy cannot.
 *  @param ret         ended with free()
 *  @param ret_owner   of the file
 *  @param ret_layout  which one it is, when it is another
 *  @return 0, -EPERM (open to others than its owner), -EPROTO (a board of another layout), -EILSEQ
 *          (no board), -ENOMEM, or -errno */
int tine_segment_copy(const char *path, struct tine_board_layout **ret, uid_t *ret_owner,
		      uint32_t *ret_layout);

/** A part of a name that nobody can foretell. */
uint64_t tine_segment_name(void);

/** Make a board under that path, all or nothing. @return 0, -EEXIST, -ENOSPC, or -errno */
int tine_segment_make(const char *path, const char *name, struct tine_board_layout **ret);

void tine_segment_unmap(const struct tine_board_layout *map);

/** Was it made before the machine was started? */
bool tine_segment_is_of_other_boot(const struct tine_board_layout *map);

/** Has it no live member any more, as far as can be told from this pid namespace? */
bool tine_segment_is_dead(const struct tine_board_layout *map);

/** Remove the file if it has no live member, so that nobody joins in the same moment. Not when
 *  somebody else removes one in the directory just now.
 *  @return true when it is gone */
bool tine_segment_remove_if_dead(const char *path, struct tine_board_layout *map);

/** Remove all such files of the directory but those that are younger than a second, and what was
 *  left of boards whose making was cut short. */
void tine_segment_collect(const char *directory);

/** Call fn for each board file of a directory. @param fn returns true to go on */
void tine_segment_each(const char *directory, bool (*fn)(const char *path, void *arg), void *arg);

#endif
