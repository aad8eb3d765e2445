/* SPDX-License-Identifier: PostgreSQL */
#include "text.h"

#include "support/check.h"

static struct arena arena;

TEST(names_of_files)
{
	static const char *const cases[][2] = {
		{ "report.pdf", "report.pdf" },
		{ "../../etc/passwd", "passwd" },
		{ "C:\\Users\\x\\plan.txt", "plan.txt" },
		{ "a\r\nSet-Cookie: x=1", "aSet-Cookie: x=1" },
		{ "", "document" },
		{ "..", "document" },
		{ "x/", "document" },
		{ "bad\xff\xc3name", "badname" },
		{ "\xc2\x85\x7f\x01", "document" },
		{ "Pr\xc3\xbc"
		  "fung.txt",
		  "Pr\xc3\xbc"
		  "fung.txt" },
	};
	char longer[400];

	memset(arena_take(&arena, 4000), 'x', 4000);
	arena_reset(&arena);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		CHECK_STR(text_file_name(&arena, cases[i][0]), cases[i][1]);
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	CHECK_INT(strlen(text_file_name(&arena, longer)), ==, FILE_NAME_BYTES);
	/* never in the middle of a character */
	memcpy(longer + FILE_NAME_BYTES - 1, "\xc3\xbc", 2);
	CHECK_INT(strlen(text_file_name(&arena, longer)), ==, FILE_NAME_BYTES - 1);
	arena_free(&arena);
}

TEST(disposition)
{
	CHECK_STR(text_disposition(&arena, "a \"b\";\r\nX: y"),
		  "attachment; filename=\"a _b____X_ y\"; filename*=UTF-8''"
		  "a%20%22b%22%3B%0D%0AX%3A%20y");
	CHECK_STR(text_disposition(&arena, "\xc3\xbc"),
		  "attachment; filename=\"__\"; filename*=UTF-8''%C3%BC");
	arena_free(&arena);
}

TEST(media_types)
{
	CHECK_STR(text_media_type(&arena, "text/plain; charset=x"), "text/plain");
	CHECK_STR(text_media_type(&arena, "text/\r\nplain"), "application/octet-stream");
	CHECK_STR(text_media_type(&arena, ""), "application/octet-stream");
	CHECK_STR(text_media_type(&arena, "/plain"), "application/octet-stream");
	arena_free(&arena);
}

TEST(sizes)
{
	CHECK_STR(text_size(&arena, 10 << 20), "10 MiB");
	CHECK_STR(text_size(&arena, 100000), "100000 bytes");
	CHECK_STR(text_size(&arena, 0), "0 bytes");
	arena_free(&arena);
}

TEST(places_to_go_on_to)
{
	static const char *const others[] = {
		"",
		"lots",
		"//evil.example",
		"/\\evil.example",
		"https://evil.example",
		"/\t/evil",
		"/a\r\nX: y",
		"/a b",
		"/\xc3\xbc",
		"/\\/evil",
	};

	CHECK_STR(text_next("/lots/2024-0137?x=1"), "/lots/2024-0137?x=1");
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		CHECK_STR(text_next(others[i]), "/");
}

TEST(numbers_of_lots)
{
	static const char *const wrong[] = { "",           "2024",  "2024-",   "2024-1234567",
					     "2024-12x",   "202-1", "1969-1",  "2070-1",
					     "2024-0137 ", "-1",    "2024--1", "20 4-1" };
	char number[LOT_NUMBER_BYTES];

	CHECK_INT(text_lot_number("2024-0137", number), ==, 2024);
	CHECK_STR(number, "2024-0137");
	CHECK_INT(text_lot_number("24-137", number), ==, 2024);
	CHECK_STR(number, "2024-0137");
	CHECK_INT(text_lot_number("69-1", number), ==, 2069);
	CHECK_INT(text_lot_number("70-1", number), ==, 1970);
	CHECK_INT(text_lot_number("2024-000137", number), ==, 2024);
	CHECK_STR(number, "2024-0137");
	CHECK_INT(text_lot_number("70-12345", number), ==, 1970);
	CHECK_STR(number, "1970-12345");
	CHECK_INT(text_lot_number("1999-123456", number), ==, 1999);
	CHECK_STR(number, "1999-123456");
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		CHECK_INT(text_lot_number(wrong[i], number), ==, 0);
}

TEST(keys_ids_and_texts)
{
	CHECK(text_is_key("order-17"));
	CHECK(!text_is_key("") && !text_is_key("a b") && !text_is_key("\xc3\xbc"));
	CHECK_INT(text_id("17"), ==, 17);
	CHECK_INT(text_id("0"), ==, 0);
	CHECK_INT(text_id("-1"), ==, 0);
	CHECK_INT(text_id("1x"), ==, 0);
	CHECK_INT(text_id("9999999999999999999"), ==, 0);
	CHECK(text_is_plain("a\nb", 1, 3) && !text_is_plain("a\x01", 1, 3));
	CHECK(!text_is_plain("\xed\xa0\x80", 1, 9));     /* a surrogate */
	CHECK(!text_is_plain("\xc0\xaf", 1, 9));         /* '/', too long */
	CHECK(!text_is_plain("\xf4\x90\x80\x80", 1, 9)); /* above U+10FFFF */
}

TEST(how_much_fits)
{
	CHECK_INT(text_fit("abc", 9), ==, 3);
	CHECK_INT(text_fit("abc", 2), ==, 2);
	CHECK_INT(text_fit("a\xc3\xbc", 2), ==, 1); /* half of a character */
	CHECK_INT(text_fit("a\xc3\xbc", 3), ==, 3);
	CHECK_INT(text_fit("a\xff"
			   "b",
			   9),
		  ==, 1);
	CHECK_INT(text_fit("", 0), ==, 0);
}

TEST(addresses)
{
	CHECK_STR(text_last_address(&arena, "192.0.2.1"), "192.0.2.1");
	CHECK_STR(text_last_address(&arena, "spoofed, 192.0.2.1 "), "192.0.2.1");
	CHECK_STR(text_last_address(&arena, "192.0.2.1, "), "");
	CHECK_STR(text_last_address(&arena, ""), "");
	CHECK_STR(text_of_whom(&arena, "192.0.2.1"), "192.0.2.1");
	CHECK_STR(text_of_whom(&arena, "::ffff:192.0.2.1"), "192.0.2.1");
	CHECK_STR(text_of_whom(&arena, "2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
	CHECK_STR(text_of_whom(&arena, "local"), "local");
	arena_free(&arena);
}

TEST(paths_of_scanners)
{
	static const char *const theirs[] = {
		"/wp-admin/setup.php", "/.env",    "/.git/config", "/index.php", "/a/b.PHP",
		"/WP-login",           "/x.php/y", "/app/.env"
	};
	static const char *const ours[] = { "/", "/lots", "/static/style.css", "/documents/1",
					    "/.well-known/security.txt" };

	for (size_t i = 0; i < sizeof(theirs) / sizeof(theirs[0]); i++)
		CHECK(text_is_scanner_path(theirs[i]));
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		CHECK(!text_is_scanner_path(ours[i]));
}

CHECK_TABLE(T(names_of_files), T(disposition), T(media_types), T(sizes), T(places_to_go_on_to),
	    T(numbers_of_lots), T(keys_ids_and_texts), T(how_much_fits), T(addresses),
	    T(paths_of_scanners))
