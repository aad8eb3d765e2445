/* SPDX-License-Identifier: PostgreSQL */
/*
 * The handle, and looking at the boards: a look serves all who ask within half a second.
 *
 * Owns: for each process a struct tine_local with its last look. Locks: the local's, held while a
 * look is taken or written out. Fork: a child has no use for its parent's look, whose lock another
 * thread may have had at the fork, so it makes one of its own at the first call and keeps the other
 * one unread.
 */
#include "web/web.h"

#include <ctype.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

#define LOOK_APART_MS 500

struct tine_local {
	pid_t pid; /* whose it is */
	pthread_mutex_t lock;
	struct tine_look look;
	struct tine_local *inherited;
};

/* ---- settings ------------------------------------------------------------------------------- */

void(tine_web_config_init)(tine_web_config *config, size_t size_bytes)
{
	tine_web_config all = { .size = size_bytes, .mount = "", .own = true };

	memcpy(config, &all, size_bytes < sizeof(all) ? size_bytes : sizeof(all));
}

static void fail(tine_error *error, int status, const char *text)
{
	if (!error)
		return;
	*error = (tine_error){ .status = status };
	snprintf(error->text, sizeof(error->text), "%s", text);
}

/* "", "/", or "/" and letters, digits and "-._~/", which need no escape anywhere. */
static bool set_mount(tine_web *web, const char *mount)
{
	size_t length = mount ? strlen(mount) : 0;

	while (length && mount[length - 1] == '/')
		length--;
	if (length >= sizeof(web->mount) || (length && *mount != '/'))
		return false;
	for (size_t i = 0; i < length; i++)
		if (!isalnum((unsigned char)mount[i]) && !strchr("-._~/", mount[i]))
			return false;
	if (length)
		memcpy(web->mount, mount, length);
	return true;
}

static void free_list(char **list)
{
	for (size_t i = 0; list && list[i]; i++)
		free(list[i]);
	free(list);
}

/* @return false: no memory */
static bool copy_list(const char *const *list, char ***ret)
{
	size_t count = 0;

	*ret = NULL;
	if (!list)
		return true;
	while (list[count])
		count++;
	*ret = calloc(count + 1, sizeof(**ret));
	for (size_t i = 0; *ret && i < count; i++)
		if (!((*ret)[i] = strdup(list[i])))
			return false;
	return *ret != NULL;
}

/* ---- the handle ----------------------------------------------------------------------------- */

tine_web *tine_web_new(const tine_web_config *config, tine_error *error)
{
	tine_web_config all;
	tine_web *web = calloc(1, sizeof(*web));

	tine_web_config_init(&all);
	/* cppcheck-suppress ctuuninitvar ; filled by tine_web_config_init(), behind a macro */
	memcpy(&all, config, config->size < sizeof(all) ? config->size : sizeof(all));
	if (web && !set_mount(web, all.mount)) {
		free(web);
		fail(error, TINE_E_INVALID,
		     "mount: not a path of letters, digits and '-', '.', '_', '~', '/', such as "
		     "/status");
		return NULL;
	}
	if (web) {
		web->own = all.own;
		web->history = tine_history_new();
	}
	if (!web || !web->history || !copy_list(all.trees, &web->trees) ||
	    !copy_list(all.hosts, &web->hosts)) {
		fail(error, TINE_E_NOMEM, "out of memory");
		tine_web_free(web);
		return NULL;
	}
	return web;
}

static void free_look(struct tine_look *look)
{
	for (int i = 0; i < TINE_FOREST_TREES; i++)
		tine_rates_free(look->rates[i]);
	tine_forest_free(look->forest);
}

void tine_web_free(tine_web *web)
{
	struct tine_local *local;

	if (!web)
		return;
	local = atomic_load(&web->local);
	/* What was inherited may be half written, and its memory is left to the process's end. */
	if (local && local->pid == getpid()) {
		free_look(&local->look);
		pthread_mutex_destroy(&local->lock);
		free(local);
	}
	tine_history_free(web->history);
	free_list(web->trees);
	free_list(web->hosts);
	free(web);
}

static struct tine_local *local_of(tine_web *web)
{
	struct tine_local *local = atomic_load(&web->local), *made;

	if (local && local->pid == getpid())
		return local;
	made = calloc(1, sizeof(*made));
	if (!made)
		return NULL;
	made->pid = getpid();
	made->inherited = local;
	pthread_mutex_init(&made->lock, NULL);
	if (atomic_compare_exchange_strong(&web->local, &local, made))
		return made;
	/* Another thread was faster. */
	pthread_mutex_destroy(&made->lock);
	free(made);
	return local;
}

/* ---- looking -------------------------------------------------------------------------------- */

static bool is_own(const struct tine_view *view)
{
	pid_t self = getpid(), parent = getppid();

	for (int i = 0; i < view->members_count; i++)
		if (view->members[i].life == TINE_VIEW_ALIVE &&
		    (view->members[i].pid == self || view->members[i].pid == parent))
			return true;
	return false;
}

static void keep_own(struct tine_forest *forest)
{
	int kept = 0;

	for (int i = 0; i < forest->trees_count; i++) {
		if (is_own(forest->trees[i]))
			forest->trees[kept++] = forest->trees[i];
		else
			tine_view_free(forest->trees[i]);
	}
	forest->trees_count = kept;
	forest->problems_count = 0;
	forest->cut = false;
}

static bool is_taken(const struct tine_look *look, int count, const char *key)
{
	for (int i = 0; i < count; i++)
		if (strcmp(look->keys[i], key) == 0)
			return true;
	return false;
}

/* Names are not unique: "web", and of another user "web~2". */
static void name_trees(struct tine_look *look)
{
	for (int i = 0; i < look->forest->trees_count; i++) {
		char *key = look->keys[i];
		const char *label = look->forest->trees[i]->label;

		snprintf(key, TINE_WEB_KEY_BYTES, "%s", label);
		for (int n = 2; is_taken(look, i, key); n++)
			snprintf(key, TINE_WEB_KEY_BYTES, "%s~%d", label, n);
	}
}

static const struct tine_view *find_same(const struct tine_forest *forest,
					 const struct tine_view *view)
{
	for (int i = 0; forest && i < forest->trees_count; i++)
		if (strcmp(forest->trees[i]->path, view->path) == 0)
			return forest->trees[i];
	return NULL;
}

static void compare(struct tine_look *look, const struct tine_forest *before, int64_t since_ns)
{
	for (int i = 0; i < TINE_FOREST_TREES; i++) {
		const struct tine_view *earlier = NULL;

		tine_rates_free(look->rates[i]);
		look->rates[i] = NULL;
		if (i < look->forest->trees_count)
			earlier = find_same(before, look->forest->trees[i]);
		if (earlier)
			look->rates[i] = tine_rates_between(earlier, look->forest->trees[i],
							    since_ns > 0 ? since_ns : 1);
	}
}

static int take_look(tine_web *web, struct tine_look *look)
{
	struct tine_forest *before = look->forest, *now = tine_forest_read(web->trees);
	int64_t now_ns = tine_clock_ns();

	if (!now)
		return TINE_E_NOMEM;
	if (web->own)
		keep_own(now);
	look->forest = now;
	compare(look, before, now_ns - look->at_ns);
	tine_forest_free(before);
	look->at_ns = now_ns;
	name_trees(look);
	for (int i = 0; i < now->trees_count; i++)
		tine_history_add(web->history, now->trees[i], look->rates[i], now_ns);
	return 0;
}

struct tine_look *tine_look_begin(tine_web *web)
{
	struct tine_local *local = local_of(web);

	if (!local)
		return NULL;
	pthread_mutex_lock(&local->lock);
	if (local->look.forest &&
	    tine_clock_ns() - local->look.at_ns < LOOK_APART_MS * (int64_t)TINE_NS_PER_MS)
		return &local->look;
	if (take_look(web, &local->look) == 0)
		return &local->look;
	pthread_mutex_unlock(&local->lock);
	return NULL;
}

void tine_look_end(tine_web *web)
{
	pthread_mutex_unlock(&atomic_load(&web->local)->lock);
}

int tine_web_look(tine_web *web)
{
	if (!tine_look_begin(web))
		return TINE_E_NOMEM;
	tine_look_end(web);
	return 0;
}

int tine_look_find(const struct tine_look *look, const char *key)
{
	int count = look->forest->trees_count;

	for (int i = 0; i < count; i++) {
		if (key && *key ? strcmp(look->keys[i], key) == 0
				: tine_view_living(look->forest->trees[i]) > 0)
			return i;
	}
	return count && (!key || !*key) ? 0 : -1;
}
