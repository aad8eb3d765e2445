/* SPDX-License-Identifier: PostgreSQL */
#include "form.h"
#include "job.h"
#include "limit.h"

#include "support/check.h"

static struct arena arena;
static struct form form;

static void add(const char *name, const char *data, uint64_t offset)
{
	form_add(&form, &arena, name, NULL, NULL, data, offset, strlen(data));
}

static void add_file(const char *name, const char *data, uint64_t offset)
{
	form_add(&form, &arena, "file", name, "text/plain", data, offset, strlen(data));
}

TEST(fields_come_in_pieces)
{
	form_init(&form);
	add("a", "one", 0);
	add("a", "two", 3);
	add("b", "", 0);
	CHECK_STR(fields_find(&form.fields, "a"), "onetwo");
	CHECK_STR(fields_find(&form.fields, "b"), "");
	CHECK_STR(fields_find(&form.fields, "c"), "");
	add("a", "new", 0);
	CHECK_STR(fields_find(&form.fields, "a"), "new");
	add("a-name-that-is-longer-than-any-of-ours-here", "x", 0);
	CHECK_INT(form.fields.count, ==, 3);
	form_free(&form);
}

TEST(there_is_an_end_to_fields)
{
	char large[FIELDS_BYTES];

	memset(large, 'x', sizeof(large));
	form_init(&form);
	form_add(&form, &arena, "a", NULL, NULL, large, 0, sizeof(large));
	CHECK(!form.too_large);
	add("b", "x", 0);
	CHECK(form.too_large);
	form_free(&form);
	for (int i = 0; i < FIELDS_MAX; i++)
		add("a", "", 0);
	CHECK(!form.too_large);
	add("a", "", 0);
	CHECK(form.too_large);
	form_free(&form);
}

TEST(a_file_goes_where_nobody_says)
{
	char back[16] = "";

	form_init(&form);
	form.wants_upload = true;
	form.limit_bytes = 6;
	add_file("../../x\r\ny", "abc", 0);
	add_file("../../x\r\ny", "def", 3);
	CHECK_STR(form.upload.name, "xy");
	CHECK_INT(form.upload.size_bytes, ==, 6);
	CHECK_INT(pread(form.upload.fd, back, sizeof(back), 0), ==, 6);
	CHECK_STR(back, "abcdef");
	add_file("x", "g", 6);
	CHECK(form.upload.too_large && form.upload.fd == -1);
	form_free(&form);
	CHECK_INT(form.upload.fd, ==, -1);
	arena_free(&arena);
}

TEST(of_two_files_the_first_is_kept_as_it_is)
{
	form_init(&form);
	form.wants_upload = true;
	form.limit_bytes = 100;
	add_file("one", "abc", 0);
	add_file("two", "xyz", 0);
	add_file("two", "xyz", 3);
	CHECK_STR(form.upload.name, "one");
	CHECK_INT(form.upload.size_bytes, ==, 3);
	form_free(&form);
	arena_free(&arena);
}

TEST(a_file_that_nobody_wants_is_dropped)
{
	form_init(&form);
	add_file("x", "abc", 0);
	form.wants_upload = true;
	add_file("", "abc", 0);
	form_add(&form, &arena, "other", "x", NULL, "abc", 0, 3);
	CHECK(!form.upload.given && form.fields.count == 0);
	form_free(&form);
}

static const char *read_job(const char *text)
{
	static char error[JOB_ERROR_BYTES];
	struct job job;

	strcpy(error, "good");
	job_read(&job, text, strlen(text), error);
	job_free(&job);
	return error;
}

TEST(jobs_are_judged_before_they_are_stored)
{
	CHECK_STR(read_job("{\"key\":\"k\",\"kind\":\"lot\",\"payload\":"
			   "{\"number\":\"24-1\",\"title\":\"x\"}}"),
		  "good");
	CHECK_STR(read_job("{\"key\":\"k\",\"kind\":\"note\",\"payload\":"
			   "{\"lot\":\"24-1\",\"text\":\"x\"}}"),
		  "good");
	CHECK_CONTAINS(read_job(""), "JSON");
	CHECK_CONTAINS(read_job("[1]"), "JSON");
	CHECK_CONTAINS(read_job("{\"key\":\"k\",\"key\":\"l\"}"), "JSON");
	CHECK_CONTAINS(read_job("{}"), "key");
	CHECK_CONTAINS(read_job("{\"key\":17}"), "key");
	CHECK_CONTAINS(read_job("{\"key\":\"k\",\"kind\":\"x\"}"), "kind");
	CHECK_CONTAINS(read_job("{\"key\":\"k\",\"kind\":\"lot\"}"), "number");
	CHECK_CONTAINS(read_job("{\"key\":\"k\",\"kind\":\"note\",\"payload\":[]}"), "text");
}

TEST(a_minute_has_its_count)
{
	struct limits limits;

	CHECK_INT(limits_make(&limits), ==, 0);
	for (int i = 1; i <= 70000; i += 1)
		CHECK_INT(limits_count(&limits, LIMIT_SCANNER, "a", 60), ==, i < 65535 ? i : 65535);
	CHECK_INT(limits_count(&limits, LIMIT_SCANNER, "a", 119), ==, 65535);
	CHECK_INT(limits_count(&limits, LIMIT_SCANNER, "b", 60), ==, 1);
	CHECK_INT(limits_count(&limits, LIMIT_LOGIN_NAME, "a", 60), ==, 1);
	CHECK_INT(limits_count(&limits, LIMIT_SCANNER, "a", 120), ==, 1);
	CHECK_INT(limits_count(&limits, LIMIT_SCANNER, "a", 120), ==, 2);
}

TEST(what_was_counted_is_taken_back)
{
	struct limits limits;

	CHECK_INT(limits_make(&limits), ==, 0);
	limits_take_back(&limits, LIMIT_SCANNER, "a", 60);
	CHECK_INT(limits_count(&limits, LIMIT_SCANNER, "a", 60), ==, 1);
	CHECK_INT(limits_count(&limits, LIMIT_SCANNER, "a", 60), ==, 2);
	limits_take_back(&limits, LIMIT_SCANNER, "a", 60);
	CHECK_INT(limits_count(&limits, LIMIT_SCANNER, "a", 60), ==, 2);
	/* that minute is over */
	limits_take_back(&limits, LIMIT_SCANNER, "a", 120);
	CHECK_INT(limits_count(&limits, LIMIT_SCANNER, "a", 60), ==, 3);
}

TEST(the_count_is_that_of_all_processes)
{
	struct limits limits;

	CHECK_INT(limits_make(&limits), ==, 0);
	for (int i = 0; i < 4; i++)
		if (fork() == 0) {
			for (int n = 0; n < 1000; n++)
				limits_count(&limits, LIMIT_SCANNER, "a", 60);
			_exit(0);
		}
	while (wait(NULL) > 0)
		;
	CHECK_INT(limits_count(&limits, LIMIT_SCANNER, "a", 60), ==, 4001);
}

CHECK_TABLE(T(fields_come_in_pieces), T(there_is_an_end_to_fields),
	    T(a_file_goes_where_nobody_says), T(of_two_files_the_first_is_kept_as_it_is),
	    T(a_file_that_nobody_wants_is_dropped), T(jobs_are_judged_before_they_are_stored),
	    T(a_minute_has_its_count), T(what_was_counted_is_taken_back),
	    T(the_count_is_that_of_all_processes))
