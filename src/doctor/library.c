/* SPDX-License-Identifier: PostgreSQL */
/*
 * Reading a process's maps for the libraries of interest, and whether tine's guard is alive in it.
 *
 * Owns a list of the versions that were found. Locks: none, one thread. Fork: nothing to do.
 */
#include "doctor/library.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"

#define MAPS_BYTES_MAX (64 << 20)
#define FILE_BYTES_MAX (64 << 20)
#define ENVIRONMENT_BYTES_MAX (4 << 20)
#define GUARD_NAME "libtine-preload.so"
#define DELETED " (deleted)"

/* ---- names ---------------------------------------------------------------------------------- */

/* "libpq.so.5.15", "libpq-9b38f5e3.so.5.16" as wheels have it, but not "libpq_walker.so" */
static bool is_named(const char *name, const char *stem)
{
	size_t length = strlen(stem);

	if (strncmp(name, stem, length) != 0)
		return false;
	return strncmp(name + length, ".so", 3) == 0 ||
	       (name[length] == '-' && strstr(name + length, ".so") != NULL);
}

static int kind_of(const char *path)
{
	const char *name = strrchr(path, '/');

	name = name ? name + 1 : path;
	if (is_named(name, "libpq"))
		return TINE_LIBRARY_LIBPQ;
	if (is_named(name, "libcrypto"))
		return TINE_LIBRARY_OPENSSL;
	return strcmp(name, GUARD_NAME) == 0 ? TINE_LIBRARY_GUARD : -1;
}

/* Where a distribution puts its libraries, and what it mends without changing the version. */
static bool is_bundled(const char *path)
{
	static const char *const places[] = { "/usr/lib/", "/usr/lib64/", "/usr/lib32/", "/lib/",
					      "/lib64/" };
	const char *name = strrchr(path, '/');

	if (strstr(path, "-packages/") || strstr(path, ".libs/") || strchr(name, '-'))
		return true;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (strncmp(path, places[i], strlen(places[i])) == 0)
			return false;
	return true;
}

/* ---- maps ----------------------------------------------------------------------------------- */

static struct tine_library *find(struct tine_image *image, const char *path)
{
	for (int i = 0; i < image->count; i++)
		if (strcmp(image->libraries[i].path, path) == 0)
			return &image->libraries[i];
	return NULL;
}

/* A line of maps; a path ends it, and can hold spaces. */
static void take_line(struct tine_image *image, char *line)
{
	char *path = strchr(line, '/');
	size_t length = path ? strlen(path) : 0;
	struct tine_library *library;
	bool replaced = false;
	int kind;

	if (!path || length >= PATH_MAX)
		return;
	if (length > strlen(DELETED) && strcmp(path + length - strlen(DELETED), DELETED) == 0) {
		path[length - strlen(DELETED)] = '\0';
		replaced = true;
	}
	kind = kind_of(path);
	if (kind < 0)
		return;
	image->guard_mapped |= kind == TINE_LIBRARY_GUARD;
	if (image->count == TINE_LIBRARIES_MAX || find(image, path))
		return;
	library = &image->libraries[image->count++];
	library->kind = (enum tine_library_kind)kind;
	library->replaced = replaced;
	library->bundled = is_bundled(path);
	library->path = strdup(path);
	/* Without memory it is as if it were not there. */
	image->count -= !library->path;
}

void tine_image_done(struct tine_image *image)
{
	for (int i = 0; i < image->count; i++)
		free(image->libraries[i].path);
}

/* The guard keeps a page that the kernel empties in children. Only it has one of a page's size,
 * private and without a file, in most programs; a second one changes nothing. */
static bool has_wiped_page(char *smaps)
{
	for (char *line = smaps, *next; line && *line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		if (strncmp(line, "VmFlags:", 8) == 0 && strstr(line, " wf"))
			return true;
	}
	return false;
}

static bool wants_guard(const char *environment, size_t size)
{
	static const char name[] = "LD_PRELOAD=";

	for (size_t i = 0; i < size; i += strlen(environment + i) + 1)
		if (strncmp(environment + i, name, sizeof(name) - 1) == 0 &&
		    strstr(environment + i, GUARD_NAME))
			return true;
	return false;
}

int tine_image_read(const struct tine_procs *procs, const struct tine_process *process,
		    struct tine_image *ret_image)
{
	char *text;
	ssize_t length = tine_process_read(procs, process, "maps", MAPS_BYTES_MAX, &text);

	memset(ret_image, 0, sizeof(*ret_image));
	if (length < 0)
		return (int)length;
	for (char *line = text, *next; line && *line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		take_line(ret_image, line);
	}
	free(text);
	if (ret_image->guard_mapped &&
	    tine_process_read(procs, process, "smaps", MAPS_BYTES_MAX, &text) >= 0) {
		ret_image->guard_live = has_wiped_page(text);
		free(text);
	}
	length = tine_process_read(procs, process, "environ", ENVIRONMENT_BYTES_MAX, &text);
	if (length >= 0)
		ret_image->guard_wanted = wants_guard(text, (size_t)length);
	free(text);
	return 0;
}

/* ---- versions ------------------------------------------------------------------------------- */

/* A whole regular file of another program's world, or NULL. */
static char *load(int fd, size_t *ret_size)
{
	struct stat st;
	size_t length = 0;
	char *bytes;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > FILE_BYTES_MAX)
		return NULL;
	bytes = malloc((size_t)st.st_size + 1);
	while (bytes && length < (size_t)st.st_size) {
		ssize_t got = read(fd, bytes + length, (size_t)st.st_size - length);

		if (got <= 0)
			break;
		length += (size_t)got;
	}
	*ret_size = length;
	return bytes;
}

/* "libpq.so.5.15" comes with PostgreSQL 15; since 10 the two go together. */
static int version_by_name(const char *path)
{
	const char *place = strstr(path, ".so.5.");
	long minor = place ? strtol(place + strlen(".so.5."), NULL, 10) : 0;

	return minor >= 10 && minor < 100 ? (int)minor * 10000 : 0;
}

static void read_version(int fd, struct tine_library *library)
{
	size_t size = 0;
	char *bytes = fd < 0 ? NULL : load(fd, &size);

	if (library->kind == TINE_LIBRARY_OPENSSL && bytes)
		library->version = tine_library_openssl_version(bytes, size, library->version_text,
								sizeof(library->version_text));
	if (library->kind == TINE_LIBRARY_LIBPQ) {
		int version = bytes ? tine_library_libpq_version(bytes, size) : 0;

		library->version = version;
		if (version)
			snprintf(library->version_text, sizeof(library->version_text),
				 version >= 100000 ? "%d.%d" : "%d.%d.x", version / 10000,
				 version >= 100000 ? version % 10000 : version / 100 % 100);
		else if (version_by_name(library->path))
			snprintf(library->version_text, sizeof(library->version_text), "%d",
				 version_by_name(library->path) / 10000);
	}
	free(bytes);
}

/* What one file says is read once: hundreds of workers have the same one. */
static struct known {
	struct known *next;
	dev_t device;
	ino_t inode;
	struct timespec changed;
	int version;
	char text[32];
} * known_files;

static struct known *recall(const struct stat *st)
{
	for (struct known *known = known_files; known; known = known->next)
		if (known->device == st->st_dev && known->inode == st->st_ino &&
		    known->changed.tv_sec == st->st_ctim.tv_sec &&
		    known->changed.tv_nsec == st->st_ctim.tv_nsec)
			return known;
	return NULL;
}

static void remember(const struct stat *st, const struct tine_library *library)
{
	struct known *known = calloc(1, sizeof(*known));

	if (!known)
		return;
	known->device = st->st_dev;
	known->inode = st->st_ino;
	known->changed = st->st_ctim;
	known->version = library->version;
	strcpy(known->text, library->version_text);
	known->next = known_files;
	known_files = known;
}

static void find_version(const struct tine_procs *procs, const struct tine_process *process,
			 struct tine_library *library)
{
	char name[PATH_MAX + 8];
	cleanup_(tine_closep) int fd = -1;
	const struct known *known;
	struct stat st;

	/* Through the process's own root: it may be in a container. */
	snprintf(name, sizeof(name), "root%s", library->path);
	fd = library->replaced ? -1 : tine_process_open(procs, process, name);
	if (fd < 0 || fstat(fd, &st) < 0) {
		read_version(-1, library);
		return;
	}
	known = recall(&st);
	if (!known) {
		read_version(fd, library);
		remember(&st, library);
		return;
	}
	library->version = known->version;
	strcpy(library->version_text, known->text);
}

void tine_image_versions(const struct tine_procs *procs, const struct tine_process *process,
			 struct tine_image *image)
{
	for (int i = 0; i < image->count; i++)
		if (image->libraries[i].kind != TINE_LIBRARY_GUARD)
			find_version(procs, process, &image->libraries[i]);
}
