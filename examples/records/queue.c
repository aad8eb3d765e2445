/* SPDX-License-Identifier: PostgreSQL */
#include "queue.h"

#include <stddef.h>

#define NS_PER_MS INT64_C(1000000)

void queue_init(struct queue *queue)
{
	*queue = (struct queue){ .lock = PTHREAD_MUTEX_INITIALIZER };
}

/* ---- under the lock ------------------------------------------------------------------------- */

static struct queue_seat *pop_seat(struct queue *queue)
{
	struct queue_seat *seat = queue->seats;

	if (seat) {
		queue->seats = seat->next;
		queue->awake++;
	}
	return seat;
}

static void push_seat(struct queue *queue, struct queue_seat *seat)
{
	seat->given = NULL;
	seat->next = queue->seats;
	queue->seats = seat;
	queue->awake--;
}

static struct exchange *pop(struct queue *queue)
{
	struct exchange *exchange = queue->waiting[queue->first].exchange;

	queue->first = (queue->first + 1) % QUEUE_MAX;
	queue->count--;
	queue->taken++;
	return exchange;
}

static void push(struct queue *queue, struct exchange *exchange, int64_t now_ns)
{
	unsigned place = (queue->first + queue->count) % QUEUE_MAX;

	queue->waiting[place] = (struct queue_place){ exchange, now_ns };
	if (queue->count++ == 0)
		queue->moved_ns = now_ns;
}

/* ---- the loop's side ------------------------------------------------------------------------ */

bool queue_put(struct queue *queue, struct exchange *exchange, int64_t now_ns)
{
	struct queue_seat *seat = NULL;
	bool room;

	pthread_mutex_lock(&queue->lock);
	if (queue->count == 0 && queue->awake < QUEUE_AWAKE)
		seat = pop_seat(queue);
	room = seat || queue->count < QUEUE_MAX;
	if (seat)
		seat->given = exchange;
	else if (room)
		push(queue, exchange, now_ns);
	pthread_mutex_unlock(&queue->lock);
	if (seat)
		sem_post(&seat->ready);
	return room;
}

static bool is_time(struct queue *queue, int64_t now_ns)
{
	if (queue->taken != queue->taken_before) {
		queue->taken_before = queue->taken;
		queue->moved_ns = now_ns;
	}
	return now_ns - queue->moved_ns >= QUEUE_STUCK_MS * NS_PER_MS ||
	       now_ns - queue->waiting[queue->first].since_ns >= QUEUE_LATE_MS * NS_PER_MS;
}

bool queue_is_empty(struct queue *queue)
{
	bool is_empty;

	pthread_mutex_lock(&queue->lock);
	is_empty = queue->count == 0;
	pthread_mutex_unlock(&queue->lock);
	return is_empty;
}

int queue_hurry(struct queue *queue, int64_t now_ns)
{
	struct queue_seat *seat = NULL;
	bool is_empty;

	pthread_mutex_lock(&queue->lock);
	is_empty = queue->count == 0;
	if (!is_empty && is_time(queue, now_ns))
		seat = pop_seat(queue);
	if (seat)
		seat->given = pop(queue);
	pthread_mutex_unlock(&queue->lock);
	if (seat)
		sem_post(&seat->ready);
	return is_empty ? -1 : QUEUE_STUCK_MS;
}

/* ---- the handlers' side --------------------------------------------------------------------- */

void queue_seat_init(struct queue *queue, struct queue_seat *seat)
{
	*seat = (struct queue_seat){ .given = NULL };
	sem_init(&seat->ready, 0, 0);
	pthread_mutex_lock(&queue->lock);
	queue->awake++;
	pthread_mutex_unlock(&queue->lock);
}

/* @return false: it has a seat now, and is to wait in it */
static bool take(struct queue *queue, struct queue_seat *seat, struct exchange **ret_exchange)
{
	bool sits;

	pthread_mutex_lock(&queue->lock);
	*ret_exchange = queue->count > 0 ? pop(queue) : NULL;
	sits = !*ret_exchange && !queue->closed;
	if (sits)
		push_seat(queue, seat);
	pthread_mutex_unlock(&queue->lock);
	return !sits;
}

struct exchange *queue_take(struct queue *queue, struct queue_seat *seat)
{
	struct exchange *exchange;

	while (!take(queue, seat, &exchange)) {
		while (sem_wait(&seat->ready) < 0)
			;
		if (seat->given)
			return seat->given;
	}
	return exchange;
}

void queue_close(struct queue *queue)
{
	struct queue_seat *seat;

	pthread_mutex_lock(&queue->lock);
	queue->closed = true;
	pthread_mutex_unlock(&queue->lock);
	for (;;) {
		pthread_mutex_lock(&queue->lock);
		seat = pop_seat(queue);
		pthread_mutex_unlock(&queue->lock);
		if (!seat)
			return;
		sem_post(&seat->ready);
	}
}
