/* SPDX-License-Identifier: PostgreSQL */
/*
 * What is where in the segment. Only files of src/board include this.
 *
 * The segment is memory that any process of the same user can write to, so nothing that is read
 * from it is believed: indexes are checked against the constants below, text is copied and
 * stripped, and no value of it decides about memory. It holds no pointer, no secret and no SQL.
 *
 * Invariant, which makes SIGKILL at any instruction harmless: what is owned (a permit, a place in
 * the queue, a connect token) is one 64-bit word that names its owner, taken and given back by one
 * compare-and-swap. There is no counter beside the words that could disagree with them. Who finds
 * that an owner is dead swaps the word back, and the swap fails if anything happened in between.
 */
#ifndef TINE_BOARD_LAYOUT_H
#define TINE_BOARD_LAYOUT_H

#include <stdatomic.h>
#include <stdint.h>

#include "board/seat.h"

#define TINE_BOARD_MAGIC UINT64_C(0x0a6472616f62e174) /* not text, and no text file begins so */
#define TINE_BOARD_LAYOUT 2

#define TINE_BOARD_MEMBERS 512  /* pools of processes */
#define TINE_BOARD_PERMITS 2048 /* connections */
#define TINE_BOARD_WAITERS 1024
#define TINE_BOARD_TOKENS 64 /* connects at one time */
#define TINE_BOARD_TARGETS 16
#define TINE_BOARD_EVENTS 256
#define TINE_BOARD_CAUSES 16  /* deaths of connections, as enum tine_cause counts them */
#define TINE_BOARD_BUCKETS 32 /* of histograms of microseconds, by powers of two */
#define TINE_BOARD_NAME_BYTES 64
#define TINE_BOARD_TEXT_BYTES 200

/*
 * The word of a member's place: state (2 bits), generation (12), pid (22), and the lower 28 bits of
 * the time the process was started, in ticks since boot; a pid alone is used again. While a place
 * is being claimed its other fields are not set yet, so the word alone tells who claims it.
 *
 * PAST: the process executed another program. It owns nothing any more, but keeps the place, by
 * which the new program and its children find the board, until it ends.
 */
enum tine_place_state { TINE_PLACE_FREE, TINE_PLACE_CLAIMED, TINE_PLACE_LIVE, TINE_PLACE_PAST };

struct tine_board_member {
	_Alignas(64) _Atomic uint64_t word;
	_Atomic uint64_t pid_namespace; /* only who shares it can tell whether it lives */
	_Atomic uint64_t image;         /* of the program, see struct tine_process */
	_Atomic int64_t joined_ns;
	_Atomic uint32_t worker; /* its place, from 1, once it wants any; 0 before */
	_Atomic uint32_t floor;  /* connections that others cannot borrow */
	_Atomic uint32_t ceiling;
	_Atomic uint32_t wants; /* it has begun to use connections */
	_Atomic uint64_t opened, failed;
	_Atomic uint64_t slow_checkouts, timeouts;
	_Atomic uint64_t closed[TINE_BOARD_CAUSES];
	_Atomic uint64_t wait[TINE_BOARD_BUCKETS];
	char command[32];
	char application[TINE_BOARD_NAME_BYTES];
};

/* The word of a permit, a waiter or a token: the owner's place + 1 and generation, or zero; above
 * it the number of a permit's connection, and since when a token is held (word.h). */
#define TINE_OWNER_PLACE_BITS 16

/* A permit whose connection may still be open at the server, though its owner let it go: free from
 * the time in the lower bits on (milliseconds of the monotonic clock). */
#define TINE_PERMIT_LIMBO (UINT64_C(1) << 63)

struct tine_board_waiter {
	_Alignas(64) _Atomic uint64_t word;
	_Atomic uint64_t ticket; /* order; 0 while the place is being claimed */
	_Atomic uint32_t news;   /* futex of who waits */
	_Atomic int64_t since_ns;
	_Atomic int64_t called_ns; /* when it was told that a permit is free; 0 never */
};

/* One server, database and user. */
struct tine_board_target {
	_Alignas(64) _Atomic uint64_t key; /* 0: not in use */
	_Atomic uint32_t epoch;            /* deaths */
	_Atomic uint32_t condemned;        /* deaths that condemn every older connection */
	_Atomic int64_t silent_idle_ns;    /* after so much idle time connections were found dead */
	_Atomic uint64_t writer;           /* who writes the outage, since when (word.h) */
	_Atomic uint32_t sequence;         /* odd while it is being written */
	_Atomic int64_t at_ns, next_ns;    /* of the outage: seen, and next try */
	_Atomic int32_t status;            /* 0: none; negative TINE_E_... */
	_Atomic uint32_t failures;
	_Atomic uint32_t recoveries; /* futex: the end of an outage */
	char sqlstate[6];
	char text[TINE_BOARD_TEXT_BYTES];
};

struct tine_board_event {
	_Alignas(64) _Atomic uint64_t sequence; /* number + 1 when whole, 0 while being written */
	_Atomic int64_t at_ns;
	_Atomic uint32_t kind, pid, worker, detail;
};

struct tine_board_layout {
	uint64_t magic;
	uint32_t layout;
	uint32_t size_bytes;
	uint64_t boot;           /* of the machine; hash of the kernel's boot identity */
	uint64_t inode;          /* of the file: a name may be another board's by now */
	_Atomic uint32_t dead;   /* no process is left; it is about to be removed */
	_Atomic uint32_t budget; /* 0: no limit but the number of seats */
	_Atomic uint32_t connect_parallel;
	_Atomic uint64_t pid_namespace; /* of who made it */
	_Atomic int64_t made_ns;
	_Atomic uint64_t tickets; /* of waiters, given so far */
	_Atomic uint64_t events_written;
	_Atomic int64_t reap_ns; /* not before then does anybody look for dead members again */
	_Atomic uint32_t mixed;  /* processes of other pid namespaces have been here */

	/* Places beyond these were never used, which spares looking there. Raised before the place
	 * is, never lowered. */
	_Atomic uint32_t permits_used, members_used, waiters_used;
	char name[TINE_BOARD_NAME_BYTES];

	/* How many places in the queue are taken: a hint that spares a search. It may be too high
	 * after somebody died, until it is counted anew, but not too low. waiting_changes goes up
	 * before each change, which tells who counts. */
	_Alignas(64) _Atomic uint32_t waiting_changes;
	_Atomic uint32_t waiting;
	_Atomic uint32_t fair_share; /* budget / members that use connections; a hint too */

	_Alignas(64) _Atomic uint64_t permits[TINE_BOARD_PERMITS];
	struct tine_board_member members[TINE_BOARD_MEMBERS];
	struct tine_seat seats[TINE_BOARD_PERMITS];
	struct tine_board_waiter waiters[TINE_BOARD_WAITERS];
	struct {
		_Alignas(64) _Atomic uint64_t word; /* owner, and since when (word.h) */
	} tokens[TINE_BOARD_TOKENS];
	struct tine_board_target targets[TINE_BOARD_TARGETS];
	struct tine_board_event events[TINE_BOARD_EVENTS];
	struct tine_seat nobody;  /* where who has no permit writes */
	_Atomic uint32_t no_news; /* and where who has no place in the queue waits */
};

_Static_assert(sizeof(_Atomic uint64_t) == 8, "words are lock-free, so they need no lock's memory");
_Static_assert(TINE_BOARD_MEMBERS < 1 << TINE_OWNER_PLACE_BITS, "a word names the member");

#endif
