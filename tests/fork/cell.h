/* SPDX-License-Identifier: PostgreSQL */
/*
 * One cell of the fork matrix: a way to fork x a transport x what the child does x what the parent
 * was doing. Shared declarations of the program `cell`:
 *
 *   cell.c: options, and the oracle process that plays one cell and gives the verdict
 *   holder.c: the process that owns the session, forks, and afterwards verifies it
 *   scene.c: memory shared by all processes of a cell: verdict, semaphores, sessions seen
 *   forks.c: the ways to fork and to spawn
 *   acts.c: what the child does with what it inherited
 *   states.c: what the parent was doing: before, during and after
 *   witness.c: descriptors that are no PostgreSQL connections and must stay as they are
 *   pq.c: libpq with deadlines, nonces and a table of all handles
 */
#ifndef TINE_TESTS_FORK_CELL_H
#define TINE_TESTS_FORK_CELL_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include <libpq-fe.h>

enum { MAX_TARGETS = 4, MAX_SESSIONS = 64, MAX_HANDLES = 16 };

/* The processes of a cell. The oracle holds no session that another process could inherit. */
enum role { ORACLE, OWNER, WORKER, MIDDLE, CHILD, ROLES };

enum { HOLDS = 0, BROKE = 1, SETUP = 2 };

struct cell;

struct kind {
	const char *name;
	pid_t (*fork)(void);          /* like fork(2): 0 in the process that plays the child */
	void (*spawn)(struct cell *); /* starts a program in passing, before the fork */
	bool grandchild;              /* the child is no child of the holder */
	bool missed;                  /* runs no atfork handler */
	bool threads;                 /* forks from a thread while others query */
	bool refork;                  /* the holder is itself a forked worker */
	bool owner_leaves;            /* if the parent is to die, then by daemon(3) itself */
};

struct act {
	const char *name;
	void (*run)(struct cell *);
	bool extra;      /* wants a second connection of the parent */
	bool finalizers; /* ends by exit(3), with PQfinish in an atexit handler */
	bool concurrent; /* parent and child at the same time */
	bool cancels;    /* may cancel a statement of the parent, see acts.c */
	bool execs;      /* descriptors of the sessions survive exec */
};

struct state {
	const char *name;
	void (*prepare)(struct cell *);
	void (*during)(struct cell *); /* the parent's part of a concurrent act */
	void (*verify)(struct cell *);
	bool connecting; /* sessions are not established at the fork */
	bool killed;     /* the parent does not live to verify */
	bool rows;       /* writes to the table */
	bool reuse;      /* with a witness on a number used before */
	bool notified;   /* the oracle sends a NOTIFY before and after the act */
};

struct cell {
	const struct kind *kind;
	const struct act *act;
	const struct state *state;
	const char *conninfo; /* what the parent and the child connect to */
	const char *control;  /* the oracle's own way in */
	int serve_port;       /* 0 = any; else the witnesses' listening socket has this port */
	bool guarded;         /* also assert what only the guard can give */
	PGconn *target[MAX_TARGETS]; /* the sessions in the state */
	int backend[MAX_TARGETS];
	PostgresPollingStatusType polling[MAX_TARGETS];
	int copy[MAX_TARGETS]; /* dup(2) of its descriptor */
	int n_targets;
	int copied;    /* rows sent by COPY so far */
	PGconn *extra; /* another session of the parent */
	int extra_backend;
};

/* scene.c */
struct scene {
	sem_t begin;   /* oracle: the table is there */
	sem_t born;    /* child: exists, has looked at its descriptors */
	sem_t ready;   /* holder: has forked, and reaped a process in between */
	sem_t go;      /* oracle: act */
	sem_t started; /* child: the concurrent act begins */
	sem_t gone;    /* oracle: the grandchild has ended */
	sem_t acted;   /* holder: the child has ended; owner: the killed worker has */
	sem_t verify;  /* oracle: verify now */
	int deadline_ms;
	int outer;   /* the owner's own backend where a worker plays the parent */
	char id[40]; /* of this run: key of its rows, its channel, part of nonces */
	_Atomic int claimed, verdict;
	char why[512];
	char phase[ROLES][96];
	pid_t pid[ROLES];
	_Atomic int n_theirs, n_own;
	int theirs[MAX_SESSIONS]; /* backends of the parent's side */
	int own[MAX_SESSIONS];    /* backends that answered the child */
	_Atomic int n_sockets;
	struct {
		dev_t dev;
		ino_t ino;
	} socket[MAX_SESSIONS];
	_Atomic int rows; /* what the table must hold in the end */
};
extern struct scene *scene;

void scene_open(int deadline_ms);
void become(enum role role, int share);
enum role self(void);
void phase(const char *what);
void note(int verdict, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void die(int verdict, const char *fmt, ...) __attribute__((noreturn, format(printf, 2, 3)));
bool await(sem_t *s);
void need(sem_t *s, const char *what);
void post(sem_t *s);
void reap(pid_t pid, enum role role, int signal);
long long now_ms(void);
void session_theirs(int pid, int fd);
void session_own(int pid);
bool is_theirs(int pid);
void socket_theirs(int fd);

/* pq.c */
struct question {
	char nonce[80], sql[200];
};

PGconn *pq_open(const char *conninfo, int trouble);
void pq_quiet(PGconn *conn);
void pq_finish(PGconn *conn);
void pq_finish_all(void);
PGresult *pq_next(PGconn *conn);
PGresult *pq_run(PGconn *conn, const char *sql);
int pq_ask(PGconn *conn);
int pq_ask_from(PGconn *conn, const char *from);
void pq_expect(PGconn *conn, int backend);
void pq_do(PGconn *conn, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
struct question pq_pose(const char *from);
int pq_answer(const struct question *q, const PGresult *r);
void pq_drive(PGconn *conn, PostgresPollingStatusType *st, int steps);
bool pq_wait(PGconn *conn, short events, long long end);
void pq_keep(PGconn *conn);

/* witness.c */
void witness_open(const struct cell *c);
void witness_check(const struct cell *c);
void sessions_severed(void);
long long bytes_written(int fd);

/* holder.c */
_Noreturn void owner_main(struct cell *c);

/* forks.c, acts.c, states.c: tables that end with a row without a name */
extern const struct kind kinds[];
extern const struct act acts[];
extern const struct state states[];
void daemon_of_owner(void);
int probe_main(int argc, char **argv);
void outer_open(const struct cell *c, PGconn **outer);
void outer_verify(PGconn *outer);

#endif
