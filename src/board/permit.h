/* SPDX-License-Identifier: PostgreSQL */
/* What the files of the board do for each other. As board.h. */
#ifndef TINE_BOARD_PERMIT_H
#define TINE_BOARD_PERMIT_H

#include "board/board.h"
#include "board/layout.h"

/* How the permits stand at one moment. */
struct tine_count {
	int limit;
	int taken, free; /* limbo is neither */
	int above;       /* taken or in limbo, above the limit */
	int limbo;
	int own;
	int reserved; /* of the free ones, for members that have less than their floor */
	uint16_t of[TINE_BOARD_MEMBERS];
};

void tine_permit_tally(const struct tine_board *board, int64_t now_ns, struct tine_count *ret);

/** By how many it has less than its floor. */
int tine_member_lacks(const struct tine_board_layout *map, const struct tine_count *have,
		      int place);

/** Has it reached its ceiling? Then a permit is no use to it, though it may wait for one. */
bool tine_member_is_full(const struct tine_board_layout *map, const struct tine_count *have,
			 int place);

/** Free a permit that has this word. @return false when it has another one meanwhile */
bool tine_permit_free(struct tine_board_layout *map, int permit, uint64_t word, int open_ms);

/** Free permits of others whose session the server has ended, see ended.c. */
void tine_permit_free_ended(struct tine_board *board);

/** Members that use connections. */
int tine_board_users(const struct tine_board_layout *map);

/** Compute the fair share anew: members came or went, or the budget changed. */
void tine_permit_divide(struct tine_board_layout *map);

/** Free a place in the queue that a word owns. */
void tine_waiter_free(struct tine_board_layout *map, int waiter, uint64_t owner);

/** Wake as many of those who wait longest as there are free permits. */
void tine_waiter_call(struct tine_board *board);

/** How many wait that have a better right to a permit than the caller. @param waiter -1: a newcomer
 */
int tine_waiter_older(const struct tine_board_layout *map, const struct tine_count *have,
		      int waiter, int64_t now_ns);

/** Count anew how many wait. */
void tine_waiter_recount(struct tine_board_layout *map);

/** Give up the place and all that was not given back. */
void tine_board_unlist(struct tine_board *board);

/** As tine_board_note(), of another member. */
void tine_board_note_of(struct tine_board *board, enum tine_board_event_kind kind, uint32_t detail,
			int pid, uint32_t worker);

#endif
