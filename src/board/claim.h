/* SPDX-License-Identifier: PostgreSQL */
/*
 * What one connect needs of the board: a permit for the connection's life, a token while it is on
 * its way, and a place in the queue until both are there. For whoever opens connections: the pool
 * of libtine, and the preload library for programs that know nothing of it.
 *
 * Owns nothing but the numbers in the caller's struct. Locks: none. Fork: a child forgets its
 * parent's claims; they are not its own to give back.
 */
#ifndef TINE_BOARD_CLAIM_H
#define TINE_BOARD_CLAIM_H

#include "board/board.h"

struct tine_claim {
	int permit, token, waiter; /* -1: none */
};

#define TINE_CLAIM_NONE                                                                            \
	{                                                                                          \
		-1, -1, -1                                                                         \
	}

/** Open the board and become a member. As tine_board_open() and tine_board_enlist(), but for a
 *  board that is on its way out: then the next one of its name is used.
 *  @return 0 or -errno; -ESTALE and -EAGAIN: no place could be had */
int tine_board_join(struct tine_board *board, const struct tine_board_spec *spec, char *ret_error,
		    size_t error_size);

/** Take a permit and a token. What is not there is queued for.
 *  @param ret_again_ns  when to look again, in case that nobody calls
 *  @return true: both are the caller's, which has left the queue */
bool tine_claim_take(struct tine_board *board, struct tine_claim *claim, int64_t now_ns,
		     int64_t *ret_again_ns);

/** Wait until the queue has news, or until then. */
void tine_claim_wait(struct tine_board *board, const struct tine_claim *claim, int64_t until_ns);

/** The connect is over. */
void tine_claim_connected(struct tine_board *board, struct tine_claim *claim);

/** Give all of it back. @param open_ms  as for tine_permit_give() */
void tine_claim_give(struct tine_board *board, struct tine_claim *claim, int open_ms);

/** Why there was no permit, and who has them: one line. @return its length */
size_t tine_claim_explain(const struct tine_board *board, uint64_t waited_ms, char *ret_text,
			  size_t size);

/* PostgreSQL cuts longer ones, and tells the program so. */
#define TINE_IDENTITY_BYTES 63

/** The name shown in pg_stat_activity: "app[w3:4711]". Not longer than
 *  TINE_IDENTITY_BYTES: the application's is cut before. @return the length */
size_t tine_board_identity(const struct tine_board *board, const char *name, char *ret_text,
			   size_t size);

/** A farewell was sent on a socket of which fd is a copy: wait, for a moment, until the server has
 *  ended the session.
 *  @return how long it may still be open, for tine_permit_give() */
int tine_board_await_end(int fd);

#endif
