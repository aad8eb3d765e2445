/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the files of the supervisor share: the master, its kinds, its workers.
 *
 *	master.c   make, add, change, free; run: from the first hook to the last
 *	loop.c     the master's poll loop: signals, time, and what they mean by the tables
 *	crew.c     one worker as the master sees it: fork, acts of the table, burial
 *	roll.c     how many there are to be, of which generation, and whose turn it is to go
 *	child.c    the worker's process: from the fork to its end
 *	work.c     what the program calls in it: units, accept, wait
 *	heart.h    the memory that a worker and the master share
 *
 * A tine_worker is a place in the master's table. The process that is forked for it has a copy, and
 * uses it as its own; the part named "own" is not used in the master, the rest not in the worker
 * but to look at.
 *
 * Invariants:
 *  - pid is not 0 exactly while state is not TINE_WORKER_NONE: a signal is sent to children that
 *    were not reaped, and so never to a stranger with the same number.
 *  - state is changed by tine_crew_see() alone.
 *  - What a worker writes (its heart, its channel) moves no other worker, and no index or length of
 *    it is used.
 *
 * Locks: none in the master, which is one thread; in the worker a gate, until its threads begin.
 *
 * Fork: the child is made by fork() with all signals blocked, so the pool's handlers have run, and
 * nothing else, when child.c begins. It closes the other workers' channels and unmaps their hearts.
 */
#ifndef TINE_PREFORK_MASTER_H
#define TINE_PREFORK_MASTER_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "base/line.h"
#include "pool/settings.h"
#include "prefork/heart.h"
#include "prefork/listen.h"
#include "prefork/table.h"
#include "tine/tine.h"

#define TINE_KINDS_MAX 8
#define TINE_HOOK_FNS 8
#define TINE_KIND_NAME_BYTES 16
#define TINE_WORKER_NAME_BYTES 32

/* A worker that ends by itself sooner than this after it was ready has failed to start. */
#define TINE_SETTLED_NS ((int64_t)TINE_NS_PER_S)

/* Exit statuses of workers. */
#define TINE_EXIT_FAILED 1 /* the kind's function returned something else than 0 */
#define TINE_EXIT_BOOT 3   /* a hook refused, or the system did, before it was ready */

/* What a worker tells the master, one byte each. */
#define TINE_SAYS_READY 'R'
#define TINE_SAYS_UNITS 'U'   /* it has done max_units */
#define TINE_SAYS_LEAVING 'L' /* it ends, whoever asked for that */

struct tine_unit {
	struct tine_worker *worker;
	struct tine_watch *watch;
	_Atomic bool taken;
	uint32_t told; /* watch->serial for which WORKER_TIMEOUT was called */
};

struct tine_worker_own {
	int channel; /* to the master; its end is the master's */
	int stop_fd;
	int accept_fd; /* an epoll with the listening sockets, -1 without */
	pid_t master_pid;
	bool orphan; /* the channel's other end is closed */
	_Atomic bool stopping;
	_Atomic int threads_left;
	_Atomic int status; /* to exit with */
	_Atomic uint64_t units_done;
	uint64_t units_limit; /* 0 = none */
	struct tine_unit *units;
};

/* Which deadline of a unit was seen to be over, and when. */
struct tine_lateness {
	uint32_t serial;
	int64_t since_ns;
};

struct tine_worker {
	struct tine_master *master;
	struct tine_kind *kind;
	int number;
	char name[TINE_WORKER_NAME_BYTES];

	/* from here on since the last fork */
	tine_worker_config config;
	enum tine_worker_state state;
	int64_t deadline_ns; /* of the state */
	pid_t pid;
	int generation;
	int64_t forked_ns, ready_ns;
	int ending; /* why it was asked to end: enum tine_ending; TINE_END_ITSELF when it was not */
	int retire; /* why it should end when its turn comes; the same */
	int channel;
	struct tine_heart *heart;
	int unit_count;
	struct tine_lateness *told; /* of each unit */
	int late;                   /* units beyond their deadline at the last look */

	struct tine_worker_own own;
};

struct tine_kind {
	char name[TINE_KIND_NAME_BYTES];
	tine_worker_fn fn;
	void *user_data;
	tine_worker_config config;
	struct tine_worker **workers; /* at least config.workers of them while running */
	int count;
	int failures; /* to start, in a row */
	int64_t fork_after_ns;
};

struct tine_hook_entry {
	tine_hook_fn fn;
	void *user_data;
};

struct tine_master {
	tine_master_config config; /* its texts are ours */
	struct tine_kind kinds[TINE_KINDS_MAX];
	int kind_count;
	struct tine_hook_entry hooks[TINE_HOOK_COUNT][TINE_HOOK_FNS];
	struct tine_sink sink;
	struct tine_listeners listeners;

	/* while it runs */
	bool running;
	enum tine_master_state state;
	int generation;
	bool reloading;
	int64_t reload_ns;
	bool reaps_strangers;
	bool said_ready; /* to the service manager */
	int64_t look_ns; /* at memory, next */
	int64_t watchdog_ns, watchdog_next_ns;
	tine_error error; /* why it gave up */
};

extern const struct tine_settings_kind tine_master_settings;
extern const struct tine_settings_kind tine_worker_settings;

/* ---- hook.c ---- */

/** Call the functions of a hook, the first that refuses being the last.
 *  @param hook kind and what is the hook's own are set by the caller, worker too
 *  @return what the last one returned */
int tine_hook_call(struct tine_master *master, struct tine_hook_event *hook);

/** The same with nothing of its own. */
int tine_hook_call_plain(struct tine_master *master, enum tine_hook_kind kind,
			 struct tine_worker *worker);

/** One line to the master's log: "tine[PID] WHO: ...". @param worker NULL: the master says it */
__attribute__((format(printf, 3, 4))) void tine_master_say(const struct tine_master *master,
							   const struct tine_worker *worker,
							   const char *format, ...);

/* ---- loop.c ---- */

/** Keep the workers until none is left. */
void tine_loop(struct tine_master *master);

/** An event of the master's table. */
void tine_loop_told(struct tine_master *master, enum tine_master_event told);

/* ---- crew.c ---- */

/** An event of the worker's table. @param wait_status of REAPED */
void tine_crew_see(struct tine_worker *worker, enum tine_worker_event seen, int wait_status);

/** Fork a process for a place that has none. Failing counts as a worker that failed to start. */
void tine_crew_fork(struct tine_worker *worker);

/** Ask it to end. @param ending enum tine_ending */
void tine_crew_stop(struct tine_worker *worker, int ending);

/** Look at its units' deadlines. */
void tine_crew_watch(struct tine_worker *worker, int64_t now_ns);

/** Read what it says. */
void tine_crew_listen(struct tine_worker *worker);

/** Look at its memory; above max_rss_bytes it is to retire. */
void tine_crew_weigh(struct tine_worker *worker);

static inline bool tine_crew_is_ready(const struct tine_worker *worker)
{
	return worker->state == TINE_WORKER_READY || worker->state == TINE_WORKER_LATE;
}

/* ---- roll.c ---- */

/** Make a kind's places as many as there are to be, and tell. @return 0 or TINE_E_NOMEM */
int tine_roll_resize(struct tine_master *master, struct tine_kind *kind, int before,
		     tine_error *error);

/** Fork what is missing, stop what is too much, and one at a time what is to be replaced. */
void tine_roll(struct tine_master *master, int64_t now_ns);

/** When it should be called again. @return TINE_NEVER_NS when only events can change anything */
int64_t tine_roll_next_ns(const struct tine_master *master);

/** Free the places of a kind; none has a process. */
void tine_roll_free(struct tine_kind *kind);

/** How many workers of a kind are ready. */
int tine_roll_ready(const struct tine_kind *kind);

/* ---- child.c ---- */

/** The worker's process. @param channel its end @param mask signals to unblock */
_Noreturn void tine_child(struct tine_worker *worker, int channel, const sigset_t *mask,
			  pid_t master_pid);

/** Have the worker end when its work is done. Any thread. */
void tine_child_stop(struct tine_worker *worker);

/** Say something to the master. Any thread. */
void tine_child_say(struct tine_worker *worker, char what);

#endif
