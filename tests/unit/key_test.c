/* SPDX-License-Identifier: PostgreSQL */
/* Which logins are the same, and which are not. */
#include "preload/libpq/key.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "preload/libpq/files.h"
#include "support/check.h"

#define MAX 8

struct arguments {
	const char *keywords[MAX], *values[MAX];
};

static struct tine_key key_of(const char *const *pairs, int expand)
{
	struct arguments arguments = { 0 };
	struct tine_login login = { .keywords = arguments.keywords,
				    .values = arguments.values,
				    .expand_dbname = expand };
	struct tine_key key;

	for (int i = 0; pairs[2 * i]; i++) {
		arguments.keywords[i] = pairs[2 * i];
		arguments.values[i] = pairs[2 * i + 1];
	}
	CHECK(tine_key_make(&key, &login));
	return key;
}

#define KEY(...) key_of((const char *const[]){ __VA_ARGS__, NULL }, 1)

static struct tine_key key_of_conninfo(const char *conninfo)
{
	struct tine_login login = { .conninfo = conninfo };
	struct tine_key key;

	CHECK(tine_key_make(&key, &login));
	return key;
}

static bool is_same(struct tine_key a, struct tine_key b)
{
	return tine_key_is(&a, &b);
}

TEST(same_arguments_are_the_same)
{
	CHECK(is_same(KEY("host", "a", "user", "b"), KEY("host", "a", "user", "b")));
	CHECK(is_same(key_of_conninfo("host=a"), key_of_conninfo("host=a")));
}

TEST(everything_tells_apart)
{
	struct tine_key key = KEY("host", "a", "user", "b", "password", "c");

	CHECK(!is_same(key, KEY("host", "a", "user", "b", "password", "d")));
	CHECK(!is_same(key, KEY("host", "a", "user", "b", "password", NULL)));
	CHECK(!is_same(key, KEY("host", "a", "user", "b", "password", "")));
	CHECK(!is_same(key, KEY("host", "a", "user", "b")));
	CHECK(!is_same(key, KEY("user", "b", "host", "a", "password", "c")));
	CHECK(!is_same(KEY("host", "ab", "user", "c"), KEY("host", "a", "user", "bc")));
	CHECK(!is_same(KEY("host", ""), KEY("host", NULL)));
	CHECK(!is_same(key_of_conninfo("host=a"), key_of_conninfo("host='a'")));
	CHECK(!is_same(key_of_conninfo(""), KEY("host", NULL)));
}

/* More than is hashed at once. */
TEST(long_ones_are_told_apart)
{
	char text[2001];

	memset(text, 'a', 2000);
	text[2000] = '\0';
	for (size_t length = 440; length < 2000; length += 13) {
		struct tine_key key;

		text[length] = '\0';
		key = key_of_conninfo(text);
		CHECK(is_same(key, key_of_conninfo(text)));
		text[length - 1] = 'b';
		CHECK(!is_same(key, key_of_conninfo(text)));
		text[length - 1] = 'a';
		text[0] = 'b';
		CHECK(!is_same(key, key_of_conninfo(text)));
		text[0] = 'a';
		text[length] = 'a';
		CHECK(!is_same(key, key_of_conninfo(text)));
	}
}

TEST(expansion_and_copy_tell_apart)
{
	const char *const pairs[] = { "dbname", "x", NULL };
	struct tine_login login = { .conninfo = "host=a" };
	struct tine_key one, other;

	CHECK(!is_same(key_of(pairs, 0), key_of(pairs, 1)));
	CHECK(tine_key_make(&one, &login));
	login.copy = 1;
	CHECK(tine_key_make(&other, &login));
	CHECK(!tine_key_is(&one, &other));
}

TEST(environment_tells_apart)
{
	struct tine_key key = key_of_conninfo("host=a");

	setenv("TINE_TEST_OTHER", "x", 1);
	CHECK(is_same(key, key_of_conninfo("host=a")));
	setenv("PGPASSWORD", "x", 1);
	CHECK(!is_same(key, key_of_conninfo("host=a")));
	unsetenv("PGPASSWORD");
	CHECK(is_same(key, key_of_conninfo("host=a")));
}

TEST(user_tells_apart)
{
	struct tine_key key = key_of_conninfo("host=a");

	if (geteuid() != 0)
		SKIP("not root");
	CHECK_INT(seteuid(65534), ==, 0);
	CHECK(!is_same(key, key_of_conninfo("host=a")));
}

TEST(name_of_the_application_does_not_tell_apart)
{
	CHECK(is_same(KEY("host", "a", "application_name", "x"), KEY("host", "a")));
	CHECK(is_same(KEY("host", "a", "fallback_application_name", "x"), KEY("host", "a")));
	/* Where it cannot be told which of two names wins, it does. */
	CHECK(!is_same(KEY("dbname", "host=a", "application_name", "x"), KEY("dbname", "host=a")));
	CHECK(!is_same(key_of_conninfo("application_name=x"), key_of_conninfo("")));
}

static const char *application(const char *keyword, const char *value, const char *other_keyword,
			       const char *other_value)
{
	const char *const keywords[] = { keyword, other_keyword, NULL };
	const char *const values[] = { value, other_value, NULL };
	struct tine_login login = { .keywords = keywords, .values = values, .expand_dbname = 1 };
	struct tine_key key;

	CHECK(tine_key_make(&key, &login));
	return tine_key_application(&login);
}

TEST(name_of_the_application)
{
	CHECK_STR(application("application_name", "a", "fallback_application_name", "b"), "a");
	CHECK_STR(application("fallback_application_name", "b", "application_name", "a"), "a");
	CHECK_STR(application("application_name", "", "fallback_application_name", "b"), "b");
	CHECK_STR(application("host", "b", "dbname", "x"), "");
	CHECK(!application("application_name", "a", "dbname", "postgres:///"));
	setenv("PGAPPNAME", "env", 1);
	CHECK_STR(application("host", "b", "fallback_application_name", "x"), "env");
}

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	CHECK(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

static int count_missing(const struct tine_files *files, const char *start)
{
	int count = 0;

	for (const char *path = files->missing; *path; path += strlen(path) + 1)
		count += strncmp(path, start, strlen(start)) == 0;
	return count;
}

TEST(files_that_decide)
{
	char directory[] = "/tmp/tine-key-XXXXXX", path[128], other[128];
	struct tine_files files;
	PQconninfoOption options[] = { { .keyword = (char *)"sslrootcert", .val = path }, { 0 } };

	CHECK(mkdtemp(directory));
	setenv("HOME", directory, 1);
	snprintf(path, sizeof(path), "%s/ca", directory);
	write_file(path, "1");
	CHECK(tine_files_note(&files, options, false, false));
	CHECK(tine_files_are_same(&files, 1));
	write_file(path, "22");
	CHECK(!tine_files_are_same(&files, 2));
	tine_files_free(&files);
	CHECK(tine_files_note(&files, options, false, false));
	snprintf(other, sizeof(other), "%s/.pgpass", directory);
	write_file(other, "x");
	CHECK(!tine_files_are_same(&files, 3));
	CHECK_INT(unlink(other), ==, 0);
	CHECK(tine_files_are_same(&files, 4));
	/* in the same tick what is there is looked at, and what is missing is not */
	write_file(other, "x");
	CHECK(tine_files_are_same(&files, 4));
	write_file(path, "333");
	CHECK(!tine_files_are_same(&files, 4));
	write_file(path, "22");
	CHECK_INT(unlink(other), ==, 0);
	tine_files_free(&files);
	CHECK(tine_files_note(&files, options, false, false));
	/* where libpq's directory is missing it stands for all that could be in it */
	snprintf(other, sizeof(other), "%s/.postgresql", directory);
	CHECK_INT(count_missing(&files, other), ==, 1);
	CHECK_INT(mkdir(other, 0700), ==, 0);
	CHECK(!tine_files_are_same(&files, 5));
	CHECK_INT(rmdir(other), ==, 0);
	CHECK(tine_files_are_same(&files, 6));
	tine_files_free(&files);
	/* A name that is relative is another one elsewhere. */
	CHECK_INT(chdir(directory), ==, 0);
	strcpy(path, "ca");
	CHECK(tine_files_note(&files, options, false, false));
	CHECK(tine_files_are_same(&files, 7));
	CHECK_INT(chdir("/"), ==, 0);
	CHECK(!tine_files_are_same(&files, 8));
	tine_files_free(&files);
	snprintf(path, sizeof(path), "%s/ca", directory);
	CHECK_INT(unlink(path), ==, 0);
	CHECK_INT(rmdir(directory), ==, 0);
}

CHECK_TABLE(T(same_arguments_are_the_same), T(everything_tells_apart), T(long_ones_are_told_apart),
	    T(expansion_and_copy_tell_apart), T(environment_tells_apart), T(user_tells_apart),
	    T(name_of_the_application_does_not_tell_apart), T(name_of_the_application),
	    T(files_that_decide))
