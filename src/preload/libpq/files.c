/* SPDX-License-Identifier: PostgreSQL */
#include "preload/libpq/files.h"

#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"

enum need { PASSWORD, TLS, TLS_CERTIFICATE, TLS_ROOT, SERVICE };

/* As libpq names them when nobody does. The service files of the machine are where each build has
 * them: these are the places that are used. */
static const struct place {
	enum need need;
	const char *option;   /* of PQconninfo(), or NULL */
	const char *variable; /* that names it instead, or NULL */
	const char *in_home;  /* or NULL */
	const char *in_system;
} places[] = {
	{ PASSWORD, "passfile", "PGPASSFILE", ".pgpass", NULL },
	{ TLS, "sslcert", "PGSSLCERT", ".postgresql/postgresql.crt", NULL },
	{ TLS, "sslrootcert", "PGSSLROOTCERT", ".postgresql/root.crt", NULL },
	{ TLS_CERTIFICATE, "sslkey", "PGSSLKEY", ".postgresql/postgresql.key", NULL },
	{ TLS_ROOT, "sslcrl", "PGSSLCRL", ".postgresql/root.crl", NULL },
	{ TLS_ROOT, "sslcrldir", "PGSSLCRLDIR", NULL, NULL },
	{ SERVICE, "servicefile", "PGSERVICEFILE", ".pg_service.conf", NULL },
	{ SERVICE, NULL, "PGSYSCONFDIR", NULL, "/etc/postgresql-common/pg_service.conf" },
	{ SERVICE, NULL, NULL, NULL, "/etc/pg_service.conf" },
};

#define PLACES (sizeof(places) / sizeof(*places))

const char *tine_files_option(const PQconninfoOption *options, const char *keyword)
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

static bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

struct list {
	char text[8 * PATH_MAX];
	size_t length;
	bool is_full;
	bool has[SERVICE + 1]; /* what is needed */
};

static bool has(const struct list *list, const char *path)
{
	for (const char *other = list->text; other < path; other += strlen(other) + 1)
		if (strcmp(other, path) == 0)
			return true;
	return false;
}

/* A file that is not there, last on the list. Where its directory is not there either, one look at
 * that does for all that would be in it. */
static void shorten(struct list *list, char *path)
{
	char *slash = strrchr(path, '/');

	if (!slash || slash == path)
		return;
	*slash = '\0';
	if (exists(path) || errno != ENOENT)
		*slash = '/';
	else
		list->length = (size_t)((has(list, path) ? path : slash + 1) - list->text);
}

/* @return is there such a file? */
static bool add(struct list *list, const char *directory, const char *name)
{
	char *path = list->text + list->length;
	size_t room = sizeof(list->text) - list->length - 1;
	int length = snprintf(path, room, "%s%s%s", directory, *directory ? "/" : "", name);

	if (length < 0 || (size_t)length >= room) {
		list->is_full = true;
		return false;
	}
	list->length += (size_t)length + 1;
	if (exists(path))
		return true;
	shorten(list, path);
	return false;
}

static bool add_place(struct list *list, const struct place *place, const PQconninfoOption *options,
		      char *const homes[2])
{
	const char *value = place->option ? tine_files_option(options, place->option) : NULL;
	const char *variable = place->variable ? getenv(place->variable) : NULL;
	bool is_there = false;

	if (value)
		return add(list, "", value);
	if (variable && *variable)
		is_there |= add(list, "", variable);
	for (int i = 0; i < 2 && place->in_home; i++)
		if (*homes[i])
			is_there |= add(list, homes[i], place->in_home);
	if (place->in_system)
		is_there |= add(list, "", place->in_system);
	if (variable && *variable && place->in_system)
		is_there |= add(list, variable, "pg_service.conf");
	return is_there;
}

static bool may_be_tcp(const PQconninfoOption *options)
{
	const char *host = tine_files_option(options, "host");

	return tine_files_option(options, "hostaddr") || !host || strchr(host, ',') ||
	       (*host != '/' && *host != '@');
}

static void add_places(struct list *list, const PQconninfoOption *options, char *const homes[2])
{
	for (size_t i = 0; i < PLACES; i++) {
		bool is_there;

		if (!list->has[places[i].need])
			continue;
		is_there = add_place(list, &places[i], options, homes);
		/* A key without its certificate, or a revocation without an authority, is not
		 * looked at. */
		if (is_there && places[i].need == TLS && strcmp(places[i].option, "sslcert") == 0)
			list->has[TLS_CERTIFICATE] = true;
		else if (is_there && places[i].need == TLS)
			list->has[TLS_ROOT] = true;
	}
}

/* The cache of tickets, as the Kerberos library names it; which principal is in it changes with
 * kinit. One that is not there is not asked for at each checkout.
 * @return false: it is no file, and nobody can tell whether it is what it was */
static bool add_tickets(struct list *list)
{
	const char *name = getenv("KRB5CCNAME");
	size_t length = list->length;
	char usual[40];

	if (!name || !*name) {
		snprintf(usual, sizeof(usual), "/tmp/krb5cc_%u", getuid());
		name = usual;
	} else if (strncmp(name, "FILE:", 5) == 0) {
		name += 5;
	} else if (*name != '/' && strchr(name, ':')) {
		return false;
	}
	if (!add(list, "", name))
		list->length = length;
	return true;
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

static void put(char **end, const char *path)
{
	*end = stpcpy(*end, path) + 1;
}

/* @return false without memory */
static bool keep(struct tine_files *files, const struct list *list)
{
	size_t room = list->length + 1;
	char *there = calloc(2, room), *missing;

	if (!there)
		return false;
	missing = there + room;
	*files = (struct tine_files){ .paths = there, .missing = missing };
	for (const char *path = list->text; path < list->text + list->length;
	     path += strlen(path) + 1)
		put(exists(path) ? &there : &missing, path);
	files->identity = identify_all(files->paths);
	return true;
}

bool tine_files_note(struct tine_files *ret, const PQconninfoOption *options, bool has_service,
		     bool has_ticket)
{
	struct list list = { .length = 0 };
	const char *mode = tine_files_option(options, "sslmode");
	char homes[2 * PATH_MAX], *parts[2];

	find_homes(homes, sizeof(homes));
	parts[0] = homes;
	parts[1] = strchr(homes, '\n');
	if (!parts[1])
		return false;
	*parts[1]++ = '\0';
	list.has[PASSWORD] = !tine_files_option(options, "password");
	list.has[TLS] = may_be_tcp(options) && (!mode || strcmp(mode, "disable") != 0);
	list.has[SERVICE] = has_service;
	add_places(&list, options, parts);
	if (has_ticket && !add_tickets(&list) && !list.has[TLS_CERTIFICATE])
		return false;
	return !list.is_full && keep(ret, &list);
}

bool tine_files_are_same(struct tine_files *files, int64_t tick_ns)
{
	if (identify_all(files->paths) != files->identity)
		return false;
	if (files->looked_ns == tick_ns)
		return true;
	files->looked_ns = tick_ns;
	for (const char *path = files->missing; path && *path; path += strlen(path) + 1)
		if (exists(path))
			return false;
	return true;
}

void tine_files_free(struct tine_files *files)
{
	free(files->paths);
	files->paths = NULL;
	files->missing = NULL;
}
