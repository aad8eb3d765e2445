/* SPDX-License-Identifier: PostgreSQL */
/*
 * The cross-talk soak: processes with threads on inherited pools of libtine, forks, kills, stops
 * and terminated backends at random, and an oracle that holds for every single answer. Shared
 * declarations of the program `soak`:
 *
 *   soak.c: options, the start, the summary
 *   master.c: the process that makes the pool, forks the workers, kills, stops and replaces them
 *   worker.c: a worker with its threads, and what must be left of it in the end
 *   session.c: pools, and which sessions a process has opened
 *   acts.c, tricks.c: what a thread does: acquires, returns of every kind, administration
 *   child.c: forks from inside a thread, and what such a child does
 *   ask.c: questions with a nonce; which losses have a cause
 *   audit.c, census.c: the process that looks at all of it from outside
 *   board.c: the memory they share
 *   bare.c: connections shared over fork without any protection, to show that the soak can fail
 *
 * A turn is one random act of one thread. Everything random comes from the seed; what the scheduler
 * makes of it does not.
 *
 * Fork: every process but the auditor is forked while other threads are at work, so what a child
 * needs of the board is atomic and no lock of ours is ever held.
 */
#ifndef TINE_TESTS_SOAK_SOAK_H
#define TINE_TESTS_SOAK_SOAK_H

#include <libpq-fe.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "tine/tine.h"

enum {
	POOL_SIZE = 4,
	MAX_OVERFLOW = 2,
	LIMIT = POOL_SIZE + MAX_OVERFLOW,
	THREADS_MAX = 32,
	WORKERS_MAX = 16,
	CHILDREN_MAX = 24, /* at the same time */
	PROCESSES = 1 + 2 * WORKERS_MAX + CHILDREN_MAX,
	SEVERAL = 3,
	TRAIL = 16,
	DEPTH_MAX = 3, /* of forks inside forks */
	FAILURES = 8,
	FAILURE_BYTES = 1600,
	NONCE_BYTES = 48,
	STATUSES = 32,
};

#define MS INT64_C(1000000)
#define SECOND (1000 * MS)

struct options {
	const char *conninfo; /* of the sessions under test */
	const char *admin;    /* a superuser's way in */
	uint64_t seed;
	int seconds;
	int workers;
	int threads; /* of each worker */
	int kill_ms; /* how often; 0 = never */
	int stop_ms;
	int terminate_ms;
	int watch_ms;  /* without progress for so long a thread hangs */
	int vanish_ms; /* a session without an owner must be gone after it */
	int growth_kib;
	int reset;  /* enum tine_reset */
	bool forks; /* while other threads run */
	bool bare;
	const char *breaks; /* a deliberate defect of defect.c, or NULL */
};
extern struct options options;

/* ---- the board ------------------------------------------------------------------------------ */

enum count {
	TURNS,
	CHECKOUTS,
	ANSWERS,
	CONNECTS,
	COMMITS,
	FORKS,
	SPAWNS,
	KILLS,
	STOPS,
	TERMINATED,
	RESTARTS,
	CANCELS,
	LOST_SESSIONS,
	SAMPLES,
	COUNTS
};

enum role { MASTER, WORKER, CHILD };

/* A thread, as others see it. */
struct actor {
	_Atomic int64_t touched_ns; /* its last sign of life; 0: nobody is here */
	_Atomic bool excused;       /* waits for a child, which is watched itself */
	_Atomic uint32_t steps;
	_Atomic(const char *) trail[TRAIL]; /* of literals: every process has the same image */
};

/* The least seen in a part of the run: what comes and goes is not growth. */
struct measure {
	int64_t samples;
	int64_t rss_kib; /* anonymous memory */
	int64_t descriptors;
};

struct process {
	_Atomic pid_t pid; /* 0 = free, -1 = claimed for a child that is not there yet */
	_Atomic pid_t claimer;
	enum role role;
	int number;          /* of a worker: below options.workers */
	_Atomic bool doomed; /* SIGKILL is on its way */
	_Atomic bool stopped;
	_Atomic int64_t resumed_ns;
	_Atomic int64_t paused_ns; /* when its pool was last paused */
	struct actor actors[THREADS_MAX + 1];
};

/* A session, by the pid of its backend. */
struct backend {
	_Atomic pid_t owner;
	_Atomic bool extra; /* not of the common pool */
	_Atomic int64_t opened_ns, closed_ns;
	_Atomic int64_t terminated_ns; /* set before it is */
};

struct board {
	_Atomic bool ready; /* the auditor looks */
	_Atomic bool stop;  /* end after this turn */
	_Atomic bool over;  /* every process is gone but the auditor */
	_Atomic bool failed;
	int64_t began_ns, ends_ns;
	_Atomic int64_t outage_began_ns, outage_ended_ns; /* of the server; ended 0: it lasts */
	_Atomic int64_t terminated_ns;                    /* the last time any session was */
	_Atomic int64_t early_hit_ns; /* the last time one was before its owner knew of it */
	_Atomic uint64_t births;      /* of threads; part of what is random in each */
	_Atomic uint64_t count[COUNTS];
	_Atomic uint64_t refused[STATUSES]; /* acquires, scopes and transactions, by -status */
	_Atomic int64_t worst_heap_bytes;   /* left behind by a worker that ended */
	_Atomic int most_sessions;          /* of one process, seen by the auditor */
	struct {
		struct measure early, late;
	} grown[1 + WORKERS_MAX]; /* the master, then the workers by their numbers */
	_Atomic int failures;
	char failure[FAILURES][FAILURE_BYTES];
	struct process processes[PROCESSES];
	int backend_count;
	struct backend backends[];
};
extern struct board *board;

/* Who the calling thread is. */
struct self {
	struct process *process;
	struct actor *actor;
	int thread;
	pid_t pid;
	int depth; /* of forks from inside threads */
	uint64_t random;
	uint64_t nonces;
};
extern __thread struct self self;

void board_open(void);
int64_t now_ns(void);
void count(enum count what);

/** A place for a process that is about to be forked. @return NULL when there are enough */
struct process *process_claim(enum role role, int number);
/** In the new process: take the place. @return false when it was withdrawn */
bool process_enter(struct process *process, pid_t claimer);
void process_free(struct process *process);
struct process *process_find(pid_t pid);
/** Say who it is, and what its threads did last. */
void process_describe(const struct process *process, char *text, size_t size);
/** Judge how a process ended. @param process NULL when it had no place */
void process_judge(struct process *process, pid_t pid, int status);

/** Become a thread of a process. */
void self_become(struct process *process, int thread);
/** A sign of life, with a literal that says what comes next. */
void step(const char *what);
void excuse(bool excused);

uint64_t random_below(uint64_t below);
bool chance(unsigned percent);

/** Note a failure, which ends the soak; returns. */
__attribute__((format(printf, 1, 2))) void report_failure(const char *format, ...);
/** The same for what a thread sees itself, which goes no further. */
__attribute__((format(printf, 1, 2), noreturn)) void fail(const char *format, ...);
/** Wait for the end that follows a failure; until then a debugger finds everything in place. */
_Noreturn void stand_still(void);

struct backend *backend_at(int backend);

/* ---- questions ------------------------------------------------------------------------------ */

enum outcome { RIGHT, LOST };

/* A connection that is checked out. */
struct held {
	tine_conn *conn; /* NULL inside scopes and transactions */
	PGconn *pg;
	int backend;
	int64_t opened_ns;
};

void hold(struct held *held, tine_conn *conn, PGconn *pg);
void next_nonce(char nonce[NONCE_BYTES]);
/** Ask one to three questions and check every answer. */
enum outcome ask(const struct held *held);
/** Several statements in one string, each with a nonce of its own, and their answers. */
enum outcome send_several(const struct held *held, char nonces[SEVERAL][NONCE_BYTES]);
enum outcome read_several(const struct held *held, char nonces[][NONCE_BYTES], int expected);
/** One plain question. */
enum outcome ask_once(const struct held *held);
/** A statement without an answer that matters. */
enum outcome run(const struct held *held, const char *sql);
/** A result with a nonce in each row, checked and cleared. NULL and errors: see trouble(). */
enum outcome judge(const struct held *held, PGresult *result, const char *nonce);
/** An answer did not come: because of a loss that has a cause, else this does not return. */
enum outcome trouble(const struct held *held, const PGresult *result, const char *what);

bool is_outage(void);
/** Was a session that was opened then ended by the server's going away? */
bool outage_explains(int64_t opened_ns);
/** Do what happened to the server lately explain a failure to connect, or to begin? */
bool lately_explained(void);

/** An acquire did not succeed: was it to be expected? Else this does not return. */
void refused(const tine_error *error, int wait_ms);

/* ---- acts ----------------------------------------------------------------------------------- */

struct act {
	const char *name;
	unsigned weight;
	void (*run)(void);
	bool forks; /* starts processes */
};
extern const struct act acts[], tricks[];

/** One random act. */
void turn(void);

bool take(struct held *held, int wait_ms);
/** Return it, mostly released, else invalidated, or detached and finished. */
void give(struct held *held);
void give_back(struct held *held);

/** A scope or a transaction failed: a refusal, or a loss that has a cause; else this does not
 *  return. */
void not_committed(const tine_error *error);

/* child.c */
/** Fork from inside this thread. The child does not come back.
 *  @param held, acquire, scope  what the parent has in its hands; each may be NULL
 *  @return the child, 0 when there are enough */
pid_t child_fork(const struct held *held, tine_acquire *acquire, tine_scope *scope);
/** As fork(2), but -1 when there are enough processes; the child is a process of its own here. */
pid_t child_fork_here(void);
_Noreturn void child_end(void);
void child_await(pid_t pid);
void trick_missed_fork(void);
void trick_spawn(void);

/* defect.c */
bool defect_is_known(void);
void defect_turn(void);

/* ---- processes ------------------------------------------------------------------------------ */

/* session.c */
extern tine_pool *pool; /* the common one, inherited from the master */
/** @param extra  one of a thread's own, whose connections are not counted with the common one's */
tine_pool *pool_make(bool extra);
void session_opened(const PGconn *pg, bool extra);
/** The backend of a connection that this process has opened, lost or not. */
int session_backend(const PGconn *pg);
/** In a child: none of them is its own. */
void session_forget_all(void);

/* worker.c */
_Noreturn void worker_main(struct process *place, pid_t claimer);
/** Threads that take turns until the end. */
struct team {
	unsigned long threads[THREADS_MAX];
	int count;
	int64_t heap_bytes; /* before */
	int descriptors;
};
void team_start(struct team *team, int count);
void team_finish(struct team *team);

/* master.c */
void master_run(void);
/** After a failure: end everything, and this process. */
_Noreturn void master_give_up(void);

/* audit.c */
pid_t audit_start(void);

/* census.c */
int census_descriptors(pid_t pid);
/** What this process has allocated and not freed; 0 where a sanitizer's malloc does not tell. */
int64_t census_heap_bytes(void);
/** Measure the processes that live to the end. */
void census_take(void);
void census_judge(void);

/* bare.c */
void bare_open(void);
void bare_turn(void);

#endif
