/* SPDX-License-Identifier: PostgreSQL */
/*
 * Where the preload library and our other programs are, and how LD_PRELOAD has to name the library.
 */
#ifndef TINE_CLI_LIBRARY_H
#define TINE_CLI_LIBRARY_H

#include <limits.h>
#include <stddef.h>

#define TINE_LIBRARY_NAME "libtine-preload.so"

/** Find the library: beside the program (a build tree), else where `make install` puts it, relative
 * to the program, so that an installed tree can be moved.
 *  @return 0, or -errno with the last place tried in ret_path */
int tine_library_find(char ret_path[PATH_MAX]);

/** Find a program of ours that is no command by itself, in the same way.
 *  @return 0, or -errno with the last place tried in ret_path */
int tine_library_find_program(const char *name, char ret_path[PATH_MAX]);

/** A path of the library that LD_PRELOAD can name. Its list is split at spaces and colons and knows
 *  no quoting, so a path with one of these is reached through a symbolic link in a directory of
 *  ours.
 *  @return 0 or -errno */
int tine_library_preloadable(const char *path, char ret_path[PATH_MAX]);

/** The value for LD_PRELOAD: what it was, without any earlier copy of our library, and
 * ours at the end.
 *  @param before   the present value or NULL
 *  @param library  path of our library; entries with the same file name are taken out
 *  @return 0, or -E2BIG when it does not fit into size_bytes */
int tine_library_extend(const char *before, const char *library, char *ret_value,
			size_t size_bytes);

#endif
