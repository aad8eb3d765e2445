/* SPDX-License-Identifier: PostgreSQL */
#include "cli/library.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "cli/elf.h"

/* ---- finding it ----------------------------------------------------------------------------- */

/* The loader leaves a damaged library out with a line of its own, and the program runs unguarded.
 */
static int check_library(const char *path)
{
	cleanup_(tine_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct tine_elf elf;
	int rc;

	if (fd < 0)
		return -errno;
	rc = tine_elf_read(fd, &elf);
	return rc < 0 || elf.complete ? rc : -ENOEXEC;
}

/* Beside this program, else in its installed place as seen from here. */
static int find(const char *name, const char *from_bin, char ret_path[PATH_MAX])
{
	const char *const places[] = { "", from_bin };
	char directory[PATH_MAX], candidate[2 * PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", directory, sizeof(directory) - 1);

	if (length < 0)
		return -errno;
	directory[length] = '\0';
	*(strrchr(directory, '/') + 1) = '\0';
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		snprintf(candidate, sizeof(candidate), "%s%s%s", directory, places[i], name);
		if (realpath(candidate, ret_path))
			return 0;
	}
	candidate[PATH_MAX - 1] = '\0';
	memcpy(ret_path, candidate, PATH_MAX);
	return -ENOENT;
}

int tine_library_find(char ret_path[PATH_MAX])
{
	int rc = find(TINE_LIBRARY_NAME, TINE_LIBRARY_FROM_BIN "/", ret_path);

	return rc < 0 ? rc : check_library(ret_path);
}

int tine_library_find_program(const char *name, char ret_path[PATH_MAX])
{
	return find(name, TINE_PROGRAMS_FROM_BIN "/", ret_path);
}

/* ---- a path without spaces and colons ------------------------------------------------------- */

static bool preloadable(const char *path)
{
	return strpbrk(path, " :\t\n") == NULL;
}

/* A directory of ours that nobody else can write to, for links only, so that it may be passed
 * through by processes that give up their user. */
static bool own_directory(const char *path)
{
	struct stat st;

	if (mkdir(path, 0711) < 0 && errno != EEXIST)
		return false;
	return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
	       !(st.st_mode & (S_IWGRP | S_IWOTH));
}

/* The same library gets the same name, so that many starts leave one link. */
static int link_in(const char *directory, const char *path, char ret_path[PATH_MAX])
{
	const char *name = strrchr(path, '/');
	char target[PATH_MAX];
	ssize_t length;

	if (snprintf(ret_path, PATH_MAX, "%s/%016llx", directory,
		     (unsigned long long)tine_hash_text(TINE_HASH_START, path)) >= PATH_MAX ||
	    !own_directory(directory))
		return -EACCES;
	mkdir(ret_path, 0711);
	if (strlen(ret_path) + strlen(name) >= PATH_MAX)
		return -ENAMETOOLONG;
	strcat(ret_path, name);
	if (symlink(path, ret_path) < 0 && errno != EEXIST)
		return -errno;
	length = readlink(ret_path, target, sizeof(target) - 1);
	if (length < 0)
		return -errno;
	target[length] = '\0';
	return strcmp(target, path) == 0 ? 0 : -EEXIST;
}

int tine_library_preloadable(const char *path, char ret_path[PATH_MAX])
{
	const char *runtime = secure_getenv("XDG_RUNTIME_DIR");
	char directory[PATH_MAX];

	if (preloadable(path)) {
		snprintf(ret_path, PATH_MAX, "%s", path);
		return 0;
	}
	if (runtime && *runtime == '/' && preloadable(runtime) &&
	    snprintf(directory, sizeof(directory), "%s/tine", runtime) < PATH_MAX &&
	    link_in(directory, path, ret_path) == 0)
		return 0;
	snprintf(directory, sizeof(directory), "/tmp/tine-%u", (unsigned)geteuid());
	if (link_in(directory, path, ret_path) == 0)
		return 0;
	/* Somebody else sits on that name. */
	strcpy(directory, "/tmp/tine-XXXXXX");
	if (!mkdtemp(directory) || chmod(directory, 0711) < 0)
		return -errno;
	return link_in(directory, path, ret_path);
}

/* ---- LD_PRELOAD ----------------------------------------------------------------------------- */

static bool is_ours(const char *entry, size_t length, const char *library)
{
	const char *slash = memrchr(entry, '/', length), *name = strrchr(library, '/') + 1;
	size_t skip = slash ? (size_t)(slash - entry) + 1 : 0;

	return length - skip == strlen(name) && memcmp(entry + skip, name, length - skip) == 0;
}

int tine_library_extend(const char *before, const char *library, char *ret_value, size_t size_bytes)
{
	size_t used = 0;

	for (const char *entry = before ? before : ""; *entry;) {
		size_t length = strcspn(entry, " :");

		if (length && !is_ours(entry, length, library)) {
			if (used + length + 2 > size_bytes)
				return -E2BIG;
			memcpy(ret_value + used, entry, length);
			ret_value[used + length] = ':';
			used += length + 1;
		}
		entry += length + (entry[length] != '\0');
	}
	if (used + strlen(library) + 1 > size_bytes)
		return -E2BIG;
	strcpy(ret_value + used, library);
	return 0;
}
