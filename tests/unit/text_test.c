/* SPDX-License-Identifier: PostgreSQL */
#include "base/text.h"

#include <limits.h>

#include "support/check.h"

TEST(builds_a_line)
{
	char buf[64];
	struct tine_text text;

	tine_text_init(&text, buf, sizeof(buf));
	tine_text_add(&text, "severed ");
	tine_text_add_number(&text, 0);
	tine_text_add(&text, " of ");
	tine_text_add_number(&text, UINT64_MAX);
	CHECK_STR(buf, "severed 0 of 18446744073709551615");
	CHECK_INT(text.length, ==, strlen(buf));
	CHECK(!text.cut);
}

TEST(makes_foreign_bytes_harmless)
{
	static const char evil[] = "a\nb\x1b[31mc\x7f\xc3\xa4\0d";
	char buf[64];
	struct tine_text text;

	tine_text_init(&text, buf, sizeof(buf));
	tine_text_add_foreign(&text, evil, sizeof(evil) - 1);
	CHECK_STR(buf, "a?b?[31mc????d");
}

TEST(cuts_what_does_not_fit_and_says_so)
{
	char buf[12] = "xxxxxxxxxxx";
	struct tine_text text;

	tine_text_init(&text, buf, 10);
	tine_text_add(&text, "0123456789abcdef");
	tine_text_add(&text, "more");
	CHECK_STR(buf, "012345...");
	CHECK(text.cut);
	CHECK_INT(buf[10], ==, 'x');
}

CHECK_TABLE(T(builds_a_line), T(makes_foreign_bytes_harmless),
	    T(cuts_what_does_not_fit_and_says_so))
