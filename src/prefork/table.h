/* SPDX-License-Identifier: PostgreSQL */
/*
 * What becomes of a worker, and of the master: two tables, state by event. They say what to do and
 * do nothing; loop.c and crew.c act on what they say.
 *
 * A worker:
 *
 *	           FORK            READY             LATE            EXPIRED
 *	   NONE ────────► STARTING ───────► READY ◄────────► LATE ──────────► ABORTED
 *	    ▲                │ EXPIRED        │    RECOVERED   │                 │ EXPIRED
 *	    │                └────────────────┼──► ABORTED     │                 ▼
 *	    │  REAPED                    STOP ▼      QUIT      │ STOP, QUIT    KILLED
 *	    └── any state                 STOPPING ─────► QUITTING ──────────────┘
 *
 * Invariant: from every state but NONE and READY, time alone (EXPIRED, again and again) leads to
 * KILLED, where SIGKILL is sent each time.
 *
 * Locks: none. Fork: constant data.
 */
#ifndef TINE_PREFORK_TABLE_H
#define TINE_PREFORK_TABLE_H

enum tine_worker_state {
	TINE_WORKER_NONE,     /* no process */
	TINE_WORKER_STARTING, /* forked, not ready yet */
	TINE_WORKER_READY,
	TINE_WORKER_LATE,     /* ready, and a unit is beyond its deadline */
	TINE_WORKER_ABORTED,  /* SIGABRT was sent */
	TINE_WORKER_STOPPING, /* asked to end when its work is done */
	TINE_WORKER_QUITTING, /* asked to end now */
	TINE_WORKER_KILLED,   /* SIGKILL was sent */
	TINE_WORKER_STATES
};

enum tine_worker_event {
	TINE_SEEN_FORK,
	TINE_SEEN_READY,
	TINE_SEEN_LATE,      /* one more unit is beyond its deadline */
	TINE_SEEN_RECOVERED, /* no unit is any more */
	TINE_SEEN_EXPIRED,   /* the state's own time is over */
	TINE_SEEN_STOP,      /* it is to end: reload, limit, surplus, shutdown */
	TINE_SEEN_QUIT,      /* it is to end at once */
	TINE_SEEN_REAPED,
	TINE_WORKER_EVENTS
};

enum tine_worker_act {
	TINE_ACT_NOTHING,
	TINE_ACT_WATCH_START, /* its time: startup_timeout_ms */
	TINE_ACT_WELCOME,     /* its time: until it counts as settled */
	TINE_ACT_SETTLE,      /* the kind can start workers: forget those that failed */
	TINE_ACT_WARN,        /* have it call WORKER_TIMEOUT; its time: abort_after_ms */
	TINE_ACT_TELL,        /* the same, and its time is what it was */
	TINE_ACT_RELIEVE,     /* its time: until it counts as settled */
	TINE_ACT_ABORT,       /* SIGABRT; kill_after_ms */
	TINE_ACT_STOP,        /* SIGTERM; graceful_timeout_ms */
	TINE_ACT_QUIT,        /* SIGQUIT; kill_after_ms */
	TINE_ACT_KILL,        /* SIGKILL; kill_after_ms, and again */
	TINE_ACT_BURY,        /* it is gone: tell, count, let go of what it had */
	TINE_ACTS
};

struct tine_worker_step {
	unsigned char next; /* enum tine_worker_state */
	unsigned char act;  /* enum tine_worker_act */
};

/** What an event means to a worker in a state. */
struct tine_worker_step tine_worker_step(enum tine_worker_state state, enum tine_worker_event seen);

enum tine_master_state {
	TINE_MASTER_RUNNING,
	TINE_MASTER_STOPPING, /* workers finish what they have under way */
	TINE_MASTER_QUITTING, /* workers end now */
	TINE_MASTER_STATES
};

enum tine_master_event {
	TINE_TOLD_TERM,
	TINE_TOLD_QUIT, /* also INT */
	TINE_TOLD_HUP,
	TINE_TOLD_MORE,   /* TTIN */
	TINE_TOLD_FEWER,  /* TTOU */
	TINE_TOLD_LOGS,   /* USR1 */
	TINE_TOLD_BROKEN, /* workers of a kind cannot be started */
	TINE_MASTER_EVENTS
};

enum tine_master_act {
	TINE_MASTER_NOTHING,
	TINE_MASTER_STOP,
	TINE_MASTER_QUIT,
	TINE_MASTER_RELOAD,
	TINE_MASTER_MORE,
	TINE_MASTER_FEWER,
	TINE_MASTER_LOGS,
	TINE_MASTER_GIVE_UP, /* as STOP, and tine_master_run() fails */
	TINE_MASTER_ACTS
};

struct tine_master_step {
	unsigned char next; /* enum tine_master_state */
	unsigned char act;  /* enum tine_master_act */
};

/** What an event means to the master in a state. */
struct tine_master_step tine_master_step(enum tine_master_state state, enum tine_master_event told);

#endif
