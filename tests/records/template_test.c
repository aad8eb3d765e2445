/* SPDX-License-Identifier: PostgreSQL */
#include "template.h"

#include <jansson.h>
#include <sys/stat.h>

#include "storage.h"
#include "support/check.h"

static char directory[] = "/tmp/tine-records-XXXXXX";
static char error[256];

static void write_page(const char *name, const char *text)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	file = fopen(path, "w");
	CHECK(file);
	fputs(text, file);
	fclose(file);
}

static void remove_all(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -r %s", directory);
	CHECK_INT(system(command), ==, 0);
}

static void add_all(struct view *view, json_t *values);

static void add_rows(struct view_rows *rows, json_t *values)
{
	json_t *row;
	size_t i;

	json_array_foreach(values, i, row)
		add_all(view_row(rows), row);
}

static void add_all(struct view *view, json_t *values)
{
	const char *name;
	json_t *value;

	json_object_foreach(values, name, value) {
		if (json_is_string(value))
			view_text(view, name, json_string_value(value));
		else if (json_is_integer(value))
			view_number(view, name, json_integer_value(value));
		else if (json_is_boolean(value))
			view_flag(view, name, json_is_true(value));
		else if (json_is_array(value))
			add_rows(view_list(view, name), value);
	}
}

/* @param json what it is filled with */
static const char *render(const char *page, const char *json)
{
	static struct buffer out;
	struct shelf *shelf;
	json_t *values = json_loads(json, 0, NULL);
	struct arena arena = { 0 };
	struct view *view = view_new(&arena);

	add_all(view, values);
	CHECK(mkdtemp(directory));
	write_page("page.html", page);
	write_page("part.html", "[{{x}}]");
	write_page("self.html", ".{{>self}}");
	shelf = shelf_load(directory, error, sizeof(error));
	remove_all();
	strcpy(directory + strlen(directory) - 6, "XXXXXX");
	out.length = 0;
	buffer_text(&out, "");
	if (shelf)
		shelf_render(shelf, "page", view, &out);
	arena_free(&arena);
	json_decref(values);
	shelf_free(shelf);
	return shelf ? out.data : error;
}

TEST(values_are_escaped)
{
	CHECK_STR(render("a {{x}} b", "{\"x\": \"<i a='1' b=\\\"2\\\">&\"}"),
		  "a &lt;i a=&#39;1&#39; b=&quot;2&quot;&gt;&amp; b");
	CHECK_STR(render("{{x}}|{{y}}|{{z}}", "{\"x\": 17, \"y\": null}"), "17||");
	CHECK_STR(render("{ {{x}} } }}", "{\"x\": \"{{y}}\", \"y\": 1}"), "{ {{y}} } }}");
}

TEST(sections)
{
	CHECK_STR(render("{{#l}}{{x}}{{y}},{{/l}}{{^l}}none{{/l}}",
			 "{\"y\": \"!\", \"l\": [{\"x\": 1}, {\"x\": 2, \"y\": \"?\"}]}"),
		  "1!,2?,");
	CHECK_STR(render("{{#l}}x{{/l}}{{^l}}none{{/l}}", "{\"l\": []}"), "none");
	CHECK_STR(render("{{#f}}x{{/f}}{{^f}}not{{/f}}", "{\"f\": \"\"}"), "not");
	CHECK_STR(render("{{#f}}x{{/f}}", "{\"f\": true}"), "x");
	CHECK_STR(render("{{#f}}x{{/f}}{{^f}}not{{/f}}", "{\"f\": false}"), "not");
	CHECK_STR(render("{{#f}}{{f}}{{/f}}{{^f}}not{{/f}}", "{\"f\": 0}"), "0");
	CHECK_STR(render("{{#l}}{{#m}}{{x}}{{y}}{{/m}}{{/l}}",
			 "{\"l\": [{\"x\": 1, \"m\": [{\"y\": 2}, {\"x\": 3, \"y\": 4}]}, {}]}"),
		  "1234");
	CHECK_STR(render("{{#a}}{{#b}}x{{/b}}{{/a}}", "{\"a\": true, \"b\": \"y\"}"), "x");
}

TEST(numbers)
{
	CHECK_STR(render("{{x}} {{y}}", "{\"x\": 9223372036854775807, \"y\": -1}"),
		  "9223372036854775807 -1");
	CHECK_STR(render("{{x}}", "{\"x\": -9223372036854775808}"), "-9223372036854775808");
}

/* What is no text is as if it were not there; the later one of two is the value. */
TEST(what_a_view_takes)
{
	struct arena arena = { 0 };
	struct view *view = view_new(&arena);

	view_text(view, "x", "eight by\xff");
	view_text(view, "x", "\xc3");
	view_text(view, "x", "\xed\xa0\x80");
	CHECK(!view_find(view, "x"));
	view_text(view, "x", "one");
	view_text(view, "xx", "another");
	view_text(view, "x", "\xe2\x82\xac, eight and more");
	CHECK_STR(view_find(view, "x")->text, "\xe2\x82\xac, eight and more");
	CHECK(!value_is_something(view_find(view, "y")));
	arena_free(&arena);
}

TEST(an_arena_is_used_again)
{
	struct arena arena = { 0 };
	char *first = arena_take(&arena, 100);

	arena_reset(&arena);
	CHECK(arena_take(&arena, 100) == first);
	for (int i = 0; i < 100; i++)
		memset(arena_take(&arena, 1000), 'x', 1000);
	memset(arena_take(&arena, 100000), 'x', 100000);
	arena_reset(&arena);
	CHECK(arena_take(&arena, 100) == first);
	arena_reset(&arena);
	CHECK_STR(arena_copy(&arena, "abc", 2), "ab");
	CHECK_STR(arena_print(&arena, "%d", 17), "17");
	arena_free(&arena);
	arena_reset(&arena);
	CHECK(!arena.blocks);
}

TEST(other_pages)
{
	CHECK_STR(render("<{{>part}}{{>missing}}>", "{\"x\": \"&\"}"), "<[&amp;]>");
	CHECK_STR(render("{{>self}}", "{}"), "...............");
}

TEST(what_is_not_well_formed_is_said)
{
	CHECK_CONTAINS(render("{{x", "{}"), "page.html");
	CHECK_CONTAINS(render("{{}}", "{}"), "page.html");
	CHECK_CONTAINS(render("{{#x}}", "{}"), "page.html");
	CHECK_CONTAINS(render("{{/x}}", "{}"), "page.html");
	CHECK_CONTAINS(render("{{#x}}{{#y}}{{/x}}{{/y}}", "{}"), "page.html");
	CHECK(!shelf_load("/nowhere", error, sizeof(error)));
	CHECK_CONTAINS(error, "/nowhere");
}

/* ---- the storage in a directory ------------------------------------------------------------- */

TEST(a_key_is_never_a_path)
{
	static const char *const paths[] = { "",
					     "..",
					     "../x",
					     "/etc/passwd",
					     "0123456789abcdef0123456789abcde/",
					     "0123456789ABCDEF0123456789ABCDEF",
					     "0123456789abcdef0123456789abcdef0" };
	struct config config = { .files = directory };
	struct storage storage;
	struct storage_error why;
	int64_t size_bytes;
	int fd;

	CHECK(mkdtemp(directory));
	CHECK_INT(storage_open(&storage, &config, error, sizeof(error)), ==, 0);
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		CHECK_INT(storage.put(&storage, paths[i], 0, 0, "", &why), ==, STORAGE_FAILED);
		CHECK_INT(storage.get(&storage, paths[i], &fd, &size_bytes, &why), ==,
			  STORAGE_FAILED);
		CHECK_INT(storage.remove(&storage, paths[i], &why), ==, STORAGE_FAILED);
		CHECK_INT(storage.exists(&storage, paths[i], &why), ==, STORAGE_FAILED);
	}
	storage_close(&storage);
	remove_all();
}

TEST(what_was_put_is_there_until_it_is_removed)
{
	struct config config = { .files = directory };
	struct storage storage;
	struct storage_error why;
	char key[STORAGE_KEY_BYTES], back[8] = "";
	int64_t size_bytes = 0;
	FILE *file = tmpfile();
	int fd = -1;

	CHECK(mkdtemp(directory) && file);
	CHECK_INT(storage_open(&storage, &config, error, sizeof(error)), ==, 0);
	storage_key(key);
	CHECK_INT(storage.exists(&storage, key, &why), ==, STORAGE_ABSENT);
	CHECK_INT(storage.get(&storage, key, &fd, &size_bytes, &why), ==, STORAGE_ABSENT);
	CHECK_INT(storage.remove(&storage, key, &why), ==, STORAGE_ABSENT);
	fputs("abc", file);
	fflush(file);
	CHECK_INT(storage.put(&storage, key, fileno(file), 3, "", &why), ==, STORAGE_OK);
	CHECK_INT(storage.get(&storage, key, &fd, &size_bytes, &why), ==, STORAGE_OK);
	CHECK_INT(size_bytes, ==, 3);
	CHECK_INT(read(fd, back, sizeof(back)), ==, 3);
	CHECK_STR(back, "abc");
	/* shorter than it is said to be: nothing is left */
	CHECK_INT(storage.put(&storage, key, fileno(file), 4, "", &why), ==, STORAGE_FAILED);
	CHECK_INT(storage.remove(&storage, key, &why), ==, STORAGE_OK);
	CHECK_INT(storage.remove(&storage, key, &why), ==, STORAGE_ABSENT);
	storage_close(&storage);
	CHECK_INT(rmdir(directory), ==, 0);
	close(fd);
	fclose(file);
}

CHECK_TABLE(T(values_are_escaped), T(sections), T(numbers), T(what_a_view_takes),
	    T(an_arena_is_used_again), T(other_pages), T(what_is_not_well_formed_is_said),
	    T(a_key_is_never_a_path), T(what_was_put_is_there_until_it_is_removed))
