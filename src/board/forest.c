/* SPDX-License-Identifier: PostgreSQL */
/*
 * Finding boards. The directories are in places where everybody may make one, so a directory counts
 * only when it belongs to the user it is named for and to nobody else.
 */
#include "board/forest.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "board/layout.h"
#include "board/segment.h"

static const char *const roots[] = { "/dev/shm", "/tmp" };

struct search {
	struct tine_forest *forest;
	char *const *labels;
	bool no_memory;
};

/* ---- one board ------------------------------------------------------------------------------ */

static void explain(char *text, size_t size, int rc, uint32_t layout)
{
	if (rc == -EPERM)
		snprintf(text, size, "no file of its owner alone (mode 0600), so no board");
	else if (rc == -EPROTO)
		snprintf(
			text, size,
			"made by another version of tine: layout %u, and this one reads layout %d; "
			"look at it with the version that its programs use",
			layout, TINE_BOARD_LAYOUT);
	else if (rc == -EILSEQ)
		snprintf(text, size, "no board");
	else
		snprintf(text, size, "%s", strerror(-rc));
}

static void add_problem(struct tine_forest *forest, const char *path, int rc, uint32_t layout)
{
	struct tine_forest_problem *problem;
	struct tine_text text;

	if (forest->problems_count == TINE_FOREST_TREES) {
		forest->cut = true;
		return;
	}
	problem = &forest->problems[forest->problems_count++];
	tine_text_init(&text, problem->path, sizeof(problem->path));
	tine_text_add_foreign(&text, path, strlen(path));
	explain(problem->why, sizeof(problem->why), rc, layout);
}

static bool is_asked_for(char *const *labels, const char *label)
{
	if (!labels || !*labels)
		return true;
	for (; *labels; labels++)
		if (strcmp(*labels, label) == 0)
			return true;
	return false;
}

/* What a board is called can only be read in one that can be read. */
static bool may_be_asked_for(char *const *labels, const char *path)
{
	const char *base = strrchr(path, '/') + 1;

	if (!labels || !*labels)
		return true;
	for (; *labels; labels++)
		if (strncmp(base, *labels, strlen(*labels)) == 0 &&
		    strcmp(base + strlen(*labels), ".board") == 0)
			return true;
	return false;
}

static bool comes_before(const struct tine_view *one, const struct tine_view *other)
{
	int order = strcmp(one->label, other->label);

	return order ? order < 0 : strcmp(one->path, other->path) < 0;
}

static void insert(struct tine_forest *forest, struct tine_view *view)
{
	int at = forest->trees_count++;

	for (; at > 0 && comes_before(view, forest->trees[at - 1]); at--)
		forest->trees[at] = forest->trees[at - 1];
	forest->trees[at] = view;
}

static bool add_board(const char *path, void *arg)
{
	struct search *search = arg;
	struct tine_forest *forest = search->forest;
	struct tine_view *view;
	uint32_t layout;
	int rc;

	if (forest->trees_count == TINE_FOREST_TREES) {
		forest->cut = true;
		return false;
	}
	rc = tine_view_read(path, &view, &layout);
	if (rc == -ENOMEM)
		search->no_memory = true;
	else if (rc < 0 && rc != -ENOENT && /* it went away in this moment */
		 may_be_asked_for(search->labels, path))
		add_problem(forest, path, rc, layout);
	else if (rc == 0 && is_asked_for(search->labels, view->label))
		insert(forest, view);
	else if (rc == 0)
		tine_view_free(view);
	return !search->no_memory;
}

/* ---- all directories ------------------------------------------------------------------------ */

static bool is_of_its_user(const char *path, const char *number)
{
	struct stat st;
	char owner[16];

	if (lstat(path, &st) < 0)
		return false;
	snprintf(owner, sizeof(owner), "%u", (unsigned)st.st_uid);
	return S_ISDIR(st.st_mode) && !(st.st_mode & 077) && strcmp(owner, number) == 0;
}

static void look_in(struct search *search, const char *root, const char *number)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/tine-%s", root, number) < PATH_MAX &&
	    is_of_its_user(path, number))
		tine_segment_each(path, add_board, search);
}

static void look_at_all_users(struct search *search, const char *root)
{
	DIR *dir = opendir(root);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (strncmp(entry->d_name, "tine-", 5) == 0)
			look_in(search, root, entry->d_name + 5);
	if (dir)
		closedir(dir);
}

static const char *named_directory(void)
{
	const char *named = secure_getenv("TINE_BOARD_DIRECTORY");

	return named && *named ? named : NULL;
}

static void look_everywhere(struct search *search)
{
	char number[16];

	if (named_directory()) {
		tine_segment_each(named_directory(), add_board, search);
		return;
	}
	snprintf(number, sizeof(number), "%u", (unsigned)geteuid());
	for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++) {
		if (geteuid() == 0)
			look_at_all_users(search, roots[i]);
		else
			look_in(search, roots[i], number);
	}
}

/* ---- the forest ----------------------------------------------------------------------------- */

struct tine_forest *tine_forest_read(char *const labels[])
{
	struct search search = { calloc(1, sizeof(struct tine_forest)), labels, false };

	if (!search.forest)
		return NULL;
	look_everywhere(&search);
	if (search.no_memory) {
		tine_forest_free(search.forest);
		return NULL;
	}

	return search.forest;
}

void tine_forest_free(struct tine_forest *forest)
{
	if (!forest)
		return;
	for (int i = 0; i < forest->trees_count; i++)
		tine_view_free(forest->trees[i]);
	free(forest);
}

const char *tine_forest_places(char *text, size_t size)
{
	unsigned user = geteuid();

	if (named_directory())
		snprintf(text, size, "%s", named_directory());
	else if (user == 0)
		snprintf(text, size, "%s/tine-* and %s/tine-*", roots[0], roots[1]);
	else
		snprintf(text, size, "%s/tine-%u and %s/tine-%u", roots[0], user, roots[1], user);
	return text;
}
