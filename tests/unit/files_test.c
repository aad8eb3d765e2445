/* SPDX-License-Identifier: PostgreSQL */
/* Which files decided about a login: here about Kerberos tickets. The others: key_test.c. */
#include "preload/libpq/files.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/check.h"

static char host[] = "host", sslcert[] = "sslcert";
static char over_tcp[] = "db.example", certificate[] = "/dev/null";
static PQconninfoOption tcp[] = { { .keyword = host, .val = over_tcp }, { 0 } };
static PQconninfoOption with_certificate[] = { { .keyword = host, .val = over_tcp },
					       { .keyword = sslcert, .val = certificate },
					       { 0 } };

static bool has(const struct tine_files *files, const char *path)
{
	for (const char *at = files->paths; *at; at += strlen(at) + 1)
		if (strcmp(at, path) == 0)
			return true;
	return false;
}

static const char *make_cache(void)
{
	static char path[] = "/tmp/tine-files-XXXXXX";
	int fd = mkstemp(path);

	CHECK(fd >= 0);
	close(fd);
	return path;
}

static void check_noted(const char *name, const char *path)
{
	struct tine_files files;

	setenv("KRB5CCNAME", name, 1);
	CHECK(tine_files_note(&files, tcp, false, true));
	CHECK(has(&files, path));
	CHECK(tine_files_are_same(&files, 1));
	CHECK_INT(truncate(path, 7), ==, 0);
	CHECK(!tine_files_are_same(&files, 2));
	CHECK_INT(truncate(path, 0), ==, 0);
	tine_files_free(&files);
	CHECK(tine_files_note(&files, tcp, false, false));
	CHECK(!has(&files, path));
	tine_files_free(&files);
}

TEST(cache_of_tickets)
{
	const char *path = make_cache();
	char name[60];

	check_noted(path, path);
	snprintf(name, sizeof(name), "FILE:%s", path);
	check_noted(name, path);
	unlink(path);
}

#define NOBODY_ELSE 64321

TEST(usual_cache_of_tickets)
{
	char path[40];
	struct tine_files files;
	int fd;

	/* An empty cache is in the way of every login of that user; libkrb5 1.20 even ends. */
	if (getuid() != 0 || setuid(NOBODY_ELSE) < 0)
		SKIP("needs to be another user");
	snprintf(path, sizeof(path), "/tmp/krb5cc_%u", getuid());
	fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);
	if (fd < 0)
		SKIP("somebody has tickets here");
	close(fd);
	unsetenv("KRB5CCNAME");
	CHECK(tine_files_note(&files, tcp, false, true));
	CHECK(has(&files, path));
	tine_files_free(&files);
	CHECK_INT(unlink(path), ==, 0);
	CHECK(tine_files_note(&files, tcp, false, true));
	CHECK(!has(&files, path));
	tine_files_free(&files);
}

TEST(tickets_that_are_in_no_file)
{
	static const char *const names[] = { "KEYRING:persistent:0", "KCM:", "DIR:/tmp/dir",
					     "API:x", "MEMORY:y" };
	struct tine_files files;

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		setenv("KRB5CCNAME", names[i], 1);
		CHECK(!tine_files_note(&files, tcp, false, true));
		CHECK(tine_files_note(&files, tcp, false, false));
		tine_files_free(&files);
		CHECK(tine_files_note(&files, with_certificate, false, true));
		tine_files_free(&files);
	}
}

CHECK_TABLE(T(cache_of_tickets), T(usual_cache_of_tickets), T(tickets_that_are_in_no_file))
