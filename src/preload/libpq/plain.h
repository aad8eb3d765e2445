/* SPDX-License-Identifier: PostgreSQL */
/*
 * The quick answer for most of what programs send: a SELECT without parentheses, quotes and
 * comments does nothing to its session. Whatever is not certain at one look at each byte is for
 * effect.c to read.
 *
 * Invariant: where this says yes, effect.c finds one statement and no effect, but for what it
 * suspects of words that are names here (INSERT, MERGE, BEGIN ATOMIC). A fuzzer compares the two.
 *
 * Pure: borrowed text, no memory. The text is hostile input. Locks, fork: none.
 */
#ifndef TINE_PRELOAD_LIBPQ_PLAIN_H
#define TINE_PRELOAD_LIBPQ_PLAIN_H

#include <stdbool.h>

/** Is this text one SELECT that certainly leaves nothing behind? */
bool tine_plain_is_select(const char *sql);

#endif
