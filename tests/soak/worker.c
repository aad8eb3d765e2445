/* SPDX-License-Identifier: PostgreSQL */
/*
 * A worker: threads that take turns on the pool that it inherited, and, when they have ended, proof
 * that nothing is left: no connection, no descriptor, no memory. The master's own threads are such
 * a team, too.
 *
 * Locks: none. Fork: the worker is forked from the master's main thread while its other threads
 * have connections in their hands.
 */
#include "soak.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* What a pool may keep: its slots, and what libraries cache once. */
#define HEAP_SLACK_BYTES (64 * 1024)

static struct process *place; /* this process */

static void *take_turns(void *number)
{
	self_become(place, (int)(intptr_t)number);
	while (!atomic_load(&board->stop))
		turn();
	atomic_store(&self.actor->touched_ns, 0);
	return NULL;
}

/* A first connection, so that what libraries do once is done. */
static void use_once(void)
{
	struct held held;

	while (!take(&held, -1))
		if (atomic_load(&board->stop))
			return;
	ask_once(&held);
	give_back(&held);
	tine_pool_dispose(pool, TINE_DISPOSE_CLOSE);
}

void team_start(struct team *team, int threads)
{
	place = self.process;
	if (!options.bare)
		use_once();
	team->descriptors = census_descriptors(getpid());
	team->heap_bytes = census_heap_bytes();
	for (team->count = 0; team->count < threads; team->count++)
		if (pthread_create(&team->threads[team->count], NULL, take_turns,
				   (void *)(intptr_t)(team->count + 1)) != 0)
			fail("pthread_create failed");
}

static void judge_pool(void)
{
	tine_pool_stats stats;

	tine_pool_status(pool, &stats);
	if (stats.busy || stats.waiting)
		fail("in the end %d connections are busy, %d acquires wait", stats.busy,
		     stats.waiting);
	tine_pool_dispose(pool, TINE_DISPOSE_CLOSE);
	tine_pool_status(pool, &stats);
	if (stats.open)
		fail("in the end %d connections are open", stats.open);
}

static void judge_rest(const struct team *team)
{
	int descriptors = census_descriptors(getpid());
	int64_t heap_bytes = census_heap_bytes() - team->heap_bytes;
	int64_t worst_bytes = atomic_load(&board->worst_heap_bytes);

	if (descriptors > team->descriptors)
		fail("%d descriptors in the beginning, %d in the end", team->descriptors,
		     descriptors);
	if (heap_bytes > HEAP_SLACK_BYTES)
		fail("%lld bytes of memory are left in the end", (long long)heap_bytes);
	while (heap_bytes > worst_bytes &&
	       !atomic_compare_exchange_weak(&board->worst_heap_bytes, &worst_bytes, heap_bytes))
		continue;
}

void team_finish(struct team *team)
{
	step("waits for its threads");
	excuse(true);
	for (int i = 0; i < team->count; i++)
		while (pthread_tryjoin_np(team->threads[i], NULL) != 0) {
			if (atomic_load(&board->failed))
				stand_still();
			poll(NULL, 0, 5);
		}
	excuse(false);
	if (options.bare)
		return;
	step("looks at what is left");
	judge_pool();
	judge_rest(team);
}

void worker_main(struct process *process, pid_t claimer)
{
	struct team team;

	if (!process_enter(process, claimer))
		_exit(0);
	self_become(process, 0);
	/* At the fork a thread of the master may have paused it. */
	if (!options.bare)
		tine_pool_resume(pool);
	team_start(&team, options.threads);
	team_finish(&team);
	if (!options.bare)
		tine_pool_free(pool);
	exit(0);
}
