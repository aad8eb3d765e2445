/* SPDX-License-Identifier: PostgreSQL */
#include "queue.h"

#include <stddef.h>

void queue_init(struct queue *queue)
{
	*queue = (struct queue){ .lock = PTHREAD_MUTEX_INITIALIZER,
				 .changed = PTHREAD_COND_INITIALIZER };
}

bool queue_put(struct queue *queue, struct exchange *exchange)
{
	bool room, wake;

	pthread_mutex_lock(&queue->lock);
	room = queue->count < QUEUE_MAX;
	if (room)
		queue->waiting[(queue->first + queue->count++) % QUEUE_MAX] = exchange;
	wake = queue->idle > 0;
	pthread_mutex_unlock(&queue->lock);
	if (wake)
		pthread_cond_signal(&queue->changed);
	return room;
}

struct exchange *queue_take(struct queue *queue)
{
	struct exchange *exchange = NULL;

	pthread_mutex_lock(&queue->lock);
	queue->idle++;
	while (queue->count == 0 && !queue->closed)
		pthread_cond_wait(&queue->changed, &queue->lock);
	queue->idle--;
	if (queue->count > 0) {
		exchange = queue->waiting[queue->first];
		queue->first = (queue->first + 1) % QUEUE_MAX;
		queue->count--;
	}
	pthread_mutex_unlock(&queue->lock);
	return exchange;
}

void queue_close(struct queue *queue)
{
	pthread_mutex_lock(&queue->lock);
	queue->closed = true;
	pthread_mutex_unlock(&queue->lock);
	pthread_cond_broadcast(&queue->changed);
}
