/* SPDX-License-Identifier: PostgreSQL */
/*
 * Which handlers are woken for what, with the test's own clock; and whose connections are fewer.
 */
#include "queue.h"

#include <poll.h>
#include <pthread.h>

#include "crowd.h"
#include "support/check.h"

#define HANDLERS 5
#define MS INT64_C(1000000)

static struct queue queue;
static char requests[8]; /* only their addresses are looked at */

/* A handler that keeps each request until it is told that this is answered. */
struct handler {
	pthread_t thread;
	_Atomic(struct exchange *) has;
	sem_t answered;
};

static struct handler handlers[HANDLERS];

static struct exchange *request(int number)
{
	return (struct exchange *)(void *)&requests[number];
}

static void *handle(void *arg)
{
	struct handler *self = arg;
	struct exchange *exchange;
	struct queue_seat seat;

	queue_seat_init(&queue, &seat);
	while ((exchange = queue_take(&queue, &seat)) != NULL) {
		self->has = exchange;
		while (sem_wait(&self->answered) < 0)
			;
	}
	return NULL;
}

/* The harness ends a test that waits for ever. */
static void wait_for_sleepers(int count)
{
	for (int sleepers = -1; sleepers != count; poll(NULL, 0, 1)) {
		sleepers = 0;
		pthread_mutex_lock(&queue.lock);
		for (struct queue_seat *seat = queue.seats; seat; seat = seat->next)
			sleepers++;
		pthread_mutex_unlock(&queue.lock);
	}
}

static struct handler *handler_of(int number)
{
	for (;; poll(NULL, 0, 1))
		for (int i = 0; i < HANDLERS; i++)
			if (handlers[i].has == request(number))
				return &handlers[i];
}

static void answer(int number)
{
	struct handler *handler = handler_of(number);

	handler->has = NULL;
	sem_post(&handler->answered);
}

static unsigned left(void)
{
	unsigned count;

	pthread_mutex_lock(&queue.lock);
	count = queue.count;
	pthread_mutex_unlock(&queue.lock);
	return count;
}

static void begin(void)
{
	queue_init(&queue);
	for (int i = 0; i < HANDLERS; i++) {
		sem_init(&handlers[i].answered, 0, 0);
		CHECK_INT(pthread_create(&handlers[i].thread, NULL, handle, &handlers[i]), ==, 0);
	}
	wait_for_sleepers(HANDLERS);
}

static void end(void)
{
	queue_close(&queue);
	for (int i = 0; i < HANDLERS; i++)
		CHECK_INT(pthread_join(handlers[i].thread, NULL), ==, 0);
}

static void put(int number, int64_t now_ns)
{
	CHECK(queue_put(&queue, request(number), now_ns));
}

TEST(a_few_are_woken_and_take_the_rest)
{
	begin();
	for (int i = 0; i < QUEUE_AWAKE + 2; i++)
		put(i, 0);
	for (int i = 0; i < QUEUE_AWAKE; i++)
		handler_of(i);
	CHECK_INT(left(), ==, 2);
	CHECK_INT(queue_hurry(&queue, 0), ==, QUEUE_STUCK_MS);
	CHECK_INT(left(), ==, 2);
	wait_for_sleepers(HANDLERS - QUEUE_AWAKE);
	/* in their order, by those who are awake */
	answer(0);
	handler_of(QUEUE_AWAKE);
	answer(1);
	handler_of(QUEUE_AWAKE + 1);
	wait_for_sleepers(HANDLERS - QUEUE_AWAKE);
	CHECK_INT(queue_hurry(&queue, 0), ==, -1);
	for (int i = 2; i < QUEUE_AWAKE + 2; i++)
		answer(i);
	wait_for_sleepers(HANDLERS);
	end();
}

TEST(when_nothing_is_taken_one_more_is_woken_each_time)
{
	begin();
	for (int i = 0; i < QUEUE_AWAKE + 2; i++)
		put(i, 0);
	handler_of(QUEUE_AWAKE - 1);
	queue_hurry(&queue, QUEUE_STUCK_MS * MS - 1);
	CHECK_INT(left(), ==, 2);
	queue_hurry(&queue, QUEUE_STUCK_MS * MS);
	handler_of(QUEUE_AWAKE);
	CHECK_INT(left(), ==, 1);
	queue_hurry(&queue, QUEUE_STUCK_MS * MS);
	CHECK_INT(left(), ==, 1);
	queue_hurry(&queue, 2 * QUEUE_STUCK_MS * MS);
	handler_of(QUEUE_AWAKE + 1);
	for (int i = 0; i < QUEUE_AWAKE + 2; i++)
		answer(i);
	wait_for_sleepers(HANDLERS);
	end();
}

TEST(what_is_taken_is_progress_but_nobody_waits_for_long)
{
	begin();
	for (int i = 0; i < QUEUE_AWAKE + 3; i++)
		put(i, 0);
	handler_of(QUEUE_AWAKE - 1);
	answer(0);
	handler_of(QUEUE_AWAKE);
	queue_hurry(&queue, QUEUE_STUCK_MS * MS); /* sees that one was taken */
	CHECK_INT(left(), ==, 2);
	answer(1);
	handler_of(QUEUE_AWAKE + 1);
	CHECK_INT(left(), ==, 1);
	queue_hurry(&queue, QUEUE_LATE_MS * MS - 1);
	CHECK_INT(left(), ==, 1);
	queue_hurry(&queue, QUEUE_LATE_MS * MS);
	handler_of(QUEUE_AWAKE + 2);
	for (int i = 2; i < QUEUE_AWAKE + 3; i++)
		answer(i);
	wait_for_sleepers(HANDLERS);
	end();
}

TEST(no_more_than_there_is_room_for)
{
	queue_init(&queue);
	CHECK(queue_is_empty(&queue));
	for (int i = 0; i < QUEUE_MAX; i++)
		put(0, 0);
	CHECK(!queue_put(&queue, request(1), 0));
	CHECK(!queue_is_empty(&queue));
	CHECK_INT(queue_hurry(&queue, INT64_MAX), ==, QUEUE_STUCK_MS);
}

TEST(one_more_than_another_is_not_more)
{
	struct crowd crowd;

	CHECK_INT(crowd_make(&crowd), ==, 0);
	CHECK(!crowd_others_have_fewer(&crowd, 0, 1000));
	crowd_tell(&crowd, 0, 7);
	CHECK(!crowd_others_have_fewer(&crowd, 0, 7));
	crowd_tell(&crowd, 1, 5);
	CHECK(crowd_others_have_fewer(&crowd, 0, 7));
	CHECK(!crowd_others_have_fewer(&crowd, 0, 6));
	CHECK(!crowd_others_have_fewer(&crowd, 1, 5));
	CHECK(!crowd_others_have_fewer(&crowd, CROWD_WORKERS, 7));
	crowd_leave(&crowd, 1);
	CHECK(!crowd_others_have_fewer(&crowd, 0, 7));
	crowd_tell(&crowd, CROWD_WORKERS, 0);
	CHECK(!crowd_others_have_fewer(&crowd, 0, 7));
}

CHECK_TABLE(T(a_few_are_woken_and_take_the_rest),
	    T(when_nothing_is_taken_one_more_is_woken_each_time),
	    T(what_is_taken_is_progress_but_nobody_waits_for_long),
	    T(no_more_than_there_is_room_for), T(one_more_than_another_is_not_more))
