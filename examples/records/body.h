/* SPDX-License-Identifier: PostgreSQL */
/*
 * The body of a request, as it comes: which kind it may be, how much of it is kept. One that is too
 * large is read to its end and dropped, within reason, because a browser shows the answer to what
 * it could send, and an error of its own when the connection ends in the middle.
 *
 * Locks: none; the loop's thread. Fork: in workers only.
 */
#ifndef RECORDS_BODY_H
#define RECORDS_BODY_H

#include <stdbool.h>
#include <stddef.h>

struct exchange;

/** Decide by the head. Sets is_early when it is to be answered at once. */
void body_begin(struct exchange *exchange);

/** @return false when the connection is to be ended */
bool body_add(struct exchange *exchange, const char *data, size_t size);

/** All of it is there, or nothing more will be. May be called again. */
void body_end(struct exchange *exchange);

#endif
