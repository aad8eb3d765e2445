/* SPDX-License-Identifier: PostgreSQL */
/*
 * Requests on their way from a worker's loop to its handlers. First come, first served.
 *
 * Locks: its own, never held across a system call but the futex. Fork: made in the master, empty; a
 * worker's copy is its own.
 */
#ifndef RECORDS_QUEUE_H
#define RECORDS_QUEUE_H

#include <pthread.h>
#include <stdbool.h>

#define QUEUE_MAX 1024

struct exchange;

struct queue {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct exchange *waiting[QUEUE_MAX]; /* a ring */
	unsigned first, count;
	int idle; /* handlers that wait */
	bool closed;
};

void queue_init(struct queue *queue);

/** @return false when it is full */
bool queue_put(struct queue *queue, struct exchange *exchange);

/** Wait for the next. @return NULL when the queue is closed and empty */
struct exchange *queue_take(struct queue *queue);

/** No more will come. */
void queue_close(struct queue *queue);

#endif
