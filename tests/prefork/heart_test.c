/* SPDX-License-Identifier: PostgreSQL */
#include "prefork/heart.h"

#include "support/check.h"

#define UNITS 3

static struct tine_heart *heart;

TEST(an_empty_heart_has_nothing_under_way)
{
	heart = tine_heart_new(UNITS);
	CHECK(heart != NULL);
	CHECK(!tine_heart_longest(heart, UNITS));
	for (int i = 0; i < UNITS; i++)
		CHECK(!tine_watch_is_late(&heart->watches[i], INT64_MAX));
	tine_heart_free(heart, UNITS);
	tine_heart_free(NULL, UNITS);
}

TEST(late_is_at_the_deadline_and_while_it_lasts)
{
	struct tine_watch *watch;

	heart = tine_heart_new(UNITS);
	watch = &heart->watches[1];
	tine_watch_begin(watch, "GET /", 100, 200);
	CHECK(!tine_watch_is_late(watch, 199));
	CHECK(tine_watch_is_late(watch, 200));
	tine_watch_extend(watch, 300);
	CHECK(!tine_watch_is_late(watch, 299));
	tine_watch_extend(watch, 0);
	CHECK(!tine_watch_is_late(watch, INT64_MAX));
	tine_watch_extend(watch, 1);
	tine_watch_end(watch);
	CHECK(!tine_watch_is_late(watch, INT64_MAX));
	tine_heart_free(heart, UNITS);
}

TEST(each_deadline_has_a_serial_of_its_own)
{
	struct tine_watch *watch;
	uint32_t first;

	heart = tine_heart_new(UNITS);
	watch = &heart->watches[0];
	tine_watch_begin(watch, "a", 1, 2);
	first = watch->serial;
	tine_watch_extend(watch, 3);
	CHECK_INT(watch->serial, !=, first);
	first = watch->serial;
	tine_watch_end(watch);
	tine_watch_begin(watch, "b", 4, 5);
	CHECK_INT(watch->serial, !=, first);
	tine_heart_free(heart, UNITS);
}

TEST(the_longest_is_the_one_that_began_first)
{
	char name[TINE_UNIT_NAME_BYTES];

	heart = tine_heart_new(UNITS);
	tine_watch_begin(&heart->watches[0], "second", 20, 0);
	tine_watch_begin(&heart->watches[2], "first", 10, 0);
	tine_watch_name(tine_heart_longest(heart, UNITS), name);
	CHECK_STR(name, "first");
	CHECK_INT(tine_watch_time_us(&heart->watches[2], 10 + 5000), ==, 5);
	CHECK_INT(tine_watch_time_us(&heart->watches[2], 9), ==, 0);
	CHECK_INT(tine_watch_time_us(&heart->watches[1], 9), ==, 0);
	tine_heart_free(heart, UNITS);
}

TEST(names_are_cut_and_always_end)
{
	char name[TINE_UNIT_NAME_BYTES], longer[100];

	heart = tine_heart_new(UNITS);
	memset(longer, 'x', sizeof(longer));
	longer[99] = '\0';
	tine_watch_begin(&heart->watches[0], longer, 1, 0);
	tine_watch_name(&heart->watches[0], name);
	CHECK_INT(strlen(name), ==, TINE_UNIT_NAME_BYTES - 1);
	/* a worker that was killed, or is hostile, may leave anything */
	memset(heart, 0xff, tine_heart_bytes(UNITS));
	tine_watch_name(&heart->watches[0], name);
	CHECK_INT(strlen(name), ==, TINE_UNIT_NAME_BYTES - 1);
	CHECK_INT(tine_watch_time_us(&heart->watches[0], 9), ==, 0);
	CHECK(tine_heart_longest(heart, UNITS) != NULL);
	tine_heart_free(heart, UNITS);
}

TEST(what_a_child_writes_is_seen_and_stays_when_it_is_killed)
{
	char name[TINE_UNIT_NAME_BYTES];
	int status;
	pid_t pid;

	heart = tine_heart_new(UNITS);
	pid = fork();
	if (pid == 0) {
		tine_watch_begin(&heart->watches[0], "its last", 1, 2);
		abort();
	}
	waitpid(pid, &status, 0);
	tine_watch_name(tine_heart_longest(heart, UNITS), name);
	CHECK_STR(name, "its last");
	tine_heart_free(heart, UNITS);
}

CHECK_TABLE(T(an_empty_heart_has_nothing_under_way), T(late_is_at_the_deadline_and_while_it_lasts),
	    T(each_deadline_has_a_serial_of_its_own), T(the_longest_is_the_one_that_began_first),
	    T(names_are_cut_and_always_end),
	    T(what_a_child_writes_is_seen_and_stays_when_it_is_killed))
