/* SPDX-License-Identifier: PostgreSQL */
/*
 * Opens extensions and has each ask its database: opener FUNCTION (MODE LIBRARY)...
 * The modes: lazy, now, deep. The conninfo is in the environment, as CONNINFO. Exit status 0 when
 * each was answered.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int mode_of(const char *name)
{
	if (strcmp(name, "deep") == 0)
		return RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND;
	return RTLD_LOCAL | (strcmp(name, "now") == 0 ? RTLD_NOW : RTLD_LAZY);
}

int main(int argc, char **argv)
{
	int (*asks[8])(const char *);
	int count = 0, good = 0;

	for (int i = 2; i + 1 < argc && count < 8; i += 2, count++) {
		void *handle = dlopen(argv[i + 1], mode_of(argv[i]));

		asks[count] = handle ? (int (*)(const char *))dlsym(handle, argv[1]) : NULL;
		if (!asks[count]) {
			fprintf(stderr, "%s\n", dlerror());
			return 2;
		}
	}
	for (int i = 0; i < count; i++)
		good += asks[i](getenv("CONNINFO"));
	return good == count ? 0 : 1;
}
