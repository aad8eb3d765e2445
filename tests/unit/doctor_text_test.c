/* SPDX-License-Identifier: PostgreSQL */
/*
 * The doctor's report, what it takes out of texts, which framework it sees in a command line, and
 * the versions of libraries.
 */
#include <fcntl.h>
#include <libpq-fe.h>
#include <sys/stat.h>

#include <jansson.h>

#include "doctor/advice.h"
#include "doctor/doctor.h"
#include "doctor/flaw.h"
#include "doctor/library.h"
#include "doctor/report.h"
#include "support/check.h"

/* ---- passwords ------------------------------------------------------------------------------ */

static void check_redacted(const char *text, const char *expected)
{
	char copy[512];

	snprintf(copy, sizeof(copy), "%s", text);
	CHECK_STR(tine_doctor_redact(copy), expected);
}

TEST(passwords_are_taken_out)
{
	check_redacted("postgresql://u:geheim@h/d", "postgresql://u:***@h/d");
	check_redacted("a postgres://u:p@ss@h:1/d b redis://:x@h", "a postgres://u:***@h:1/d b "
								   "redis://:*@h");
	check_redacted("postgresql+psycopg2://u:ab@h", "postgresql+psycopg2://u:**@h");
	check_redacted("host=h password=geheim user=u", "host=h password=*** user=u");
	check_redacted("password = 'two words' x", "password = '***' x");
	check_redacted("PGPASSWORD=geheim app", "PGPASSWORD=*** app");
	check_redacted("--db-password geheim --x", "--db-password *** --x");
	check_redacted("\"password\": \"geheim\", \"a\": 1", "\"password\": \"***\", \"a\": 1");
	check_redacted("?user=u&password=geheim&x=1", "?user=u&password=***&x=1");
	check_redacted("SECRET_KEY=geheim", "SECRET_KEY=***");
	check_redacted("a\x1f--password\x1fgeheim\x1f-b", "a\x1f--password\x1f***\x1f-b");
	check_redacted("password='open\x1fnext", "password='***\x1fnext");
}

TEST(other_texts_stay)
{
	check_redacted("", "");
	check_redacted("gunicorn --preload -w 4 app:app", "gunicorn --preload -w 4 app:app");
	check_redacted("http://h:80/p?q=a@b:c", "http://h:80/p?q=a@b:c");
	check_redacted("postgresql://u@h/d", "postgresql://u@h/d");
	check_redacted("passwordless", "passwordless");
	check_redacted("password=", "password=");
	check_redacted("://", "://");
}

/* ---- the report ----------------------------------------------------------------------------- */

static char *printed(const struct tine_report *report, bool json)
{
	char *text = NULL;
	size_t size;
	FILE *out = fopen("/dev/null", "w"), *file = tmpfile();

	fclose(out);
	CHECK(file);
	if (json)
		tine_report_print_json(report, file);
	else
		tine_report_print(report, file);
	size = (size_t)ftell(file);
	rewind(file);
	text = calloc(1, size + 1);
	CHECK_INT(fread(text, 1, size, file), ==, size);
	fclose(file);
	return text;
}

TEST(a_report_has_the_worst_first)
{
	struct tine_report *report = tine_report_new();
	struct tine_finding *finding;
	char *text;

	CHECK_INT(tine_report_grade(report), ==, TINE_GRADE_OK);
	tine_report_add(report, "library-copies", "here", "note");
	finding = tine_report_add(report, "shared-connection", "there", "seen %d", 3);
	tine_finding_set_change(finding, "do %s", "that");
	tine_finding_add_line(finding, "tine run -- %s", "x");
	tine_finding_add_detail(finding, "detail");
	tine_report_add(report, "threads-at-fork", "between", "warning");
	CHECK_INT(tine_report_grade(report), ==, TINE_GRADE_HAZARD);
	text = printed(report, false);
	CHECK(strstr(text, "hazard") < strstr(text, "warning") &&
	      strstr(text, "warning") < strstr(text, "note "));
	CHECK_CONTAINS(text, "  seen   seen 3\n           detail\n  why    The children");
	CHECK_CONTAINS(text, "  change do that\n             tine run -- x\n");
	CHECK_CONTAINS(text, "1 hazard, 1 warning, 1 note\n");
	free(text);
	tine_report_free(report);
}

TEST(nothing_found_is_said)
{
	struct tine_report *report = tine_report_new();
	char *text;

	tine_report_summarize(report, "%d processes", 3);
	text = printed(report, false);
	CHECK_STR(text, "3 processes\n\nok: nothing found\n");
	free(text);
	tine_report_free(report);
}

TEST(json_has_the_same_content)
{
	struct tine_report *report = tine_report_new();
	struct tine_finding *finding =
		tine_report_add(report, "budget-near", "w\x1b[1m", "s\n%s", "\xff\xc3");
	json_t *root, *row;
	char *text;

	json_object_set_new(tine_finding_data(finding), "n", tine_report_string("\xffz\t"));
	json_object_set_new(tine_report_facts(report, "live"), "k", tine_report_string(NULL));
	text = printed(report, true);
	root = json_loads(text, 0, NULL);
	CHECK(root);
	row = json_array_get(json_object_get(root, "findings"), 0);
	CHECK_STR(json_string_value(json_object_get(row, "where")), "w?[1m");
	CHECK_STR(json_string_value(json_object_get(row, "seen")), "s???");
	CHECK_STR(json_string_value(json_object_get(row, "examination")), "live");
	CHECK_STR(json_string_value(json_object_get(json_object_get(row, "data"), "n")), "?z?");
	CHECK(json_is_null(json_object_get(json_object_get(root, "live"), "k")));
	CHECK_STR(json_string_value(json_object_get(root, "grade")), "warning");
	json_decref(root);
	free(text);
	tine_report_free(report);
}

/* ---- frameworks ----------------------------------------------------------------------------- */

TEST(frameworks_are_seen_in_command_lines)
{
	static const char script[] = "/usr/bin/python3\0/usr/bin/gunicorn\0--preload\0app";
	static const char module[] = "python3\0-m\0celery\0worker";
	static const char title[] = "gunicorn: master [app:app]\0\0\0";
	static const char daemon[] = "[celeryd: celery@host:MainProcess] -active- (worker)";
	static const char other[] = "python3\0gunicorn_like.py\0celery.log";

	CHECK_INT(tine_advice_framework(script, sizeof(script)), ==, TINE_FRAMEWORK_GUNICORN);
	CHECK_INT(tine_advice_framework(module, sizeof(module)), ==, TINE_FRAMEWORK_CELERY);
	CHECK_INT(tine_advice_framework(title, sizeof(title)), ==, TINE_FRAMEWORK_GUNICORN);
	CHECK_INT(tine_advice_framework(daemon, sizeof(daemon)), ==, TINE_FRAMEWORK_CELERY);
	CHECK_INT(tine_advice_framework("uwsgi", 6), ==, TINE_FRAMEWORK_UWSGI);
	CHECK_INT(tine_advice_framework(other, sizeof(other)), ==, TINE_FRAMEWORK_NONE);
	CHECK_INT(tine_advice_framework("", 0), ==, TINE_FRAMEWORK_NONE);
}

/* ---- versions ------------------------------------------------------------------------------- */

/* The file of a library that this program has loaded. */
static char *own_library(const char *name, size_t *ret_size)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[4096], *path = NULL, *bytes;
	struct stat st;
	int fd;

	while (!path && fgets(line, sizeof(line), maps))
		if (strstr(line, name))
			path = strchr(line, '/');
	CHECK(path);
	path[strcspn(path, "\n")] = '\0';
	fd = open(path, O_RDONLY);
	CHECK(fd >= 0 && fstat(fd, &st) == 0);
	bytes = malloc((size_t)st.st_size);
	CHECK_INT(read(fd, bytes, (size_t)st.st_size), ==, st.st_size);
	*ret_size = (size_t)st.st_size;
	close(fd);
	fclose(maps);
	return bytes;
}

TEST(libpq_tells_its_version)
{
	size_t size;
	char *bytes = own_library("/libpq.so", &size);

	CHECK_INT(tine_library_libpq_version(bytes, size), ==, PQlibVersion());
	free(bytes);
}

/* Cut off anywhere, or with any byte of its headers changed: no answer or a plausible one. */
TEST(a_damaged_library_does_no_harm)
{
	size_t size;
	char *bytes = own_library("/libpq.so", &size);

	for (size_t length = 0; length < size; length += length < 512 ? 1 : 997) {
		char *part = malloc(length + 1);

		memcpy(part, bytes, length);
		tine_library_libpq_version(part, length);
		free(part);
	}
	for (size_t at = 0; at < 64 + 56 * 12; at++)
		for (int value = 0; value < 256; value += 51) {
			char before = bytes[at];
			int version;

			bytes[at] = (char)value;
			version = tine_library_libpq_version(bytes, size);
			CHECK(version == 0 || (version >= 80000 && version < 1000000));
			bytes[at] = before;
		}
	free(bytes);
}

static void check_openssl(const char *text, int number, const char *version)
{
	char found[32] = "";

	CHECK_INT(tine_library_openssl_version(text, strlen(text), found, sizeof(found)), ==,
		  number);
	CHECK_STR(found, version);
}

TEST(openssl_tells_its_version)
{
	check_openssl("x OpenSSL 3.0.17 1 Jul 2025", TINE_OPENSSL(3, 0, 17, 0), "3.0.17");
	check_openssl("OpenSSL is OpenSSL 1.1.1n  15 Mar 2022", TINE_OPENSSL(1, 1, 1, 14),
		      "1.1.1n");
	check_openssl("OpenSSL 1.0.2za 24 Aug 2021", TINE_OPENSSL(1, 0, 2, 27), "1.0.2za");
	check_openssl("OpenSSL 3.0.17", 0, "");
	check_openssl("OpenSSL 3", 0, "");
	check_openssl("OpenSSL ", 0, "");
	check_openssl("", 0, "");
}

static int count_flaws(enum tine_library_kind kind, int version)
{
	unsigned from = 0;
	int count = 0;

	while (tine_flaw_next(kind, version, &from))
		count++;
	return count;
}

TEST(flaws_end_with_the_version_that_mends_them)
{
	CHECK_INT(count_flaws(TINE_LIBRARY_LIBPQ, 150020), ==, 0);
	CHECK_INT(count_flaws(TINE_LIBRARY_LIBPQ, 150018), ==, 0);
	CHECK_INT(count_flaws(TINE_LIBRARY_LIBPQ, 150017), ==, 1);
	CHECK_INT(count_flaws(TINE_LIBRARY_LIBPQ, 150008), ==, 4);
	CHECK_INT(count_flaws(TINE_LIBRARY_LIBPQ, 140000), ==, 5);
	CHECK_INT(count_flaws(TINE_LIBRARY_LIBPQ, 90600), ==, 5);
	CHECK_INT(count_flaws(TINE_LIBRARY_LIBPQ, 180004), ==, 0);
	CHECK_INT(count_flaws(TINE_LIBRARY_LIBPQ, 0), ==, 0);
	CHECK_INT(count_flaws(TINE_LIBRARY_OPENSSL, TINE_OPENSSL(3, 0, 8, 0)), ==, 0);
	CHECK_INT(count_flaws(TINE_LIBRARY_OPENSSL, TINE_OPENSSL(3, 0, 6, 0)), ==, 2);
	CHECK_INT(count_flaws(TINE_LIBRARY_OPENSSL, TINE_OPENSSL(1, 1, 1, 13)), ==, 2);
	CHECK(tine_flaw_is_unsupported(TINE_LIBRARY_LIBPQ, 130023));
	CHECK(!tine_flaw_is_unsupported(TINE_LIBRARY_LIBPQ, 140000));
	CHECK(!tine_flaw_is_unsupported(TINE_LIBRARY_OPENSSL, 0));
}

CHECK_TABLE(T(passwords_are_taken_out), T(other_texts_stay), T(a_report_has_the_worst_first),
	    T(nothing_found_is_said), T(json_has_the_same_content),
	    T(frameworks_are_seen_in_command_lines), T(libpq_tells_its_version),
	    T(a_damaged_library_does_no_harm), T(openssl_tells_its_version),
	    T(flaws_end_with_the_version_that_mends_them))
