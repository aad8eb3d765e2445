/* SPDX-License-Identifier: PostgreSQL */
/*
 * The service: what is made once, before workers are forked, and what each then has its copy of.
 *
 * Locks: those of its parts. Fork: made in the master, which has one thread; a worker's copy is its
 * own from there on, but for the limits and the crowd, which are shared memory.
 */
#ifndef RECORDS_SERVICE_H
#define RECORDS_SERVICE_H

#include <semaphore.h>
#include <stdatomic.h>

#include <tine/tine.h>
#include <tine/web.h>

#include "assets.h"
#include "config.h"
#include "cookie.h"
#include "crowd.h"
#include "limit.h"
#include "queue.h"
#include "request.h"
#include "settings.h"
#include "storage.h"
#include "template.h"

#define HASHES_AT_ONCE 2 /* in a process: each takes 64 MiB */

#define HOSTS_MAX 16

struct service {
	const struct config *config;
	int patience_ms; /* of a request with the database: the pool's acquire_timeout_ms */
	tine_pool *pool;
	tine_master *master;
	tine_web *web; /* NULL when there is no status page */
	const char *hosts[HOSTS_MAX + 1];
	char *hosts_text;
	struct keys keys;
	struct shelf *shelf;   /* loaded again at each reload */
	struct assets *assets; /* the same */
	struct storage storage;
	struct settings settings;
	struct limits limits;
	struct crowd crowd;
	struct queue queue;
	int handlers; /* of a web worker */
	sem_t hashing;
	atomic_int logins; /* handlers of this process that make a hash, or wait for that */
};

/** What `records serve` does. @return an exit status */
int service_run(const struct config *config);

/** A pool by the environment, for commands too. Says on standard error what is wrong.
 *  @param ret_patience_ms may be NULL
 *  @return NULL on failure */
tine_pool *service_pool(const struct config *config, int *ret_patience_ms);

/* The kinds of workers: tine_worker_fn with the service as user_data. */
int web_serve(tine_worker *worker, int thread, void *service);
int task_serve(tine_worker *worker, int thread, void *service);

#endif
