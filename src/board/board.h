/* SPDX-License-Identifier: PostgreSQL */
/*
 * The board: what the processes of one tree share. A hard cap on their connections (permits, FIFO
 * over all processes), the pace of their connects, what one of them knows of the server, and a view
 * for tine ps and tine top.
 *
 * Owns: a mapping of one file, and this process's place in it. Locks: none; all of the segment is
 * words that are changed by compare-and-swap (layout.h). Nothing here waits, but for who asks to.
 * Fork: the mapping is inherited; the child calls tine_board_left() in its handler and enlists as a
 * member of its own with tine_board_enlist() when it first needs to. Threads: any, but for open,
 * close and enlist, which the caller serializes.
 */
#ifndef TINE_BOARD_BOARD_H
#define TINE_BOARD_BOARD_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tine_board_layout;

struct tine_board_spec {
	const char *path;        /* of a board that is there, as tine run names it; or NULL */
	const char *name;        /* shared by all who use it; NULL: of this process tree */
	const char *application; /* for people; may be NULL */
	int budget;              /* connections of all; 0: what the board has, or no limit */
	int connect_parallel;    /* connects at one time, of all; 0: what the board has */
	int floor, ceiling;      /* of this member; 0: none */
};

/* As many as there are permits, in words of 64. */
#define TINE_BOARD_HELD_WORDS 32

struct tine_board {
	struct tine_board_layout *map;
	int place;      /* of this member; -1: none yet */
	uint64_t owner; /* the word that names it; 0: none yet */
	/* Permits that were taken and not given back, be they lost or not: not taken again before,
	 * so that who gives one back does not hit the next one. */
	_Atomic uint64_t held[TINE_BOARD_HELD_WORDS];
	_Atomic uint64_t numbers; /* of permits' words, so far */
	_Atomic int look_from;    /* the permit that is looked at next, see ended.c */
	int floor, ceiling;
	bool made_here;
	bool inherited; /* the mapping is a parent's, and its other children have it too */
	char application[64];
	char path[PATH_MAX];
};

/** Names are letters, digits, '.', '_' and '-', up to 63, and do not begin with a dot. */
bool tine_board_name_is_good(const char *name);

/** Find the board or make it, and map it. This process is no member before it enlists.
 *  @param ret        the caller's, ended by tine_board_close()
 *  @param ret_error  what to show when it failed: one line
 *  @return 0, or -errno: -ENOSPC no room in shared memory, -EPERM somebody else's directory or
 *          file, -EPROTO another layout, -EINVAL a bad name, -ENOENT no board at spec->path */
int tine_board_open(struct tine_board *ret, const struct tine_board_spec *spec, char *ret_error,
		    size_t error_size);

/** Leave it as a process that ends does: what it had is given back, and the mapping stays, since
 * other threads may still be in it. */
void tine_board_leave(struct tine_board *board);

/** Leave it and let go of the mapping. The file goes with its last member. In a child that has not
 *  enlisted only the mapping goes. */
void tine_board_close(struct tine_board *board);

/** Become a member, once per process. @return 0, -EAGAIN when all places are taken, -ESTALE when
 * the board is being removed since nobody is on it any more (close it and open it again; a board
 *  that was inherited is used all the same, since its heirs have no other in common), or -errno
 *  when the process cannot read about itself in /proc */
int tine_board_enlist(struct tine_board *board);

/** In the child of a fork, in its handler: what was the parent's is not ours. Stores only. */
void tine_board_left(struct tine_board *board);

/** The number of this member among those that live, from 1; 0 before it enlisted. */
int tine_board_worker(const struct tine_board *board);

/** Give back what dead members had, if it is time to look for them.
 *  @param now  look whether it is time or not */
void tine_board_reap(struct tine_board *board, bool now);

/* ---- permits -------------------------------------------------------------------------------- */

/** Take a permit, if one is free and nobody who waits has the better right to it.
 *  @param waiter  the caller's place in the queue, or -1
 *  @return its number, or -1: all are taken, or this member has reached its ceiling */
int tine_permit_take(struct tine_board *board, int waiter);

/** How long a server may need to end a session whose client said farewell. */
#define TINE_PERMIT_CLOSED_MS 100

/** Give it back and call who waits.
 *  @param open_ms  how long the server may still have the connection open: the permit is free only
 *                  then. 0: it is known to be closed */
void tine_permit_give(struct tine_board *board, int permit, int open_ms);

/** The permit's connection is to be replaced by another one: before that one is begun, and after
 * the old one was closed.
 *  @return false when it was lost: the server had ended the session, and somebody else has it. Give
 *          it back then, as any other, and take one */
bool tine_permit_renew(struct tine_board *board, int permit);

/** Is it still this member's? Only when its session has ended can it be anybody else's. */
bool tine_permit_is_own(const struct tine_board *board, int permit);

/** The permit's connection is there, on that socket. When the server ends an idle one, others may
 *  have the permit, though this process does nothing. Who never says so loses none.
 *  Call it once for each connection. */
void tine_permit_tell_socket(struct tine_board *board, int permit, int fd);

/** Should this member close an idle connection of that permit? It should if it has more than its
 *  fair share and others are in need, or if it would keep what others are entitled to; and where
 *  there are more members than permits, after a while.
 *  @param has_use  somebody in this process waits for it, or it is closed soon where nobody has a
 *                  use for it: it is given to who waits, and not kept free for who may come */
bool tine_permit_is_too_much(const struct tine_board *board, int permit, bool has_use);

/** Does somebody wait, of whatever process? One load. */
bool tine_board_has_waiters(const struct tine_board *board);

/** Has this very process waited for long, for what its other connections may have? For who cannot
 *  hand one over within the process. */
bool tine_permit_is_missed(const struct tine_board *board);

/** This member begins to use connections: from now on it counts where they are divided. */
void tine_board_want(struct tine_board *board);

/** A word with the fair share of a member: who has no more never needs to ask whether it has too
 *  much. For paths that are taken each time. */
const _Atomic uint32_t *tine_permit_fair_share(const struct tine_board *board);

struct tine_permit_use {
	int budget;  /* 0: no limit */
	int taken;   /* by all */
	int own;     /* by this member */
	int members; /* that live */
	int waiting;
};

/** How it stands now. */
void tine_permit_count(const struct tine_board *board, struct tine_permit_use *ret);

/** "w1:4711 has 3, w2:4712 has 2, ...": the members that have most, others than this one first.
 *  @return the length */
size_t tine_permit_holders(const struct tine_board *board, char *ret_text, size_t size);

/* ---- the queue ------------------------------------------------------------------------------ */

/** Join the queue for permits. @return a place, or -1 when it is full: look again soon then */
int tine_waiter_enter(struct tine_board *board);

/** Leave it, with a permit or without. -1 is fine. */
void tine_waiter_leave(struct tine_board *board, int waiter);

/** Wait for the next call: what was called is forgotten. Look once more before sleeping. */
void tine_waiter_rearm(struct tine_board *board, int waiter);

/** The futex (shared) that is woken, and not zero any more, when there may be a permit. */
_Atomic uint32_t *tine_waiter_news(struct tine_board *board, int waiter);

/** Who waits looks again after so long without news: a caller may have died. */
#define TINE_WAITER_LOOK_MS 50

/* ---- connects ------------------------------------------------------------------------------- */

/** Take a token for one connect. @return its number, or -1: enough are on their way */
int tine_token_take(struct tine_board *board);

/** Give it back. -1 is fine. */
void tine_token_give(struct tine_board *board, int token);

/* ---- what is known of a server -------------------------------------------------------------- */

struct tine_outage_note {
	int status; /* negative TINE_E_..., 0: none */
	char sqlstate[6];
	char text[200];
	int64_t at_ns, next_ns; /* seen, and not to be tried before */
	uint32_t failures;
};

/** The entry of a server, database and user.
 *  @param key  a hash of them, not 0
 *  @return its number, or -1 when there are too many: nothing is shared then */
int tine_server_find(struct tine_board *board, uint64_t key);

/** Deaths so far; each makes older connections suspect. @param ret_condemned those after which
 * older ones are not used again. -1 is fine. */
uint32_t tine_server_epoch(const struct tine_board *board, int target, uint32_t *ret_condemned);

/** A connection died. @param condemned every older one is not to be used again
 *  @return the epoch that makes */
uint32_t tine_server_died(struct tine_board *board, int target, bool condemned);

/** Word that changes with each death, for paths that are taken each time; never NULL. */
const _Atomic uint32_t *tine_server_epoch_word(const struct tine_board *board, int target);

/** Share the idle time that kills, 0 when it was wrong; and read it. */
void tine_server_set_silence(struct tine_board *board, int target, int64_t idle_ns);
int64_t tine_server_silence(const struct tine_board *board, int target);

/** A connect failed: everybody is to know. */
void tine_server_failed(struct tine_board *board, int target, const struct tine_outage_note *note);

/** A connect succeeded: who waits is woken. */
void tine_server_recovered(struct tine_board *board, int target);

/** What is known. @return true when there is an outage */
bool tine_server_outage(const struct tine_board *board, int target, struct tine_outage_note *ret);

/** May the caller try, as the only one until then? @return true once per pause */
bool tine_server_probe(struct tine_board *board, int target, int64_t now_ns, int64_t until_ns);

/* ---- for people ----------------------------------------------------------------------------- */

enum tine_board_event_kind {
	TINE_BOARD_JOINED = 1,
	TINE_BOARD_ENDED,  /* left */
	TINE_BOARD_REAPED, /* died, and what it had was given back; detail: how many permits */
	TINE_BOARD_OPENED,
	TINE_BOARD_CLOSED, /* detail: enum tine_cause */
	TINE_BOARD_FAILED, /* a connect */
	TINE_BOARD_RECOVERED,
	TINE_BOARD_TIMEOUT, /* of an acquire */
	TINE_BOARD_FORKED,
};

/** Add to the recent events. */
void tine_board_note(struct tine_board *board, enum tine_board_event_kind kind, uint32_t detail);

/** The seat of a permit: what its owner tells of its connection. Never NULL: one of nobody's for
 * -1. */
struct tine_seat *tine_permit_seat(struct tine_board *board, int permit);

/** A number in the segment that this member counts up, for people. */
void tine_board_count_wait(struct tine_board *board, uint64_t wait_us);

#endif
