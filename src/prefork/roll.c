/* SPDX-License-Identifier: PostgreSQL */
/*
 * How many workers there are to be, and whose turn it is.
 *
 * Invariant: a worker is stopped for a reload or a limit of its own only while all places of its
 * kind are ready, so that of n workers n - 1 are ready at any time that the program's own workers
 * leave it so. It is stopped before its successor is forked: the number of processes, and so of
 * connections to the database, never exceeds n.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "pool/error.h"
#include "prefork/master.h"

int tine_roll_ready(const struct tine_kind *kind)
{
	int ready = 0;

	for (int i = 0; i < kind->count && i < kind->config.workers; i++)
		ready += tine_crew_is_ready(kind->workers[i]);
	return ready;
}

/* ---- places --------------------------------------------------------------------------------- */

static struct tine_worker *make_place(struct tine_master *master, struct tine_kind *kind)
{
	struct tine_worker *worker = calloc(1, sizeof(*worker));

	if (!worker)
		return NULL;
	worker->master = master;
	worker->kind = kind;
	worker->number = kind->count;
	worker->channel = -1;
	worker->deadline_ns = TINE_NEVER_NS;
	snprintf(worker->name, sizeof(worker->name), "%s/%d", kind->name, kind->count);
	return worker;
}

static int grow(struct tine_master *master, struct tine_kind *kind)
{
	size_t bytes = (size_t)kind->config.workers * sizeof(struct tine_worker *);
	struct tine_worker **workers = realloc(kind->workers, bytes);

	if (!workers)
		return -1;
	kind->workers = workers;
	while (kind->count < kind->config.workers) {
		workers[kind->count] = make_place(master, kind);
		if (!workers[kind->count])
			return -1;
		kind->count++;
	}
	return 0;
}

/* Places that are too many go when their process is gone, the last one first. */
static void shrink(struct tine_kind *kind, int wanted)
{
	while (kind->count > wanted && !kind->workers[kind->count - 1]->pid)
		free(kind->workers[--kind->count]);
}

int tine_roll_resize(struct tine_master *master, struct tine_kind *kind, int before,
		     tine_error *error)
{
	struct tine_hook_event hook = {
		.kind = TINE_HOOK_NWORKERS_CHANGED,
		.worker_kind = kind->name,
		.before = before,
		.now = kind->config.workers,
	};

	if (kind->count < kind->config.workers && grow(master, kind) < 0)
		return tine_error_set(error, TINE_E_NOMEM, "no memory for %d workers",
				      kind->config.workers);
	tine_hook_call(master, &hook);
	return 0;
}

void tine_roll_free(struct tine_kind *kind)
{
	shrink(kind, 0);
	free(kind->workers);
	kind->workers = NULL;
}

/* ---- turns ---------------------------------------------------------------------------------- */

static void stop_surplus(struct tine_kind *kind)
{
	for (int i = kind->config.workers; i < kind->count; i++)
		if (kind->workers[i]->pid)
			tine_crew_stop(kind->workers[i], TINE_END_SURPLUS);
	shrink(kind, kind->config.workers);
}

static bool is_due(const struct tine_worker *worker)
{
	return worker->state == TINE_WORKER_READY &&
	       (worker->retire != TINE_END_ITSELF ||
		worker->generation != worker->master->generation);
}

/* The oldest first. */
static struct tine_worker *whose_turn(const struct tine_kind *kind)
{
	struct tine_worker *first = NULL;

	for (int i = 0; i < kind->count && i < kind->config.workers; i++) {
		struct tine_worker *worker = kind->workers[i];

		if (is_due(worker) && (!first || worker->forked_ns < first->forked_ns))
			first = worker;
	}
	return first;
}

static void replace_one(struct tine_kind *kind)
{
	struct tine_worker *worker;

	if (tine_roll_ready(kind) < kind->config.workers)
		return;
	worker = whose_turn(kind);
	if (worker)
		tine_crew_stop(worker, worker->retire != TINE_END_ITSELF ? worker->retire
									 : TINE_END_RELOAD);
}

static bool is_missing(const struct tine_kind *kind)
{
	for (int i = 0; i < kind->count && i < kind->config.workers; i++)
		if (!kind->workers[i]->pid)
			return true;
	return false;
}

static void fork_missing(struct tine_kind *kind, int64_t now_ns)
{
	for (int i = 0; i < kind->count && i < kind->config.workers; i++)
		if (!kind->workers[i]->pid && now_ns >= kind->fork_after_ns)
			tine_crew_fork(kind->workers[i]);
}

void tine_roll(struct tine_master *master, int64_t now_ns)
{
	for (int k = 0; k < master->kind_count; k++) {
		struct tine_kind *kind = &master->kinds[k];

		if (master->state != TINE_MASTER_RUNNING)
			return;
		stop_surplus(kind);
		replace_one(kind);
		fork_missing(kind, now_ns);
	}
}

int64_t tine_roll_next_ns(const struct tine_master *master)
{
	int64_t next = TINE_NEVER_NS;

	for (int k = 0; k < master->kind_count; k++) {
		const struct tine_kind *kind = &master->kinds[k];

		if (master->state == TINE_MASTER_RUNNING && is_missing(kind) &&
		    kind->fork_after_ns < next)
			next = kind->fork_after_ns;
	}
	return next;
}
