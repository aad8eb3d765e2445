/* SPDX-License-Identifier: PostgreSQL */
/* The registry of connections: what is in it is found, by any thread, while others come and go. */
#include "preload/libpq/record.h"

#include <pthread.h>

#include "support/check.h"

#define MANY 5000

static struct tine_copy copy;
static char memory[MANY][64]; /* its addresses stand for connections */
static atomic_bool enough;

static PGconn *conn_at(int i)
{
	return (PGconn *)memory[i];
}

TEST(finds_what_was_added)
{
	static struct tine_record *records[MANY];

	CHECK(!tine_record_find(conn_at(0)));
	CHECK(!tine_record_find(NULL));
	for (int i = 0; i < MANY; i++)
		records[i] = tine_record_add(&copy, conn_at(i));
	for (int i = 0; i < MANY; i++) {
		CHECK(records[i] && tine_record_find(conn_at(i)) == records[i]);
		CHECK(records[i]->conn == conn_at(i) && records[i]->copy == &copy);
	}
	for (int i = 0; i < MANY; i += 2)
		tine_record_remove(records[i]);
	for (int i = 0; i < MANY; i++)
		CHECK(tine_record_find(conn_at(i)) == (i % 2 ? records[i] : NULL));
}

/* Whoever connects for each request adds and removes for ever. */
TEST(comes_and_goes)
{
	for (int i = 0; i < 20 * MANY; i++) {
		struct tine_record *record = tine_record_add(&copy, conn_at(i % MANY));

		CHECK(tine_record_find(conn_at(i % MANY)) == record);
		tine_record_remove(record);
		CHECK(!tine_record_find(conn_at(i % MANY)));
	}
}

static void *come_and_go(void *first)
{
	for (int i = 0; !enough; i = (i + 1) % 100)
		tine_record_remove(tine_record_add(&copy, conn_at(*(int *)first + i)));
	return NULL;
}

TEST(is_read_while_others_write)
{
	struct tine_record *record = tine_record_add(&copy, conn_at(0));
	int firsts[] = { 100, 200 };
	pthread_t threads[2];

	for (int i = 0; i < 2; i++)
		CHECK_INT(pthread_create(&threads[i], NULL, come_and_go, &firsts[i]), ==, 0);
	for (int i = 0; i < 300000; i++) {
		CHECK(tine_record_find(conn_at(0)) == record);
		CHECK(!tine_record_find(conn_at(1)));
		/* The table grows meanwhile. */
		if (i % 1000 == 0)
			tine_record_add(&copy, conn_at(300 + i / 1000));
	}
	enough = true;
	for (int i = 0; i < 2; i++)
		CHECK_INT(pthread_join(threads[i], NULL), ==, 0);
}

/* A fork without handlers, while somebody had the lock. */
TEST(lives_on_in_a_child)
{
	struct tine_record *record = tine_record_add(&copy, conn_at(0));
	pid_t pid;

	tine_record_lock();
	pid = _Fork();
	if (pid == 0) {
		tine_record_renew_lock();
		tine_level.forks++;
		CHECK(tine_record_find(conn_at(0)) == record && tine_record_inherited(record));
		CHECK(!tine_record_inherited(tine_record_add(&copy, conn_at(1))));
		_exit(0);
	}
	tine_record_unlock();
	check_child(pid);
	CHECK(!tine_record_inherited(record));
}

CHECK_TABLE(T(finds_what_was_added), T(comes_and_goes), T(is_read_while_others_write),
	    T(lives_on_in_a_child))
