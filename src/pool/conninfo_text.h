/* SPDX-License-Identifier: PostgreSQL */
/*
 * The texts around a conninfo: the forms of a URL, and libpq's messages, which repeat pieces of
 * what they complain about and so may hold a password.
 *
 * Locks: none. Fork: nothing to do.
 */
#ifndef TINE_POOL_CONNINFO_TEXT_H
#define TINE_POOL_CONNINFO_TEXT_H

#include "pool/pq.h"

#define TINE_CONNINFO_MESSAGE_BYTES 1024

/** A copy of a conninfo as libpq understands it: without the driver's name that SQLAlchemy writes
 *  into a URL, "postgresql+psycopg2://". @return for free(); NULL without memory */
char *tine_conninfo_text_plain(const char *conninfo);

/** The length of the scheme of a plain conninfo that is a URL of something else than PostgreSQL,
 * such as "mysql"; else 0 */
int tine_conninfo_text_foreign(const char *conninfo);

/** pq->conninfo_parse() with its message in English, so that what it repeats can be found.
 *  @param ret_message for pq->freemem(); NULL on success, and without memory
 *  @return NULL on failure */
PQconninfoOption *tine_conninfo_text_parse(const struct tine_pq *pq, const char *conninfo,
					   char **ret_message);

/** Write a message of tine_conninfo_text_parse() without what it repeats of the conninfo, but for
 *  the names of parameters. */
void tine_conninfo_text_mask(char *text, size_t size, const char *message, const char *conninfo);

/** Replace every occurrence of a secret, which is not empty, in a text. */
void tine_conninfo_text_hide(char *text, const char *secret);

/** Elements of a list with commas, as of host and port; an empty text is a list of one. */
int tine_conninfo_text_count(const char *list);

/** An element of such a list; a list of one stands for all.
 *  @param otherwise what stands for an empty element
 *  @return for free(); NULL without memory */
char *tine_conninfo_text_element(const char *list, int index, const char *otherwise);

#endif
