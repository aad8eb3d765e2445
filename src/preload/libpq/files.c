/* SPDX-License-Identifier: PostgreSQL */
#include "preload/libpq/files.h"

#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"

/* As libpq names them when nobody does. The service files of the machine are where each build has
 * them: these are the places that are used. */
static const struct {
	const char *option;   /* of PQconninfo(), or NULL */
	const char *variable; /* that names it instead, or NULL */
	const char *in_home;  /* or NULL */
	const char *in_system;
} places[] = {
	{ "passfile", "PGPASSFILE", ".pgpass", NULL },
	{ "sslcert", "PGSSLCERT", ".postgresql/postgresql.crt", NULL },
	{ "sslkey", "PGSSLKEY", ".postgresql/postgresql.key", NULL },
	{ "sslrootcert", "PGSSLROOTCERT", ".postgresql/root.crt", NULL },
	{ "sslcrl", "PGSSLCRL", ".postgresql/root.crl", NULL },
	{ "sslcrldir", "PGSSLCRLDIR", NULL, NULL },
	{ "servicefile", "PGSERVICEFILE", ".pg_service.conf", NULL },
	{ NULL, "PGSYSCONFDIR", NULL, "/etc/postgresql-common/pg_service.conf" },
	{ NULL, NULL, NULL, "/etc/pg_service.conf" },
};

#define PLACES (sizeof(places) / sizeof(*places))

static const char *find_value(const PQconninfoOption *options, const char *keyword)
{
	for (; options && options->keyword; options++)
		if (strcmp(options->keyword, keyword) == 0 && options->val && *options->val)
			return options->val;
	return NULL;
}

/* libpq goes by HOME since 15, and by the system's list of users before and without it. */
static void find_homes(char *list, size_t size)
{
	const char *home = getenv("HOME");
	struct passwd entry, *found = NULL;
	char text[4096];

	if (getpwuid_r(geteuid(), &entry, text, sizeof(text), &found) != 0)
		found = NULL;
	snprintf(list, size, "%s%c%s", home ? home : "", '\n',
		 found && (!home || strcmp(found->pw_dir, home) != 0) ? found->pw_dir : "");
}

struct list {
	char text[8 * PATH_MAX];
	size_t length;
	bool is_full;
};

static void add(struct list *list, const char *directory, const char *name)
{
	size_t room = sizeof(list->text) - list->length - 1;
	int length = snprintf(list->text + list->length, room, "%s%s%s", directory,
			      *directory ? "/" : "", name);

	if (length < 0 || (size_t)length >= room)
		list->is_full = true;
	else
		list->length += (size_t)length + 1;
}

static void add_place(struct list *list, size_t number, const PQconninfoOption *options,
		      char *const homes[2])
{
	const char *value =
		places[number].option ? find_value(options, places[number].option) : NULL;
	const char *variable = places[number].variable ? getenv(places[number].variable) : NULL;

	if (value) {
		add(list, "", value);
		return;
	}
	if (variable && *variable)
		add(list, "", variable);
	for (int i = 0; i < 2 && places[number].in_home; i++)
		if (*homes[i])
			add(list, homes[i], places[number].in_home);
	if (places[number].in_system)
		add(list, "", places[number].in_system);
	if (variable && *variable && places[number].in_system)
		add(list, variable, "pg_service.conf");
}

static uint64_t identify(const char *path, uint64_t hash)
{
	struct stat st;
	uint64_t words[8] = { 0 };

	if (stat(path, &st) == 0) {
		words[0] = st.st_dev;
		words[1] = st.st_ino;
		words[2] = (uint64_t)st.st_size;
		words[3] = (uint64_t)st.st_mtim.tv_sec;
		words[4] = (uint64_t)st.st_mtim.tv_nsec;
		words[5] = (uint64_t)st.st_ctim.tv_sec;
		words[6] = (uint64_t)st.st_ctim.tv_nsec;
		words[7] = st.st_mode;
	}
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		hash = tine_hash_end(hash ^ words[i]) ^ hash >> 29;
	return hash;
}

static uint64_t identify_all(const char *paths)
{
	uint64_t hash = TINE_HASH_START;

	for (; paths && *paths; paths += strlen(paths) + 1)
		hash = identify(paths, hash);
	return hash;
}

bool tine_files_note(struct tine_files *ret, const PQconninfoOption *options)
{
	struct list list = { .length = 0 };
	char homes[2 * PATH_MAX], *parts[2];

	find_homes(homes, sizeof(homes));
	parts[0] = homes;
	parts[1] = strchr(homes, '\n');
	if (!parts[1])
		return false;
	*parts[1]++ = '\0';
	for (size_t i = 0; i < PLACES; i++)
		add_place(&list, i, options, parts);
	if (list.is_full)
		return false;
	list.text[list.length++] = '\0';
	ret->paths = malloc(list.length);
	if (!ret->paths)
		return false;
	memcpy(ret->paths, list.text, list.length);
	ret->identity = identify_all(ret->paths);
	return true;
}

bool tine_files_are_same(const struct tine_files *files)
{
	return identify_all(files->paths) == files->identity;
}

void tine_files_free(struct tine_files *files)
{
	free(files->paths);
	files->paths = NULL;
}
