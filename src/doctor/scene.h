/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the examination of live processes works on: processes, sockets, and the PostgreSQL
 * connections among them, each with those who hold it.
 *
 * Owns all of it until tine_scene_free(). Locks: none, one thread. Fork: nothing to do.
 */
#ifndef TINE_DOCTOR_SCENE_H
#define TINE_DOCTOR_SCENE_H

#include "base/ports.h"
#include "doctor/proc.h"
#include "doctor/sockets.h"

enum tine_sharing {
	TINE_SHARING_NONE,     /* one process, which opened it as far as can be seen */
	TINE_SHARING_PROGRAM,  /* besides its opener only other programs hold it, started by exec */
	TINE_SHARING_LATENT,   /* copies of its opener hold it, no use since is visible */
	TINE_SHARING_ACTIVE,   /* used since it is shared */
	TINE_SHARING_ORPHANED, /* none of its holders opened it */
};

/* Of the server, when it was asked. */
struct tine_backend {
	bool known;
	int pid;
	char state[32]; /* "idle in transaction" */
	char user[64];
	char application[64];
	char tls[16]; /* "TLSv1.3", "" without */
	bool tls_known;
	double transaction_s; /* age, or negative */
	double used_s;        /* since its state changed, or negative */
};

struct tine_connection {
	const struct tine_socket *socket;
	struct tine_hold *holds; /* in the array of the processes */
	size_t holds_count;
	bool is_postgres; /* else: unknown, and only of interest when it is shared */
	char endpoint[160];
	const struct tine_process *opener; /* NULL: gone, or it let go */
	const struct tine_process *server; /* the server's process, when it is here; or NULL */
	enum tine_sharing sharing;
	double age_s; /* negative: not known */
	double age_margin_s;
	double used_s; /* ago; negative: not known */
	pid_t seen;    /* a process that was caught using it, and is not its opener; or 0 */
	struct tine_backend backend;
	bool reported;
};

/* How much of a network namespace was seen. */
enum tine_sight {
	TINE_SIGHT_GONE,  /* all processes in it have ended meanwhile */
	TINE_SIGHT_NONE,  /* it may be neither entered nor read */
	TINE_SIGHT_FILES, /* TCP, but not which unix sockets belong together */
	TINE_SIGHT_FULL,
};

struct tine_namespace {
	uint64_t id;
	const struct tine_process *process; /* one that is in it, and was there when it was read */
	bool in_tree;                       /* a process of the tree is in it */
	enum tine_sight sight;
};

struct tine_scene {
	struct tine_procs procs;
	struct tine_sockets sockets;
	struct tine_ports ports;
	struct tine_namespace *namespaces;
	size_t namespaces_count;
	uint64_t own_netns;
	struct tine_connection *connections;
	size_t connections_count;
	size_t looked_at; /* shared connections whose use was asked for */
};

/** Read processes, mark the tree, read sockets, find connections.
 *  @param root   "/proc", or a directory that looks like it
 *  @param pid    root of the tree, or 0 for all
 *  @param ports  --port and the ports of the connection string, besides 5432 and 6432
 *  @return 0, -ESRCH when there is no such process, -EACCES when it may not be looked at, or -errno
 */
int tine_scene_read(struct tine_scene *scene, const char *root, int pid,
		    const struct tine_ports *ports);

/** Find out who opened each connection and how it is shared. Looks twice where a process has just
 *  been forked: one that is about to exec holds everything for a moment. */
void tine_scene_judge(struct tine_scene *scene);

/** Judge again with what the server said (backend.known). */
void tine_connection_judge(struct tine_scene *scene, struct tine_connection *connection);

void tine_scene_free(struct tine_scene *scene);

/** The process of a hold. */
const struct tine_process *tine_scene_holder(const struct tine_scene *scene,
					     const struct tine_hold *hold);

/** How many different processes hold it. */
size_t tine_connection_holders(const struct tine_connection *connection);

/** Are they copies of one program, forked from each other without an exec since? */
bool tine_process_is_copy(const struct tine_process *a, const struct tine_process *b);

/** Is it PostgreSQL's own process for one connection? */
bool tine_process_is_backend(const struct tine_scene *scene, const struct tine_process *process);

/** Processes that were caught in a system call on a descriptor of a connection.
 *  @return one that is not the opener, else 0 */
pid_t tine_activity_find(const struct tine_scene *scene, const struct tine_connection *connection);

#endif
