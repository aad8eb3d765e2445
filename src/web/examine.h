/* SPDX-License-Identifier: PostgreSQL */
/*
 * What tine-doctor says of the trees that somebody looks at: executed for one at a time, with a
 * bound on its time and on its output, and not again for a while.
 *
 * Owns: the child, which is killed and reaped, and the pipe. Locks: none, one thread. Fork: none.
 */
#ifndef TINE_WEB_EXAMINE_H
#define TINE_WEB_EXAMINE_H

#include <jansson.h>

struct tine_examiner;

/** @param apart_s  between two examinations of a tree
 *  @return NULL: no memory */
struct tine_examiner *tine_examiner_new(int apart_s);

/** NULL is fine. */
void tine_examiner_free(struct tine_examiner *examiner);

/** A tine_web_examine_fn: somebody looks at a tree. @param arg  the examiner */
json_t *tine_examiner_ask(void *arg, const char *key, int pid);

/** To be polled for reading; -1: nothing runs. */
int tine_examiner_fd(const struct tine_examiner *examiner);

/** Take what can be read, begin and end what is due. Never waits; to be called once a second, and
 *  when there is something to read. */
void tine_examiner_step(struct tine_examiner *examiner);

#endif
