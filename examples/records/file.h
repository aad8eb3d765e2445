/* SPDX-License-Identifier: PostgreSQL */
/*
 * Whole files into memory.
 *
 * Locks: none. Fork: nothing to do.
 */
#ifndef RECORDS_FILE_H
#define RECORDS_FILE_H

#include <stddef.h>

/** Read DIRECTORY/NAME.
 *  @param directory  NULL: name is a path
 *  @param ret_length may be NULL
 *  @param error      receives one line
 *  @return the caller's, for free(), with a 0 byte behind it; NULL on failure */
char *file_read(const char *directory, const char *name, size_t *ret_length, char *error,
		size_t error_size);

/** Read all that comes. @return as file_read() */
char *file_read_fd(int fd, size_t *ret_length);

/** A file of no name, for what is on its way. @return a descriptor, the caller's; -1 */
int file_temporary(void);

/** Write all of it. @return 0 or -1 */
int file_write(int fd, const char *data, size_t length);

#endif
