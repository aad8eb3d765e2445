/* SPDX-License-Identifier: PostgreSQL */
/*
 * libtine's supervisor: a master process that keeps a number of workers alive, of one or several
 * kinds (web, task), each with threads. Part of <tine/tine.h>, which includes it.
 *
 *	tine_master_config_init(&config);
 *	tine_worker_config_init(&web);
 *	master = tine_master_new(&config, &error);
 *	tine_master_add(master, "web", serve, pool, &web, &error);
 *	tine_master_on(master, TINE_HOOK_WORKER_READY, tell, NULL);
 *	rc = tine_master_run(master, &error);
 *
 * The program makes its pool before tine_master_run(); each worker finds it empty, before any hook
 * of the program runs there.
 *
 * Unlike the pool, tine_master_run() installs signal handlers (and restores the former ones when it
 * returns), forks, and in its workers starts threads and ends the process.
 *
 * Which hook runs in which process, with which signals, and what it may call: docs/prefork.md and
 * tine_master_on(3).
 */
#ifndef TINE_PREFORK_H
#define TINE_PREFORK_H

#include <tine/tine.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tine_master tine_master;
typedef struct tine_worker tine_worker;
typedef struct tine_unit tine_unit;

/* ---- settings ------------------------------------------------------------------------------- */

/** What all workers share. Filled by tine_master_config_init(), changed by assignment or by name.
 *  Texts are borrowed until tine_master_new() returns. Ranges, defaults and what each does:
 *  tine_master_config(3). */
typedef struct tine_master_config {
	size_t size;        /* of this struct as the program knows it */
	const char *listen; /* "127.0.0.1:8000, [::1]:8000, unix:/run/app.sock"; LISTEN_FDS wins */
	int backlog;        /* connections that may wait to be accepted */
	bool preload_app;   /* LOAD runs once in the master, else in each worker */
	int boot_failures_max; /* in a row, with no worker of the kind left; 0 = any number */
	int backoff_first_ms;  /* before the next start after one that failed */
	int backoff_max_ms;
	const char *master_log; /* a file, or "-" for standard error */
} tine_master_config;

/** What is a kind's own. As tine_master_config; tine_worker_config(3). */
typedef struct tine_worker_config {
	size_t size;  /* of this struct as the program knows it */
	int workers;  /* processes */
	int threads;  /* of each process, that run the kind's function */
	int units;    /* that one process may have under way at once; 0 = as many as threads */
	bool accepts; /* has the listening sockets */
	int startup_timeout_ms;
	int unit_timeout_ms;     /* 0 = none */
	int abort_after_ms;      /* from WORKER_TIMEOUT to SIGABRT */
	int kill_after_ms;       /* from SIGABRT or SIGQUIT to SIGKILL */
	int graceful_timeout_ms; /* from SIGTERM to SIGKILL */
	int max_units;           /* after which a worker is replaced; 0 = any number */
	int max_units_jitter;    /* up to so many more, at random for each worker */
	int64_t max_rss_bytes;   /* above which it is replaced; 0 = any */
} tine_worker_config;

/** Set every field to its default: tine_master_config_init(&config). The macro adds the size. */
TINE_PUBLIC void tine_master_config_init(tine_master_config *config, size_t size_bytes);
#define tine_master_config_init(config) (tine_master_config_init)((config), sizeof(*(config)))

/** Set one field by its name from text. @return as tine_pool_config_set() */
TINE_PUBLIC int tine_master_config_set(tine_master_config *config, const char *name,
				       const char *value, tine_error *error);

/** Set what the environment says: TINE_LISTEN and so on. @return as tine_pool_config_env() */
TINE_PUBLIC int tine_master_config_env(tine_master_config *config, tine_error *error);

/** Set every field to its default: tine_worker_config_init(&config). The macro adds the size. */
TINE_PUBLIC void tine_worker_config_init(tine_worker_config *config, size_t size_bytes);
#define tine_worker_config_init(config) (tine_worker_config_init)((config), sizeof(*(config)))

/** Set one field by its name from text. @return as tine_pool_config_set() */
TINE_PUBLIC int tine_worker_config_set(tine_worker_config *config, const char *name,
				       const char *value, tine_error *error);

/** Set what the environment says: TINE_WORKERS and so on for every kind, then TINE_TASK_WORKERS and
 *  so on for a kind called "task". @param kind may be NULL: then only the first
 *  @return as tine_pool_config_env() */
TINE_PUBLIC int tine_worker_config_env(tine_worker_config *config, const char *kind,
				       tine_error *error);

/* ---- master --------------------------------------------------------------------------------- */

/** A worker's work, in each of its threads; it may be the place of a loop over
 *  tine_worker_accept(), or start a server of its own and tine_worker_wait(). To return when
 *  tine_worker_stopping().
 *  @param thread 0 to threads - 1
 *  @return 0; anything else ends the worker as failed */
typedef int (*tine_worker_fn)(tine_worker *worker, int thread, void *user_data);

/** Make a supervisor. Forks nothing, opens nothing.
 *  @param config checked whole; free to go afterwards; NULL = the defaults and the environment
 *  @return the caller's, for tine_master_free(); NULL: TINE_E_INVALID, TINE_E_NOMEM */
TINE_PUBLIC tine_master *tine_master_new(const tine_master_config *config, tine_error *error);

/** Add a kind of workers. Before tine_master_run().
 *  @param name      up to 15 of a-z, 0-9 and '-'; copied
 *  @param user_data given to fn; in each worker its copy of what it points to
 *  @param config    NULL = the defaults and the environment
 *  @return 0, TINE_E_INVALID, TINE_E_NOMEM */
TINE_PUBLIC int tine_master_add(tine_master *master, const char *name, tine_worker_fn fn,
				void *user_data, const tine_worker_config *config,
				tine_error *error);

/** Give a kind other settings, before tine_master_run() or in a hook that runs in the master, such
 *  as BEFORE_RELOAD. The number of workers counts at once, all else for workers that are started
 *  afterwards. @return 0, TINE_E_INVALID, TINE_E_NOMEM; unchanged on failure */
TINE_PUBLIC int tine_master_change(tine_master *master, const char *name,
				   const tine_worker_config *config, tine_error *error);

/** Open what is listened on, start the workers, and keep them until TERM, INT or QUIT. To be called
 *  in a process without other threads, or whose other threads hold no lock that workers need.
 *  Returns in the master alone.
 *  @return 0 when it was asked to end; TINE_E_BOOT when workers could not be started, or what a
 *  hook, a socket or the system refused: TINE_E_REFUSED, TINE_E_SYSTEM, TINE_E_INVALID. No worker
 *  is left in any case. */
TINE_PUBLIC int tine_master_run(tine_master *master, tine_error *error);

/** Free a supervisor that does not run. NULL is allowed. */
TINE_PUBLIC void tine_master_free(tine_master *master);

/** A socket that is listened on, from MASTER_READY on, in the master and in workers that accept.
 *  @param index from 0
 *  @return borrowed, non-blocking; -1 when there are no more */
TINE_PUBLIC int tine_master_listener(const tine_master *master, int index);

/** Its name: that of LISTEN_FDNAMES, or its address, such as "127.0.0.1:8000".
 *  @return borrowed; NULL when there are no more */
TINE_PUBLIC const char *tine_master_listener_name(const tine_master *master, int index);

/* ---- hooks ---------------------------------------------------------------------------------- */

/* In the order of a life. "!" marks those whose result counts: not 0 refuses. */
enum tine_hook_kind {
	TINE_HOOK_MASTER_INIT,      /* ! master: before anything is opened */
	TINE_HOOK_LOAD,             /* ! master or worker, see preload_app: load the application */
	TINE_HOOK_NWORKERS_CHANGED, /* master: a kind has another number of workers */
	TINE_HOOK_MASTER_READY,     /* ! master: sockets are open, no worker is forked yet */
	TINE_HOOK_BEFORE_FORK,      /* ! master: before each fork of a worker */
	TINE_HOOK_AFTER_FORK,       /* ! worker: first thing of the program there */
	TINE_HOOK_WORKER_READY,     /* ! worker: loaded; next, its threads begin */
	TINE_HOOK_BEFORE_UNIT,      /* ! worker, the unit's thread: tine_unit_begin() */
	TINE_HOOK_AFTER_UNIT,       /* worker, the unit's thread: tine_unit_end() */
	TINE_HOOK_WORKER_TIMEOUT,   /* worker: a unit is late; its thread still runs */
	TINE_HOOK_WORKER_ABORT,     /* worker: SIGABRT came, the process ends after this */
	TINE_HOOK_WORKER_EXIT,      /* worker: the last thing of the program there */
	TINE_HOOK_CHILD_EXIT,       /* master: a worker is gone */
	TINE_HOOK_REOPEN_LOGS,      /* master and workers: USR1 */
	TINE_HOOK_BEFORE_RELOAD,    /* ! master: HUP, before LOAD and before any worker is asked */
	TINE_HOOK_AFTER_RELOAD,     /* master: all workers are of the new generation */
	TINE_HOOK_MASTER_EXIT,      /* master: no worker is left */
	TINE_HOOK_COUNT
};

/* Why a worker ended. */
enum tine_ending {
	TINE_END_ITSELF,   /* by its own doing: a crash, exit(), its function returned */
	TINE_END_BOOT,     /* it was never ready */
	TINE_END_STARTUP,  /* it was not ready within startup_timeout_ms */
	TINE_END_TIMEOUT,  /* a unit took too long */
	TINE_END_UNITS,    /* max_units */
	TINE_END_RSS,      /* max_rss_bytes */
	TINE_END_RELOAD,   /* replaced by one of the next generation */
	TINE_END_SURPLUS,  /* fewer workers were wanted */
	TINE_END_SHUTDOWN, /* the master ends */
	TINE_END_ORPHAN,   /* the master is gone */
	TINE_END_COUNT
};

typedef struct tine_hook_event {
	int kind; /* enum tine_hook_kind */
	tine_master *master;
	tine_worker *worker;     /* NULL in hooks that are about no worker */
	const char *worker_kind; /* such as "web"; NULL in hooks that are about no kind */
	int pid;                 /* the worker's; 0 before its fork */
	int ending;              /* of WORKER_EXIT and CHILD_EXIT: enum tine_ending */
	int wait_status;         /* of CHILD_EXIT: as waitpid() gives it */
	const char *doing; /* of units: its name; of CHILD_EXIT: of the unit that was under way
			      longest, NULL when none was */
	uint64_t time_us;  /* of AFTER_UNIT, WORKER_TIMEOUT, CHILD_EXIT: how long that unit took so
			      far; of WORKER_READY: since the fork; of AFTER_RELOAD: the reload */
	uint64_t units;    /* of WORKER_EXIT and CHILD_EXIT: how many it finished */
	int before, now;   /* of NWORKERS_CHANGED */
} tine_hook_event;

typedef int (*tine_hook_fn)(const tine_hook_event *hook, void *user_data);

/** Call a function at a hook, after those that were given before, unless one of them refused. Up to
 *  8 for one kind. Before tine_master_run(). @return 0 or TINE_E_INVALID */
TINE_PUBLIC int tine_master_on(tine_master *master, int kind, tine_hook_fn fn, void *user_data);

/** "before_fork", ... Never NULL. */
TINE_PUBLIC const char *tine_hook_name(int kind);

/** "itself", "boot", ... Never NULL. */
TINE_PUBLIC const char *tine_ending_name(int ending);

/* ---- in a worker ---------------------------------------------------------------------------- */

/** "web/0": kind and number. Borrowed. */
TINE_PUBLIC const char *tine_worker_name(const tine_worker *worker);

/** Its place among those of its kind, from 0. A worker that replaces another has its number. */
TINE_PUBLIC int tine_worker_number(const tine_worker *worker);

/** How many reloads there were before it was started. */
TINE_PUBLIC int tine_worker_generation(const tine_worker *worker);

/** True when the worker is to begin no further unit and to return from its function. One load. */
TINE_PUBLIC bool tine_worker_stopping(const tine_worker *worker);

/** A descriptor that becomes readable then, and stays so. For poll, epoll and the like; not to be
 *  read or closed. */
TINE_PUBLIC int tine_worker_stop_fd(const tine_worker *worker);

/** Wait for that. @param wait_ms -1 = for ever
 *  @return TINE_E_CLOSED: it is; TINE_E_TIMEOUT: not yet */
TINE_PUBLIC int tine_worker_wait(tine_worker *worker, int wait_ms);

/** Accept a connection on any of the sockets that are listened on; any number of threads at once.
 *  @param wait_ms -1 = for ever
 *  @return a descriptor, the caller's, close-on-exec; TINE_E_CLOSED when the worker is to stop,
 *  TINE_E_TIMEOUT, TINE_E_INVALID without such sockets, TINE_E_SYSTEM (no descriptor left; the call
 *  has then waited a moment, so that a loop does not spin) */
TINE_PUBLIC int tine_worker_accept(tine_worker *worker, int wait_ms, tine_error *error);

/** A descriptor that is readable when there is something to accept, or the worker is to stop; for
 *  an event loop, which then calls tine_worker_accept(worker, 0) until it says TINE_E_TIMEOUT. Not
 *  to be read or closed. @return -1 without such sockets */
TINE_PUBLIC int tine_worker_accept_fd(const tine_worker *worker);

/** Begin a unit of work, such as a request: it is counted, has a deadline, and can be told by name
 *  when the worker dies. Any thread of the worker.
 *  @param name copied, cut after 63 bytes
 *  @return borrowed, for tine_unit_end() in any thread; NULL when BEFORE_UNIT refused
 *  (TINE_E_REFUSED), or more are under way than the kind's units (TINE_E_QUEUE_FULL) */
TINE_PUBLIC tine_unit *tine_unit_begin(tine_worker *worker, const char *name, tine_error *error);

/** A sign of life: the unit's deadline is so far from now. @param wait_ms -1 = unit_timeout_ms,
 *  0 = none */
TINE_PUBLIC void tine_unit_extend(tine_unit *unit, int wait_ms);

/** End a unit. NULL is allowed. */
TINE_PUBLIC void tine_unit_end(tine_unit *unit);

#ifdef __cplusplus
}
#endif

#endif
