/* SPDX-License-Identifier: PostgreSQL */
/*
 * A board as people and their tools see it: a copy, taken in one go, in which every index has been
 * checked, every number is within reason and every text is printable ASCII, whatever was in the
 * segment. Nothing is written to the board, no lock is taken and no process is disturbed; the dead
 * are shown as dead and left to their own to be reaped.
 *
 * Owns: memory of its own. Locks: none. Fork: plain memory.
 */
#ifndef TINE_BOARD_VIEW_H
#define TINE_BOARD_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "board/board.h"
#include "board/seat.h"

#define TINE_VIEW_CAUSES 16
#define TINE_VIEW_BUCKETS 32

enum tine_view_life {
	TINE_VIEW_ALIVE,
	TINE_VIEW_DEAD,    /* and not reaped yet */
	TINE_VIEW_PAST,    /* it executed another program, and has nothing any more */
	TINE_VIEW_FOREIGN, /* in another pid namespace: its pid means nothing here */
};

struct tine_view_member {
	enum tine_view_life life;
	int pid;
	int worker;        /* 0: none, it wants no connections yet */
	int64_t joined_ns; /* with the pid, what tells two members apart */
	int64_t age_ns;    /* since it joined */
	int floor, ceiling;
	int held; /* permits; the sum of the next four, and of those whose state is not told */
	int connecting, idle, busy, closing;
	int waiting; /* places in the queue */
	bool wants;  /* it has begun to use connections, and counts for the fair share */
	int64_t opened, failed, slow_checkouts, timeouts;
	int64_t closed[TINE_VIEW_CAUSES]; /* by enum tine_cause */
	int64_t wait[TINE_VIEW_BUCKETS];  /* slow checkouts that took under 2^n microseconds */
	char command[32], application[64];
};

struct tine_view_seat {
	int permit;
	int member; /* index, -1: of one that is gone */
	enum tine_seat_state state;
	enum tine_seat_transaction transaction;
	int64_t since_ns; /* for so long in this state */
	int64_t age_ns;   /* since it was opened; 0: not told */
	int64_t uses;
	uint32_t backend_pid;
	int target; /* index, -1: not told */
	char label[TINE_SEAT_LABEL_BYTES + 1];
};

struct tine_view_waiter {
	int member; /* index, -1: of one that is gone */
	uint64_t ticket;
	int64_t since_ns; /* for so long */
	bool called;      /* it was told that a permit is free */
};

struct tine_view_target {
	int number;
	uint32_t deaths;
	int64_t silent_idle_ns; /* 0: not learned */
	int status;             /* negative TINE_E_... of an outage, 0: none */
	uint32_t failures;
	int64_t age_ns, next_in_ns; /* of the outage: seen, and next tried in */
	char sqlstate[6];
	char text[200];
};

struct tine_view_event {
	uint64_t number;
	int64_t age_ns;
	enum tine_board_event_kind kind;
	int pid, worker;
	uint32_t detail;
};

struct tine_view {
	char path[256]; /* shown only: cut and stripped */
	char label[72]; /* its name, or its file's without the suffix */
	bool named;
	bool old; /* left from before the machine was started: all in it are dead */
	uid_t owner;
	int64_t age_ns;
	int budget;     /* 0: no limit */
	int fair_share; /* of the budget, for each member that wants; 0: none */
	int connect_parallel;
	int tokens;      /* connects on their way */
	int held, limbo; /* permits; limbo: let go of, and the server may still have the session */
	int free;        /* below the budget; 0 without one */
	struct tine_view_member *members; /* by worker number, those without one last */
	int members_count;
	struct tine_view_seat *seats; /* by permit */
	int seats_count;
	struct tine_view_waiter *waiters; /* who waits longest first */
	int waiters_count;
	struct tine_view_target *targets;
	int targets_count;
	struct tine_view_event *events; /* newest first */
	int events_count;
};

/** Look at a board.
 *  @param path        of its file
 *  @param ret         the caller's, ended by tine_view_free()
 *  @param ret_layout  set with -EPROTO: the layout that it has
 *  @return 0, -EPERM (open to others than its owner), -EPROTO (another layout), -EILSEQ (no board),
 *          -ENOENT, -ENOMEM, or -errno */
int tine_view_read(const char *path, struct tine_view **ret, uint32_t *ret_layout);

/** NULL is fine. */
void tine_view_free(struct tine_view *view);

/** Members that live, as far as can be told. */
int tine_view_living(const struct tine_view *view);

#endif
