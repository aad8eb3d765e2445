/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the files of the pool share: the pool, its slots, and who may touch which field when.
 *
 *	         take                      grant, hand over
 *	IDLE ──────────► BUSY ◄──────────────────────┐
 *	 ▲ ▲              │ return                    │
 *	 │ └──────────────┤                           │
 *	 │                ▼                           │
 *	 │              WORK: connecting, or talked to before it is handed out
 *	 │  ready         │  ▲ adopt         │ closed
 *	 └────────────────┘  │               ▼
 *	                   ORPHAN          EMPTY ──► WORK (a new connect)
 *
 * Invariants:
 *  - A slot in BUSY or WORK belongs to one thread, which alone touches its plain fields. From IDLE
 *    it is taken by compare-and-swap on its state, by any thread, with or without the pool's lock.
 *    EMPTY and ORPHAN slots belong to the holder of the pool's lock.
 *  - pool->open counts the slots that are not EMPTY, and never exceeds the limit (lock).
 *  - When an acquire waits and a slot becomes IDLE, the waiter gets it: who makes a slot IDLE looks
 *    at pool->waiting afterwards, who begins to wait looks for IDLE slots afterwards, both in
 *    sequentially consistent order, so one of them sees the other.
 *  - A slot's memory stays until its pool's, so a stale handle can be told from a good one.
 *
 * Locks, in this order: registry (fork.c), gate (fork.c), pool->lock. None is held while libpq or
 *an event function runs, but for the gate while libpq connects or finishes; none across a system
 *call that can block.
 *
 * Fork: see fork.c.
 */
#ifndef TINE_POOL_POOL_H
#define TINE_POOL_POOL_H

#include <pthread.h>
#include <stdatomic.h>

#include "board/board.h"
#include "board/seat.h"
#include "pool/address.h"
#include "pool/conninfo.h"
#include "pool/pq.h"
#include "tine/tine.h"

#define TINE_LANES 64
#define TINE_TICKETS 16
#define TINE_LISTENERS 8
#define TINE_LABEL_BYTES 48
#define TINE_CACHE_LINE 64

#define TINE_TOLD_LABEL (1U << 0) /* slot->label is of this checkout */
#define TINE_TOLD_LEAK (1U << 1)  /* it was told as a leak */

/* Younger than this since its last use, a connection is handed out unseen. A look at its socket
 * costs a quarter of a microsecond; this is about what the coarse clock can tell. */
#define TINE_FRESH_NS (10 * (int64_t)TINE_NS_PER_MS)

enum tine_slot_state {
	TINE_SLOT_EMPTY,
	TINE_SLOT_IDLE,
	TINE_SLOT_BUSY,
	TINE_SLOT_WORK,
	TINE_SLOT_ORPHAN,
	/* In a child: a connection of the parent's. Nobody was inside libpq with it, or perhaps. */
	TINE_SLOT_LEFT_QUIET,
	TINE_SLOT_LEFT_BUSY,
};

/* A handle is one of a slot's tickets; each checkout uses the next one, so a handle that was
 * returned is told from the one that is out, for the next 15 checkouts of the slot. */
struct tine_conn {
	struct tine_slot *slot;
};

/* What a connection still has to do before it can be handed out. */
enum tine_todo {
	TINE_TODO_DRAIN = 1 << 0,   /* read the answer to a reset that was sent ahead */
	TINE_TODO_DISCARD = 1 << 1, /* DISCARD ALL */
	TINE_TODO_WATCH = 1 << 2,   /* have the server watch us: orphan_check_ms, lend_after_ms */
	TINE_TODO_SETUP = 1 << 3,   /* on_connect_sql */
	TINE_TODO_PING = 1 << 4,
	/* What an answer to is a sign of life of now. */
	TINE_TODO_ROUND_TRIP =
		TINE_TODO_DISCARD | TINE_TODO_WATCH | TINE_TODO_SETUP | TINE_TODO_PING,
};

struct tine_work {
	unsigned todo;       /* enum tine_todo; the lowest bit is under way when sent is true */
	bool growing;        /* counted in pool->growing; a replacement is not */
	bool sent;           /* a query is out */
	bool failed;         /* ... and has failed, with error; the rest of the answer is due */
	bool silent;         /* it failed because no answer came */
	short events;        /* POLLIN, POLLOUT: what it waits for */
	int64_t began_ns;    /* of the connect */
	int64_t deadline_ns; /* of this address, or of the round trip */
	struct tine_address *addresses;
	int address_count, address_at;
	bool second_pass;       /* of prefer-standby: any server will do now */
	ConnStatusType reached; /* how far libpq had come before its last step */
	tine_error error;       /* why it failed, or the last address did */
};

struct tine_slot {
	_Alignas(TINE_CACHE_LINE) _Atomic uint32_t state; /* enum tine_slot_state */
	uint32_t epoch;                                   /* pool->epoch when last known alive */
	_Atomic int64_t stamp_ns;                         /* when returned; orders the idle ones */
	_Atomic int64_t taken_ns;
	int64_t expires_ns; /* age limit */
	int64_t ends_ns;    /* the server may end it from then on, if it hears nothing */
	PGconn *pg;
	struct tine_pool *pool;
	_Atomic(tine_conn *) ticket; /* that is out; NULL when none is */

	/* second line: touched on return */
	_Atomic(const void *) site; /* the acquire's return address */
	_Atomic pthread_t owner;
	uint64_t uses;           /* checkouts of this slot; chooses the ticket */
	uint64_t uses_end;       /* the first that is too many for max_uses */
	int64_t quiet_ns;        /* how long it surely lets it be idle; 0: for ever */
	uint32_t born_epoch;     /* pool->epoch when connected */
	bool standby, read_only; /* what the server was when connected */
	bool dirty;              /* a statement may have left session state */
	bool read_only_seen;     /* 25006 came by */
	bool answered;           /* a statement succeeded in this checkout */
	bool oversized;
	bool was_reset;        /* by PQreset(), which makes another session of it */
	bool leaving;          /* counted in pool->leaving */
	bool touched;          /* the program asked for the PGconn in this checkout */
	bool role_known;       /* nothing was read from the server since its role was compared */
	_Atomic uint32_t told; /* TINE_TOLD_... of this checkout */
	char last_sqlstate[6]; /* of the last error in this checkout */

	_Atomic bool connecting; /* on the way to the server, on_connect_sql included */
	int fd;                  /* of the connection, -1 when there is none; with its inode */
	uint64_t inode;
	struct tine_pq_watcher watcher;
	struct tine_pq_dress dress;
	struct tine_work work;
	char label[TINE_LABEL_BYTES]; /* with TINE_TOLD_LABEL; under the lock */
	int64_t idle_before_ns;       /* how long it was idle before this checkout */
	int64_t role_due_ns;          /* a return from then on compares the role */
	struct tine_slot *next_left;
	struct tine_seat *seat; /* where people look: on the board, or own_seat */
	struct tine_seat own_seat;
	int permit, token; /* of the board, -1: none */
	_Atomic uint64_t hold_sum_us;
	_Atomic uint64_t hold[TINE_HISTOGRAM_BUCKETS];
	tine_conn tickets[TINE_TICKETS];
};

/* Where threads leave word of the slot they used last, and order their returns. Chosen by thread;
 * two threads may share one, which costs time and nothing else. */
struct tine_lane {
	_Alignas(TINE_CACHE_LINE) _Atomic(struct tine_slot *) slot;
	_Atomic int64_t stamp_ns;
};

/* Reasons for the slow path. */
enum tine_slow {
	TINE_SLOW_PAUSED = 1 << 0,
	TINE_SLOW_PAUSED_FAIL = 1 << 1,
	TINE_SLOW_CLOSED = 1 << 2,
	TINE_SLOW_LEFT = 1 << 3, /* a child that has not adopted the pool yet */
};

/* What comes from the board, see share.h; words of one's own where there is none. */
struct tine_share {
	struct tine_board board;
	bool on;
	int target;                    /* the server, database and user, on the board */
	const _Atomic uint32_t *epoch; /* changes with each death that any process found */
	const _Atomic uint32_t *fair;  /* connections above it are looked at when they come back */
	_Atomic uint64_t seen;         /* of deaths as far as we have learned: see share.c */
};

struct tine_listener {
	tine_event_fn fn;
	void *user_data;
};

/* The last connect that failed, until one succeeds. */
struct tine_outage {
	tine_error error; /* status 0: none */
	int64_t at_ns;    /* when */
	int64_t next_ns;  /* not tried again before */
	int failures;     /* in a row */
};

/* Counters that only slow paths touch; under the pool's lock. */
struct tine_tally {
	uint64_t opened, open_failed, timeouts, leaks, slow_checkouts;
	uint64_t closed[TINE_CAUSE_COUNT];
	tine_histogram wait, connect;
	tine_error last_error;
};

struct tine_pool {
	const struct tine_pq *pq;
	_Atomic uint32_t slow;       /* enum tine_slow */
	_Atomic uint32_t generation; /* of processes: one more in each child */
	_Atomic uint32_t
		epoch; /* grows with each death: what was seen alive before it is suspect */
	_Atomic uint32_t condemned_epoch; /* connections born before it are closed unseen: dead, */
	_Atomic uint32_t disposed_epoch;  /* or disposed of */
	_Atomic int64_t suspended_ns;     /* how long the machine had slept when we looked last */
	_Atomic int64_t suspend_seen_ns;  /* when we looked, in ticks of the coarse clock */
	_Atomic uint32_t waiting;
	_Atomic uint32_t listening; /* 1 << enum tine_event_kind */
	_Atomic int64_t next_sweep_ns;
	_Atomic int64_t silent_idle_ns; /* idle time after which one was found silently dead */
	_Atomic uint64_t pings;
	_Atomic bool tls_seen; /* a connection was encrypted: it never goes back to clear text */
	_Atomic int open;      /* written under the lock */
	_Atomic int pool_size;
	bool is_plain; /* a connection that comes back idle may be parked as it is */
	_Atomic uint32_t
		retired; /* counts up; a futex for who waits for the pool to become empty */
	/* Of TINE_TODO_WATCH, without lend_after_ms and with it; "" when it is off. */
	char watch_sql[160], lend_sql[240];
	tine_pool_config config; /* texts: NULL but for on_connect_sql, which is ours */
	struct tine_conninfo conninfo;
	struct tine_share share;
	struct tine_lane lanes[TINE_LANES];

	_Alignas(TINE_CACHE_LINE) pthread_mutex_t lock;
	struct tine_slot **slots; /* slot_count places, NULL where none was needed yet */
	_Atomic int slot_count;   /* written under the lock */
	int max_overflow;
	int to_replace;           /* connections that died, whose replacement is no growth, */
	int64_t replace_until_ns; /* for some seconds */
	/* The address that answered when one before it did not; comes first for a while. */
	struct tine_address detour;
	int64_t detour_until_ns;
	int64_t connect_ns;        /* how long connects take, of late; 0: not known */
	int growing;               /* connects in flight that make the pool larger */
	int leaving;               /* surplus connections that are about to be closed */
	tine_acquire *head, *tail; /* of the queue */
	int calls; /* acquires and pauses that are inside the pool: it is not freed before they left
		    */
	struct tine_outage outage;
	struct tine_tally tally;
	bool connected_once;
	struct tine_slot
		*left; /* of ancestors' checkouts, whose handles may still be shown to us */
	struct tine_listener listeners[TINE_EVENT_COUNT][TINE_LISTENERS];
	_Atomic int listener_count[TINE_EVENT_COUNT];
	struct tine_pool *next, *previous; /* in the registry */
};

/** Take and release pool->lock. */
void tine_pool_lock(struct tine_pool *pool);
void tine_pool_unlock(struct tine_pool *pool);

/** Make a pool on a table of libpq functions. As tine_pool_new(). */
tine_pool *tine_pool_new_with(const struct tine_pq *pq, const tine_pool_config *config,
			      tine_error *error);

/** End a call that was counted in pool->calls. The last one frees a closed pool: do not touch it
 *  afterwards. No lock held. */
void tine_pool_leave(struct tine_pool *pool);

/** Step into a slow path: notice a fork, adopt the pool in a child. No lock held. */
void tine_pool_enter(struct tine_pool *pool);

/** The time limit for one address. */
int64_t tine_pool_connect_timeout(const struct tine_pool *pool);

/** Connections the pool may have. Lock held. */
int tine_pool_limit(const struct tine_pool *pool);

#endif
