/* SPDX-License-Identifier: PostgreSQL */
#include "queue.h"

#include <stddef.h>

void queue_init(struct queue *queue)
{
	*queue = (struct queue){ .lock = PTHREAD_MUTEX_INITIALIZER };
}

static struct queue_seat *pop_seat(struct queue *queue)
{
	struct queue_seat *seat = queue->seats;

	if (seat)
		queue->seats = seat->next;
	return seat;
}

bool queue_put(struct queue *queue, struct exchange *exchange)
{
	struct queue_seat *seat;
	bool room;

	pthread_mutex_lock(&queue->lock);
	seat = pop_seat(queue);
	room = seat || queue->count < QUEUE_MAX;
	if (seat)
		seat->given = exchange;
	else if (room)
		queue->waiting[(queue->first + queue->count++) % QUEUE_MAX] = exchange;
	pthread_mutex_unlock(&queue->lock);
	if (seat)
		sem_post(&seat->ready);
	return room;
}

static struct exchange *wait_in(struct queue_seat *seat)
{
	while (sem_wait(&seat->ready) < 0)
		;
	return seat->given;
}

void queue_seat_init(struct queue_seat *seat)
{
	*seat = (struct queue_seat){ .given = NULL };
	sem_init(&seat->ready, 0, 0);
}

struct exchange *queue_take(struct queue *queue, struct queue_seat *seat)
{
	struct exchange *exchange = NULL;
	bool waits;

	pthread_mutex_lock(&queue->lock);
	waits = queue->count == 0 && !queue->closed;
	if (waits) {
		seat->given = NULL;
		seat->next = queue->seats;
		queue->seats = seat;
	} else if (queue->count > 0) {
		exchange = queue->waiting[queue->first];
		queue->first = (queue->first + 1) % QUEUE_MAX;
		queue->count--;
	}
	pthread_mutex_unlock(&queue->lock);
	return waits ? wait_in(seat) : exchange;
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
