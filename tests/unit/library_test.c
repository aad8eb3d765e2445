/* SPDX-License-Identifier: PostgreSQL */
#include "cli/library.h"

#include <sys/stat.h>

#include "support/check.h"

#define OURS "/opt/tine/libtine-preload.so"

static const char *extended(const char *before)
{
	static char value[256];

	return tine_library_extend(before, OURS, value, sizeof(value)) < 0 ? "too long" : value;
}

TEST(extends_and_never_replaces)
{
	CHECK_STR(extended(NULL), OURS);
	CHECK_STR(extended(""), OURS);
	CHECK_STR(extended("/lib/a.so"), "/lib/a.so:" OURS);
	CHECK_STR(extended("/lib/a.so b.so:c.so "), "/lib/a.so:b.so:c.so:" OURS);
	CHECK_STR(extended("/lib/a.so:/old/libtine-preload.so:b.so"), "/lib/a.so:b.so:" OURS);
	CHECK_STR(extended("libtine-preload.so"), OURS);
	CHECK_STR(extended("/x/notlibtine-preload.so"), "/x/notlibtine-preload.so:" OURS);
}

TEST(refuses_to_cut_a_list)
{
	char value[40];

	CHECK_INT(tine_library_extend("/lib/a-long-name.so", OURS, value, sizeof(value)), ==,
		  -E2BIG);
}

TEST(leads_around_spaces)
{
	char directory[] = "/tmp/tine library XXXXXX", file[64], link[PATH_MAX], again[PATH_MAX];
	char runtime[] = "/tmp/tine-runtime-XXXXXX";
	char there[PATH_MAX];
	struct stat st;

	CHECK(mkdtemp(directory) && mkdtemp(runtime));
	CHECK_INT(setenv("XDG_RUNTIME_DIR", runtime, 1), ==, 0);
	snprintf(file, sizeof(file), "%s/" TINE_LIBRARY_NAME, directory);
	CHECK_INT(tine_library_preloadable(file, link), ==, 0);
	CHECK(!strpbrk(link, " :"));
	CHECK_INT(readlink(link, there, sizeof(there)), ==, strlen(file));
	CHECK_INT(memcmp(there, file, strlen(file)), ==, 0);
	CHECK_INT(tine_library_preloadable(file, again), ==, 0);
	CHECK_STR(again, link);
	CHECK_INT(unlink(link), ==, 0);
	*strrchr(link, '/') = '\0';
	CHECK_INT(stat(link, &st), ==, 0);
	CHECK_INT(st.st_mode & 022, ==, 0);
	CHECK_INT(rmdir(link), ==, 0);
	*strrchr(link, '/') = '\0';
	CHECK_INT(rmdir(link), ==, 0);
	CHECK_INT(rmdir(runtime), ==, 0);
	CHECK_INT(rmdir(directory), ==, 0);
}

CHECK_TABLE(T(extends_and_never_replaces), T(refuses_to_cut_a_list), T(leads_around_spaces))
