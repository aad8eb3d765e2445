/* SPDX-License-Identifier: PostgreSQL */
/*
 * Requests on their way from a worker's loop to its handlers. Requests are served in their order;
 * of the handlers that wait, the one that waits least long is given the next: its stack is warm,
 * and the pool has its last connection for it.
 *
 * To wake a thread costs more than to render a page, and a handler that finds the next request here
 * was not asleep. So one handler is awake as long as it keeps up; a further one is woken for a
 * request when none was taken for a moment, because all who are awake wait for a database that is
 * slow, or when it has waited for long. It stays awake until nothing is left to do.
 *
 * Locks: its own, never held across a system call but the futex. Fork: made in the master, empty; a
 * worker's copy is its own. Times are of CLOCK_MONOTONIC.
 */
#ifndef RECORDS_QUEUE_H
#define RECORDS_QUEUE_H

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>

#define QUEUE_MAX 1024
#define QUEUE_AWAKE 1    /* so many are woken at once */
#define QUEUE_STUCK_MS 2 /* nothing was taken for so long */
#define QUEUE_LATE_MS 5  /* the first has waited for so long */

struct exchange;

/* A handler, as long as it lives. */
struct queue_seat {
	struct queue_seat *next;
	struct exchange *given; /* NULL: the queue is closed */
	sem_t ready;
};

struct queue_place {
	struct exchange *exchange;
	int64_t since_ns;
};

struct queue {
	pthread_mutex_t lock;
	struct queue_place waiting[QUEUE_MAX]; /* a ring */
	unsigned first, count;
	unsigned taken;           /* of the ring, ever */
	struct queue_seat *seats; /* a stack: handlers that sleep */
	int awake;                /* the others */
	bool closed;
	unsigned taken_before; /* the loop's: at its last look, and when that was another number */
	int64_t moved_ns;
};

void queue_init(struct queue *queue);

/** @return false when it is full */
bool queue_put(struct queue *queue, struct exchange *exchange, int64_t now_ns);

bool queue_is_empty(struct queue *queue);

/** Wake a further handler, if it is time to: for the thread that puts.
 *  @return milliseconds until it is to be called again, -1 = after the next queue_put(),
 *  when it is empty */
int queue_hurry(struct queue *queue, int64_t now_ns);

/** @param seat the handler's, for its whole life */
void queue_seat_init(struct queue *queue, struct queue_seat *seat);

/** Wait for the next. @return NULL when the queue is closed and empty */
struct exchange *queue_take(struct queue *queue, struct queue_seat *seat);

/** No more will come. */
void queue_close(struct queue *queue);

#endif
