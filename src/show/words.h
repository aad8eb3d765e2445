/* SPDX-License-Identifier: PostgreSQL */
/* The words for what is on a board. Locks: none. Fork: no state. */
#ifndef TINE_SHOW_WORDS_H
#define TINE_SHOW_WORDS_H

#include <stddef.h>
#include <stdint.h>

#include "board/view.h"

#define TINE_WORDS_AGE_BYTES 24
#define TINE_WORDS_DETAIL_BYTES 64

/** "85ms", "3.2s", "12m03s", "3h12m", "5d02h". @return text */
const char *tine_words_age(char text[TINE_WORDS_AGE_BYTES], int64_t age_ns);

/** "idle", "busy", ...; "unknown" when it is not told. */
const char *tine_words_state(enum tine_seat_state state);

/** "none", "open", "failed". */
const char *tine_words_transaction(enum tine_seat_transaction transaction);

/** "alive", "dead", "past", "foreign". */
const char *tine_words_life(enum tine_view_life life);

/** "joined", "closed", ... Never NULL. */
const char *tine_words_event(enum tine_board_event_kind kind);

/** What the event's number means: a cause, how many permits. May be empty. @return text */
const char *tine_words_detail(char text[TINE_WORDS_DETAIL_BYTES],
			      const struct tine_view_event *event);

/** The name of a user, or the number. @return text */
const char *tine_words_user(char *text, size_t size, uid_t user);

/** Microseconds below which a share of slow checkouts stayed. @return 0 when there were none */
int64_t tine_words_quantile_us(const int64_t wait[TINE_VIEW_BUCKETS], double share);

/** The waits and the ends of connections of all processes of a tree. @return the sum of the waits
 */
int64_t tine_words_sum(const struct tine_view *view, int64_t ret_wait[TINE_VIEW_BUCKETS],
		       int64_t ret_closed[TINE_VIEW_CAUSES]);

#endif
