/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the files of the status page share. request.c reads what a client sent, answer.c has the
 * routes, page.c, report.c and metrics.c write what they answer with; web.c looks.
 */
#ifndef TINE_WEB_WEB_H
#define TINE_WEB_WEB_H

#include <jansson.h>

#include "board/forest.h"
#include "show/rates.h"
#include "tine/web.h"
#include "web/history.h"
#include "web/out.h"

#define TINE_WEB_KEY_BYTES 88
#define TINE_WEB_MOUNT_BYTES 128

/* What one process saw last. Used with its lock held. */
struct tine_look {
	struct tine_forest *forest;
	struct tine_rates *rates[TINE_FOREST_TREES];      /* by tree; NULL: not known yet */
	char keys[TINE_FOREST_TREES][TINE_WEB_KEY_BYTES]; /* what each tree is called in URLs */
	int64_t at_ns;
};

/** What tine doctor says of a tree, as the object "findings" of docs/web.md.
 *  @return the caller's; NULL: nobody examines */
typedef json_t *tine_web_examine_fn(void *arg, const char *key, int pid);

struct tine_web {
	char mount[TINE_WEB_MOUNT_BYTES]; /* without a slash at its end */
	char **trees, **hosts;            /* NULL: all, not checked */
	bool own;
	struct tine_history *history;
	tine_web_examine_fn *examine; /* of tine-web, which has one thread; else NULL */
	void *examine_arg;
	_Atomic(struct tine_local *) local; /* of this process */
};

/** Look unless that was done just now, and take the lock.
 *  @return NULL: no memory, and nothing is locked */
struct tine_look *tine_look_begin(tine_web *web);

/** Give the lock back. */
void tine_look_end(tine_web *web);

/** The index of a tree. @param key  NULL or "": the first that lives, or the first
 *  @return -1: there is none */
int tine_look_find(const struct tine_look *look, const char *key);

/** The process to be examined: the one that all of the tree come from, as far as that can be seen.
 *  @return 0: none lives here */
int tine_web_root(const struct tine_view *view);

/** What is known of a tree's findings. @return the caller's; NULL: no memory */
json_t *tine_web_findings(const tine_web *web, const struct tine_look *look, int tree);

/* What is answered with. Each appends to an empty out; what is missing for lack of memory, out
 * says. */

/** The page. @param tree  index; -1: none */
void tine_web_write_page(tine_web *web, const struct tine_look *look, int tree,
			 struct tine_out *out);

/** @param tree  index; -1: all
 *  @param history_ms  with the samples later than that; negative: without */
void tine_web_write_json(tine_web *web, const struct tine_look *look, int tree, int64_t history_ms,
			 struct tine_out *out);

void tine_web_write_metrics(const struct tine_look *look, struct tine_out *out);

#endif
