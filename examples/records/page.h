/* SPDX-License-Identifier: PostgreSQL */
/*
 * Replies that are pages. Each has what all pages have: who is signed in, the word for forms, the
 * settings' title and notice, and what is to be said about the database.
 *
 * Locks: none but the settings'. Fork: nothing to do.
 */
#ifndef RECORDS_PAGE_H
#define RECORDS_PAGE_H

#include "request.h"
#include "view.h"

/** Answer with a page of templates/.
 *  @param values what is the page's own, in the request's arena; what all pages have is added */
void page_reply(struct request *request, struct reply *reply, int status, const char *name,
		struct view *values);

/** Answer with the page "error". @param text what happened, and what to do */
void page_error(struct request *request, struct reply *reply, int status, const char *text);

/** 503: the database is away, or does not answer. */
void page_away(struct request *request, struct reply *reply);

/** What became of it, and a line in the log: 503 when the database is away or cannot do it now, 500
 *  when it refused for a reason that nobody expects. @param rc of db_write(), negative */
void page_write_failed(struct request *request, struct reply *reply, int rc);

/** A random key for a form that adds something. */
const char *page_key(struct arena *arena);

#endif
