/* SPDX-License-Identifier: PostgreSQL */
/*
 * Requests on their way from a worker's loop to its handlers. Requests are served in their order;
 * of the handlers that wait, the one that waits least long is given the next: its stack is warm,
 * and the pool has its last connection for it.
 *
 * Locks: its own, never held across a system call but the futex. Fork: made in the master, empty; a
 * worker's copy is its own.
 */
#ifndef RECORDS_QUEUE_H
#define RECORDS_QUEUE_H

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>

#define QUEUE_MAX 1024

struct exchange;

/* A handler, as long as it lives. */
struct queue_seat {
	struct queue_seat *next;
	struct exchange *given; /* NULL: the queue is closed */
	sem_t ready;
};

struct queue {
	pthread_mutex_t lock;
	struct exchange *waiting[QUEUE_MAX]; /* a ring; empty while a seat is taken */
	unsigned first, count;
	struct queue_seat *seats; /* a stack */
	bool closed;
};

void queue_init(struct queue *queue);

/** @return false when it is full */
bool queue_put(struct queue *queue, struct exchange *exchange);

void queue_seat_init(struct queue_seat *seat);

/** Wait for the next. @param seat the handler's, for its whole life
 *  @return NULL when the queue is closed and empty */
struct exchange *queue_take(struct queue *queue, struct queue_seat *seat);

/** No more will come. */
void queue_close(struct queue *queue);

#endif
