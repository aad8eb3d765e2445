/* SPDX-License-Identifier: PostgreSQL */
/*
 * Commands that are programs of their own, so that what they link is not loaded by tine(1).
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/library.h"

int tine_program_execute(const char *program, char **argv)
{
	char path[PATH_MAX];
	int rc = tine_library_find_program(program, path);

	if (rc == 0) {
		execv(path, argv);
		rc = -errno;
	}
	return tine_fail(TINE_EXIT_SYSTEM, "%s: %s", path, strerror(-rc));
}
