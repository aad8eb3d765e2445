/* SPDX-License-Identifier: PostgreSQL */
/*
 * Who asks. A session is a row; its cookie is its number, signed. Loading the user fails soft: when
 * the database is away the request is nobody's, its cookie stays, and the page says so.
 *
 * Locks: none. Fork: nothing to do.
 */
#ifndef RECORDS_SESSION_H
#define RECORDS_SESSION_H

#include "request.h"

/** Read the cookies. Asks nobody. */
void session_read(struct request *request);

/** Look the user up. Sets request->database_away when that was not possible. */
void session_load(struct request *request);

/** Does the form come from a page that this service gave to this browser? */
bool session_form_is_ours(const struct request *request);

/** The word for forms of this browser, which gets a number for it when it has none. */
const char *session_form_word(struct request *request);

/** Begin a session for a user, with a new number, and end the one that came with the request.
 *  @return as db_write() */
int session_begin(struct request *request, int64_t user_id);

/** End the session that came. @return as db_write() */
int session_end(struct request *request);

/** Bring the browser's cookies up to date. */
void session_cookies(struct request *request, struct reply *reply);

#endif
