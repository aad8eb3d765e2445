/* SPDX-License-Identifier: PostgreSQL */
/*
 * tine version: what this is and where its library was found.
 */
#include <string.h>

#include <jansson.h>

#include "cli/command.h"
#include "cli/library.h"

int tine_cmd_version(const struct tine_settings *settings, int argc, char **argv)
{
	char library[PATH_MAX];
	int rc = tine_library_find(library);

	if (argc > 0)
		return tine_fail(TINE_EXIT_USAGE, "version: unexpected argument '%s'", argv[0]);
	if (settings->json) {
		json_t *report = json_pack("{s:s, s:s, s:b}", "version", TINE_VERSION, "library",
					   library, "library_found", rc == 0);

		json_dumpf(report, stdout, JSON_INDENT(2));
		putchar('\n');
		json_decref(report);
	} else {
		printf("tine %s\nlibrary: %s%s\n", TINE_VERSION, library,
		       rc == 0 ? "" : " (missing)");
	}
	return rc == 0 ? TINE_EXIT_OK
		       : tine_fail(TINE_EXIT_SYSTEM, "%s: %s", library, strerror(-rc));
}
