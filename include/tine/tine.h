/* SPDX-License-Identifier: PostgreSQL */
/*
 * libtine: a pool of PostgreSQL connections over libpq that is right across fork.
 *
 *	tine_pool_config config;
 *	tine_error error;
 *	tine_pool *pool;
 *	tine_conn *conn;
 *
 *	tine_pool_config_init(&config);
 *	config.conninfo = "host=db.example.org dbname=app user=app";
 *	pool = tine_pool_new(&config, &error);
 *	if (tine_pool_acquire(pool, -1, &conn, &error) == 0) {
 *		PGresult *result = PQexec(tine_conn_pg(conn), "select 1");
 *		...
 *		tine_conn_release(conn);
 *	}
 *
 * Every function that can fail returns 0 or a negative TINE_E_* (pointers: NULL) and fills the
 * tine_error it was given; NULL is allowed there. Texts in errors are one line without control
 * bytes and never hold a password.
 *
 * Threads: a pool may be used by any number of threads at once. A connection, a scope and an
 * acquire belong to one thread at a time.
 *
 * Fork: at any instant, in any thread. In the child a pool is empty and opens connections of its
 * own; handles of the parent's connections return TINE_E_FORKED there and nothing reaches the
 * parent's wire. A child made without fork handlers (_Fork, a bare clone) is noticed at its first
 * call of this library. A vfork child must not call it.
 *
 * The library starts no thread, installs no signal handler, prints nothing and never ends the
 * process. The supervisor (tine/prefork.h) does, in tine_master_run() and nowhere else.
 */
#ifndef TINE_TINE_H
#define TINE_TINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__) && __GNUC__ >= 4
#define TINE_PUBLIC __attribute__((visibility("default")))
#else
#define TINE_PUBLIC
#endif

#define TINE_VERSION_MAJOR 0
#define TINE_VERSION_MINOR 1
#define TINE_VERSION_PATCH 0

/* As in libpq-fe.h, which a program includes for the calls that work on it. */
typedef struct pg_conn PGconn;

typedef struct tine_pool tine_pool;
typedef struct tine_conn tine_conn;
typedef struct tine_acquire tine_acquire;
typedef struct tine_scope tine_scope;

/** The library's version, such as "0.1.0". May differ from the header's. */
TINE_PUBLIC const char *tine_version(void);

/* ---- errors --------------------------------------------------------------------------------- */

enum tine_status {
	TINE_OK = 0,
	TINE_PENDING = 1, /* of tine_acquire_poll() alone: not yet */

	TINE_E_INVALID = -1,          /* an argument or an option is wrong */
	TINE_E_NOMEM = -2,            /* out of memory */
	TINE_E_SYSTEM = -3,           /* the system refused something, such as a descriptor */
	TINE_E_TIMEOUT = -4,          /* every connection stayed busy until the deadline */
	TINE_E_QUEUE_FULL = -5,       /* max_waiting others wait already */
	TINE_E_PAUSED = -6,           /* the pool is paused */
	TINE_E_CLOSED = -7,           /* the pool was freed */
	TINE_E_FORKED = -8,           /* the connection belongs to an ancestor of this process */
	TINE_E_STALE = -9,            /* the handle was returned already */
	TINE_E_CONNECT = -10,         /* the server cannot be reached */
	TINE_E_CONNECT_TIMEOUT = -11, /* the server did not answer in time */
	TINE_E_TLS = -12,             /* no TLS, or a certificate that does not hold */
	TINE_E_AUTH = -13,            /* user, password or pg_hba.conf */
	TINE_E_NO_DATABASE = -14,     /* the database does not exist */
	TINE_E_TOO_MANY = -15,        /* the server has no connection left */
	TINE_E_STARTING = -16,        /* the server starts, recovers or shuts down */
	TINE_E_ROLE = -17,            /* no host is what target_session_attrs asks for */
	TINE_E_REFUSED = -18,         /* an event function refused the connection */
	TINE_E_LOST = -19,            /* the connection was lost while in use */
	TINE_E_SQL = -20,             /* a statement failed; the SQLSTATE says how */
	TINE_E_ABORTED = -21,         /* COMMIT rolled back: the transaction had failed before */
	TINE_E_IN_DOUBT = -22,        /* lost during COMMIT: it may have happened or not */
	TINE_E_BOOT = -23,            /* workers could not be started */
};

typedef struct tine_error {
	int status;       /* enum tine_status */
	int os_errno;     /* 0 when the system had no part in it */
	char sqlstate[6]; /* "" when the server said nothing */
	char text[512];   /* one line: the cause, and where there is one, what to do */
} tine_error;

/** The name of a status, such as "TINE_E_TIMEOUT". Never NULL. */
TINE_PUBLIC const char *tine_status_name(int status);

/** What to do about a status, one sentence. Never NULL. */
TINE_PUBLIC const char *tine_status_advice(int status);

/* ---- configuration -------------------------------------------------------------------------- */

enum tine_pool_kind {
	TINE_POOL_QUEUE, /* connections are kept and shared */
	TINE_POOL_NULL,  /* each acquire connects, each release closes; the limit still holds */
};

enum tine_ping {
	TINE_PING_AUTO,   /* a round trip only after ping_idle_ms, or the learned shorter time */
	TINE_PING_ALWAYS, /* a round trip before every hand-out of an idle connection */
	TINE_PING_NEVER,  /* only what the socket shows */
};

enum tine_reset {
	TINE_RESET_ROLLBACK, /* an open transaction is rolled back; session settings stay */
	TINE_RESET_FULL,     /* DISCARD ALL, sent on return and read at the next checkout */
	TINE_RESET_TRACKED,  /* as full, but skipped when no statement seen can leave state */
	TINE_RESET_NONE,     /* nothing; a connection in a transaction is closed */
};

enum tine_tls {
	TINE_TLS_DEFAULT, /* what conninfo, service or PGSSLMODE name, else require */
	TINE_TLS_REQUIRE, /* encrypted, certificate not checked */
	TINE_TLS_VERIFY_CA,
	TINE_TLS_VERIFY_FULL,
	TINE_TLS_PREFER, /* encrypted if the server can; never back to clear after that */
	TINE_TLS_DISABLE,
};

/** A pool's settings. Filled by tine_pool_config_init(), changed by assignment or by name. Texts
 *  are borrowed until tine_pool_new() returns, which copies what it needs. Ranges, defaults and
 *  what each does: tine_pool_config(3), which is made from the same table that checks them. */
typedef struct tine_pool_config {
	size_t size;          /* of this struct as the program knows it */
	const char *conninfo; /* keywords, or a postgres URL, also with SQLAlchemy's +driver */
	int kind;             /* enum tine_pool_kind */
	int pool_size;        /* connections that are kept */
	int max_overflow;     /* more under load; closed on return when nobody waits */
	int max_waiting;      /* acquires that may wait; 0 = any number */
	int connect_parallel; /* connects that may grow the pool at the same time */
	int acquire_timeout_ms;
	int connect_timeout_ms; /* for each address of each host */
	int recycle_ms;         /* age at which one is replaced, less up to a tenth; 0 = never */
	int idle_timeout_ms;    /* how long a connection may stay idle; 0 = for ever */
	int ping;               /* enum tine_ping */
	int ping_idle_ms;
	int ping_timeout_ms;
	bool lifo;          /* hand out the connection returned last; else the one returned first */
	bool connect_retry; /* keep trying until the acquire's deadline when the server is away */
	bool identity;      /* "app[w3:4711]" as application_name where there is a board */
	int reset;          /* enum tine_reset */
	int tls;            /* enum tine_tls */
	int keepalives_idle_s; /* 0 = the system's */
	int keepalives_interval_s;
	int keepalives_count;
	int tcp_user_timeout_ms; /* 0 = the system's */
	const char *application_name;
	const char *on_connect_sql; /* statements for each new connection */
	int leak_after_ms;          /* a checkout longer than this is told once; 0 = never */
	int max_uses;               /* checkouts after which a connection is replaced; 0 = any */
	int64_t max_result_bytes;   /* the same after a result larger than this; 0 = any */
	const char *name;           /* of a board that programs share; see tine-board(7) */
	int budget;          /* connections of all processes that share a board; 0 = no limit */
	int budget_floor;    /* of them this process always finds so many free */
	int budget_ceiling;  /* and it takes no more than so many; 0 = any */
	int orphan_check_ms; /* how soon a server ends the statement of a process that died; 0 = no
			      */
	int lend_after_ms;   /* under a budget the server ends what is idle for so long; 0 = no */
} tine_pool_config;

/** Set every field to its default: tine_pool_config_init(&config). The macro adds the size. */
TINE_PUBLIC void tine_pool_config_init(tine_pool_config *config, size_t size_bytes);
#define tine_pool_config_init(config) (tine_pool_config_init)((config), sizeof(*(config)))

/** Set one field by its name from text, as from a configuration file: numbers, times with a unit
 *  ("30s"), names ("verify-full"). @param value borrowed until tine_pool_new() returns
 *  @return 0 or TINE_E_INVALID with option, value and range in the text; config is unchanged then
 */
TINE_PUBLIC int tine_pool_config_set(tine_pool_config *config, const char *name, const char *value,
				     tine_error *error);

/** Set what the environment says: TINE_POOL_SIZE and so on for each field, TINE_CONNINFO, and
 *  DATABASE_URL when there is no TINE_CONNINFO. Nothing is read in setuid programs. The texts stay
 *  those of the environment. @return as tine_pool_config_set() */
TINE_PUBLIC int tine_pool_config_env(tine_pool_config *config, tine_error *error);

/* ---- pool ----------------------------------------------------------------------------------- */

/** Make a pool. Connects nothing, resolves nothing, sends nothing.
 *  @param config  checked whole; free to go afterwards
 *  @return the caller's, for tine_pool_free(); NULL: TINE_E_INVALID, TINE_E_NOMEM */
TINE_PUBLIC tine_pool *tine_pool_new(const tine_pool_config *config, tine_error *error);

/** Close the pool: idle connections now, checked-out ones when they come back. Who waits gets
 *  TINE_E_CLOSED. The memory goes with the last handle, and so handles may still be returned after
 *  this; nothing else may be called, and not at the same time. NULL is allowed. In a child, nothing
 *  of the parent's is touched, and its handles may not be shown to the library afterwards. */
TINE_PUBLIC void tine_pool_free(tine_pool *pool);

/** Take a connection out of the pool: an idle one that is alive, a new one, or, when the limit is
 *  reached, the next that is returned; first come, first served.
 *  @param wait_ms  how long at most; -1 = acquire_timeout_ms, 0 = only what is idle now
 *  @param ret_conn the caller's until tine_conn_release(), _invalidate() or _detach(); untouched
 *                  on failure
 *  @return TINE_E_TIMEOUT names the longest holders; when connections fail, the status is theirs.
 *  Names are looked up without a limit of time, as libpq does; hostaddr= avoids it. */
TINE_PUBLIC int tine_pool_acquire(tine_pool *pool, int wait_ms, tine_conn **ret_conn,
				  tine_error *error);

/** The libpq connection of a handle, for every call of libpq but PQfinish(). PQreset() is for
 *  tine_conn_invalidate() and another acquire, and has no protection against a fork meanwhile.
 *  Borrowed until the handle is returned. NULL when the handle was returned or is an ancestor's. */
TINE_PUBLIC PGconn *tine_conn_pg(const tine_conn *conn);

/** Return a connection. An open transaction is rolled back (see enum tine_reset), a connection in
 *  any other state than idle, or lost, or too old, is closed. Never waits for the server.
 *  @return 0, TINE_E_STALE when it was returned before, TINE_E_FORKED in a child, where what this
 *  process has of it is freed. NULL is allowed. */
TINE_PUBLIC int tine_conn_release(tine_conn *conn);

/** Return a connection and have it closed, whatever its state. Also the way to return one that a
 *  PQcancel() was sent for: it may arrive late, and would cancel what the next user asks.
 *  @return as tine_conn_release() */
TINE_PUBLIC int tine_conn_invalidate(tine_conn *conn);

/** Take a connection away from the pool for good; its place becomes free.
 *  @return the caller's, for PQfinish(), and no longer protected across fork; NULL when the
 *  handle was returned or is an ancestor's */
TINE_PUBLIC PGconn *tine_conn_detach(tine_conn *conn);

/** Name what the connection is used for; told with the holders when an acquire times out.
 *  @param label copied, cut after 47 bytes */
TINE_PUBLIC void tine_conn_label(tine_conn *conn, const char *label);

enum tine_dispose {
	TINE_DISPOSE_CLOSE,   /* end the sessions as a program does that is done with them */
	TINE_DISPOSE_ABANDON, /* send nothing: let go of the sockets */
};

/** Empty the pool, which goes on and connects anew: idle connections now, checked-out ones when
 *  they come back. @return 0 or TINE_E_INVALID */
TINE_PUBLIC int tine_pool_dispose(tine_pool *pool, int how);

/** Change the limits. A smaller pool closes idle connections now and others when they come back.
 *  @return 0, TINE_E_INVALID, TINE_E_NOMEM; unchanged on failure */
TINE_PUBLIC int tine_pool_resize(tine_pool *pool, int pool_size, int max_overflow,
				 tine_error *error);

enum tine_pause {
	TINE_PAUSE_BLOCK, /* acquires wait for the end of the pause, up to their own deadline */
	TINE_PAUSE_FAIL,  /* acquires fail at once with TINE_E_PAUSED */
};

/** Hand out nothing any more, wait until everything handed out is back, and close what is idle.
 *  @param wait_ms  how long to wait for what is handed out; 0 = do not wait, -1 = no limit
 *  @return 0: no connection is left; TINE_E_TIMEOUT: some are, and the pool is paused all the same
 */
TINE_PUBLIC int tine_pool_pause(tine_pool *pool, int how, int wait_ms, tine_error *error);

/** End a pause. @return 0, also when there was none */
TINE_PUBLIC int tine_pool_resume(tine_pool *pool);

/** Close idle connections that are dead, too old or idle for too long, and tell leaks. The pool
 *  does so by itself, in calls that come along anyway; a program that is idle for hours may call it
 *  from its own timer. Never waits. @return the number closed */
TINE_PUBLIC int tine_pool_sweep(tine_pool *pool);

/* ---- status --------------------------------------------------------------------------------- */

/* Why a connection was closed. */
enum tine_cause {
	TINE_CAUSE_DEAD,        /* found dead before it was handed out */
	TINE_CAUSE_LOST,        /* lost while checked out */
	TINE_CAUSE_RECYCLE,     /* recycle_ms or max_uses */
	TINE_CAUSE_IDLE,        /* idle_timeout_ms, lend_after_ms, or the server's own limit */
	TINE_CAUSE_OVERFLOW,    /* above pool_size, and nobody waited; always with TINE_POOL_NULL */
	TINE_CAUSE_RESET,       /* returned in a state that cannot be reset */
	TINE_CAUSE_SIZE,        /* carried a result above max_result_bytes */
	TINE_CAUSE_ROLE,        /* the server is no longer what it was: read-only, standby */
	TINE_CAUSE_INVALIDATED, /* tine_conn_invalidate() */
	TINE_CAUSE_DISPOSED,    /* tine_pool_dispose(), _resize(), _pause(), _free() */
	TINE_CAUSE_DETACHED,    /* tine_conn_detach(): open, but no longer the pool's */
	TINE_CAUSE_REFUSED,     /* an event function refused it */
	TINE_CAUSE_FORKED,      /* left behind in a fork */
	TINE_CAUSE_LENT,        /* above the fair share of the budget while others waited */
	TINE_CAUSE_COUNT
};

/** "dead", "lost", ... Never NULL. */
TINE_PUBLIC const char *tine_cause_name(int cause);

#define TINE_HISTOGRAM_BUCKETS 26

/* Bucket 0 counts what took under 1 microsecond, bucket n under 2^n, the last one the rest. */
typedef struct tine_histogram {
	uint64_t count;
	uint64_t sum_us;
	uint64_t bucket[TINE_HISTOGRAM_BUCKETS];
} tine_histogram;

/** An upper bound of the given quantile in microseconds, 0 when nothing was counted.
 *  @param quantile 0.0 to 1.0 */
TINE_PUBLIC uint64_t tine_histogram_quantile_us(const tine_histogram *histogram, double quantile);

typedef struct tine_pool_stats {
	int pool_size;
	int max_overflow;
	int open;            /* connections of this process: idle + busy + connecting */
	int idle;            /* ready to be handed out */
	int busy;            /* handed out, or being looked at on the way out or in */
	int connecting;      /* on the way to the server */
	int overflow;        /* open above pool_size */
	int waiting;         /* acquires in the queue */
	int paused;          /* 1 during a pause */
	int learned_idle_ms; /* idle time after which a connection was once found dropped; 0 = none
			      */
	uint64_t checkouts;
	uint64_t opened;
	uint64_t open_failed;
	uint64_t timeouts;
	uint64_t leaks; /* checkouts that were held longer than leak_after_ms */
	uint64_t pings;
	uint64_t closed[TINE_CAUSE_COUNT];
	tine_histogram wait;    /* how long acquires took; those at once are in bucket 0 */
	tine_histogram hold;    /* checkout to return, in steps of the system's coarse clock */
	tine_histogram connect; /* connects that succeeded, all their rounds of talk included */
	tine_error last_error;  /* of the last connect that failed; status 0 when none did */
} tine_pool_stats;

/** Look at a pool: tine_pool_status(pool, &stats). Counts of this process alone; they start at zero
 *  in a child. @return 0 or TINE_E_INVALID */
TINE_PUBLIC int tine_pool_status(tine_pool *pool, tine_pool_stats *ret_stats, size_t size_bytes);
#define tine_pool_status(pool, stats) (tine_pool_status)((pool), (stats), sizeof(*(stats)))

/* ---- events --------------------------------------------------------------------------------- */

enum tine_event_kind {
	TINE_EVENT_CONNECT,       /* a connection was opened; not 0 refuses it */
	TINE_EVENT_FIRST_CONNECT, /* the first of this process, before CONNECT; not 0 refuses it */
	TINE_EVENT_CHECKOUT,   /* about to be handed out; not 0 closes it, and another is taken */
	TINE_EVENT_CHECKIN,    /* returned, not looked at yet */
	TINE_EVENT_RESET,      /* at every return that keeps it; not 0 closes it instead */
	TINE_EVENT_INVALIDATE, /* tine_conn_invalidate() */
	TINE_EVENT_CLOSE,      /* about to be closed; cause says why */
	TINE_EVENT_FORK,       /* first use in a child; count = connections left behind */
	TINE_EVENT_WAIT,       /* an acquire joined the queue; count = its place */
	TINE_EVENT_TIMEOUT,    /* an acquire gave up */
	TINE_EVENT_LEAK,       /* a checkout is longer than leak_after_ms; error tells of whom */
	TINE_EVENT_COUNT
};

typedef struct tine_event {
	int kind; /* enum tine_event_kind */
	tine_pool *pool;
	PGconn *pg;       /* NULL where the event has no connection */
	int cause;        /* of CLOSE: enum tine_cause */
	int count;        /* of FORK and WAIT */
	uint64_t time_us; /* of CONNECT: how long it took; CHECKIN, LEAK: held; TIMEOUT: waited */
	const tine_error *error; /* of TIMEOUT, LEAK, and CLOSE where a reason is known; or NULL */
} tine_event;

/** Called without any lock held, in the thread that did it; may use the connection, and the pool
 *  too. In a child of fork it is called as in the parent. */
typedef int (*tine_event_fn)(const tine_event *event, void *user_data);

/** Call a function at an event, after those that were given before, unless one of them returned
 *  something else than 0. Up to 8 for one kind; they stay for the pool's life.
 *  @return 0 or TINE_E_INVALID */
TINE_PUBLIC int tine_pool_on(tine_pool *pool, int kind, tine_event_fn fn, void *user_data);

/* ---- acquire without waiting ---------------------------------------------------------------- */

/** Begin an acquire that never waits (names are still looked up, see tine_pool_acquire()).
 *  @param wait_ms     as in tine_pool_acquire()
 *  @param ret_acquire the caller's, for tine_acquire_cancel() in every case
 *  @return 0, also when nothing is known yet: the first tine_acquire_poll() tells. TINE_E_NOMEM,
 *  TINE_E_SYSTEM */
TINE_PUBLIC int tine_pool_acquire_start(tine_pool *pool, int wait_ms, tine_acquire **ret_acquire,
					tine_error *error);

/** Go on with it. @return 0 and *ret_conn: done, once; TINE_PENDING: call again when
 *  tine_acquire_fd() is readable; negative: failed, and will not do anything more */
TINE_PUBLIC int tine_acquire_poll(tine_acquire *acquire, tine_conn **ret_conn, tine_error *error);

/** A descriptor that becomes readable when there is something to do, the deadline included; the
 *  same for the acquire's whole life. For poll, epoll, libuv, libevent. Not to be read or closed.
 *  -1 in a child. */
TINE_PUBLIC int tine_acquire_fd(const tine_acquire *acquire);

/** Free an acquire, in any state: give up waiting, or return a connection that nobody fetched. A
 *  connection that was fetched stays the caller's. NULL is allowed. */
TINE_PUBLIC void tine_acquire_cancel(tine_acquire *acquire);

/* ---- scope: one unit of work ---------------------------------------------------------------- */

enum tine_scope_kind {
	TINE_SCOPE_REQUEST,
	TINE_SCOPE_TASK,
	TINE_SCOPE_SCRIPT,
};

/** Begin a unit of work: a request, a task, a script. Takes no connection yet.
 *  @param name  told with the holders of connections; copied, cut after 47 bytes; may be NULL
 *  @return the caller's, for tine_scope_end(); NULL when there is no memory: every function here
 *  takes NULL and says so */
TINE_PUBLIC tine_scope *tine_scope_begin(tine_pool *pool, int kind, const char *name);

/** The scope's connection. The first call, and the first after a commit, takes one from the pool
 *  and begins a transaction. When the scope's connection is lost this fails with TINE_E_LOST until
 *  the scope ends: half of a unit of work must not go on as another.
 *  @return borrowed until the scope commits or ends; NULL on failure */
TINE_PUBLIC PGconn *tine_scope_conn(tine_scope *scope, tine_error *error);

/** Commit and return the connection. Nothing was begun: 0.
 *  @return TINE_E_ABORTED when a statement had failed (rolled back), TINE_E_IN_DOUBT when the
 *  connection was lost during COMMIT, TINE_E_LOST when before, TINE_E_SQL. In every case the
 *  connection is back in the pool. */
TINE_PUBLIC int tine_scope_commit(tine_scope *scope, tine_error *error);

/** End a unit of work: roll back what was not committed, return the connection, free the scope.
 *  Never fails, whatever became of the connection; in a child it touches nothing of the parent's.
 *  NULL is allowed. */
TINE_PUBLIC void tine_scope_end(tine_scope *scope);

static inline void tine_scope_endp(tine_scope **scope)
{
	tine_scope_end(*scope);
}

/** A scope that ends on every way out of the block:
 *	TINE_SCOPE(scope, pool, TINE_SCOPE_REQUEST, "GET /lots");
 *	PGconn *pg = tine_scope_conn(scope, &error);
 */
#define TINE_SCOPE(variable, pool, kind, name)                                                     \
	__attribute__((cleanup(tine_scope_endp))) tine_scope *variable =                           \
		tine_scope_begin((pool), (kind), (name))

/* ---- retry ---------------------------------------------------------------------------------- */

enum tine_isolation {
	TINE_ISOLATION_DEFAULT,
	TINE_ISOLATION_READ_COMMITTED,
	TINE_ISOLATION_REPEATABLE_READ,
	TINE_ISOLATION_SERIALIZABLE,
};

typedef struct tine_transact_options {
	size_t size;          /* of this struct as the program knows it */
	int max_attempts;     /* 1 to 100; default 5 */
	int backoff_first_ms; /* before the second attempt, less up to half at random; default 1000
			       */
	int backoff_max_ms;   /* each further one waits twice as long, up to this; default 10000 */
	int wait_ms;          /* for tine_pool_acquire(), each time; default -1 */
	int isolation;        /* enum tine_isolation */
	bool read_only;
	const char *name; /* told with the holders of connections; may be NULL */
} tine_transact_options;

/** Set every field to its default: tine_transact_options_init(&options). */
TINE_PUBLIC void tine_transact_options_init(tine_transact_options *options, size_t size_bytes);
#define tine_transact_options_init(options)                                                        \
	(tine_transact_options_init)((options), sizeof(*(options)))

/** What is done in a transaction. Called once for each attempt, inside BEGIN and COMMIT, which it
 *  must not send. @return 0 to commit; anything else rolls back. Whether it is tried again is
 *  decided by what the server said to its statements; if not, a negative value is the result as it
 *  is, and a positive one becomes TINE_E_ABORTED. */
typedef int (*tine_transact_fn)(PGconn *pg, void *arg, tine_error *error);

/** Run a function in a transaction, and again when the server asks for it: serialization failure
 *  (40001), deadlock (40P01), and a connection lost, or not to be had, before COMMIT was sent. No
 *  connection is held between attempts.
 *  @param options NULL for the defaults
 *  @return 0 when committed. TINE_E_IN_DOUBT, never tried again, when the connection was lost
 *  during COMMIT: look whether it happened. Else the failure of the last attempt. */
TINE_PUBLIC int tine_transact(tine_pool *pool, tine_transact_fn fn, void *arg,
			      const tine_transact_options *options, tine_error *error);

#ifdef __cplusplus
}
#endif

#include <tine/prefork.h>

#endif
