/* SPDX-License-Identifier: PostgreSQL */
/*
 * Two threads move money between the same two accounts at the same moment. The server lets one of
 * them pass and refuses the other with SQLSTATE 40001, for which tine_transact() tries again.
 *
 *	cc transfer.c -o transfer -pthread $(pkg-config --cflags --libs tine)
 *	DATABASE_URL=postgresql://app:secret@db.example.org/app ./transfer
 *
 * Makes the table tine_example_accounts, and removes it.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <libpq-fe.h>
#include <tine/tine.h>

struct transfer {
	tine_pool *pool;
	const char *from, *to, *amount;
	int attempts;
	int status; /* of tine_transact() */
	tine_error error;
	pthread_barrier_t *both_have_read;
};

static int run(PGconn *pg, const char *sql, int count, const char *const *values)
{
	PGresult *result = PQexecParams(pg, sql, count, NULL, values, NULL, NULL, 0);
	int failed = PQresultStatus(result) != PGRES_COMMAND_OK;

	PQclear(result);
	return failed;
}

/* @return -1 when it cannot be read */
static int balance(PGconn *pg, const char *account)
{
	PGresult *result =
		PQexecParams(pg, "select balance from tine_example_accounts where name = $1", 1,
			     NULL, &account, NULL, NULL, 0);
	int amount = PQntuples(result) == 1 ? atoi(PQgetvalue(result, 0, 0)) : -1;

	PQclear(result);
	return amount;
}

/* One attempt. May run several times, so it keeps nothing from one to the next but the count. For
 * a statement that failed any result but 0 will do: what the server said decides what follows. */
static int move(PGconn *pg, void *arg, tine_error *error)
{
	struct transfer *transfer = arg;
	const char *values[] = { transfer->from, transfer->to, transfer->amount };
	int available = balance(pg, transfer->from);

	if (transfer->attempts++ == 0)
		pthread_barrier_wait(transfer->both_have_read); /* now they will collide */
	if (available < 0)
		return TINE_E_ABORTED;
	if (available < atoi(transfer->amount)) {
		/* A reason of our own, which is final. */
		snprintf(error->text, sizeof(error->text), "%s has only %d", transfer->from,
			 available);
		return TINE_E_ABORTED;
	}
	return run(pg,
		   "update tine_example_accounts set balance = balance + "
		   "case name when $1 then -$3::integer else $3::integer end "
		   "where name in ($1, $2)",
		   3, values);
}

static void *transfer_thread(void *arg)
{
	struct transfer *transfer = arg;
	tine_transact_options options;

	tine_transact_options_init(&options);
	options.isolation = TINE_ISOLATION_REPEATABLE_READ;
	options.backoff_first_ms = 100; /* one second by default */
	options.name = "transfer";
	transfer->status =
		tine_transact(transfer->pool, move, transfer, &options, &transfer->error);
	if (transfer->attempts == 0)
		pthread_barrier_wait(transfer->both_have_read); /* let the other one go on */
	return NULL;
}

static int tell(const struct transfer *transfer)
{
	if (transfer->status == 0)
		printf("%s to %s: committed in %d attempt%s\n", transfer->from, transfer->to,
		       transfer->attempts, transfer->attempts == 1 ? "" : "s");
	else
		printf("%s to %s: %s\n", transfer->from, transfer->to, transfer->error.text);
	/* In doubt the connection was lost during COMMIT. Only a look into the database helps. */
	if (transfer->status == TINE_E_IN_DOUBT)
		printf("  look whether it happened before doing it again\n");
	return transfer->status != 0;
}

static int transfer_both(tine_pool *pool)
{
	pthread_barrier_t both_have_read;
	struct transfer a = { pool, "anna", "bert", "30", 0, 0, { 0 }, &both_have_read };
	struct transfer b = { pool, "bert", "anna", "10", 0, 0, { 0 }, &both_have_read };
	pthread_t thread;
	int failed;

	if (pthread_barrier_init(&both_have_read, NULL, 2) != 0 ||
	    pthread_create(&thread, NULL, transfer_thread, &a) != 0) {
		fprintf(stderr, "no memory or no thread\n");
		return 1;
	}
	transfer_thread(&b);
	pthread_join(thread, NULL);
	pthread_barrier_destroy(&both_have_read);
	failed = tell(&a);
	failed |= tell(&b);
	return failed;
}

static int create(PGconn *pg, void *arg, tine_error *error)
{
	(void)arg, (void)error;
	return run(pg,
		   "create table tine_example_accounts (name text primary key, "
		   "balance integer not null)",
		   0, NULL) ||
	       run(pg, "insert into tine_example_accounts values ('anna', 100), ('bert', 100)", 0,
		   NULL);
}

static int finish(PGconn *pg, void *arg, tine_error *error)
{
	(void)arg, (void)error;
	printf("anna has %d, bert has %d\n", balance(pg, "anna"), balance(pg, "bert"));
	return run(pg, "drop table tine_example_accounts", 0, NULL);
}

static int once(tine_pool *pool, tine_transact_fn fn)
{
	tine_error error;

	if (tine_transact(pool, fn, NULL, NULL, &error) == 0)
		return 0;
	fprintf(stderr, "%s: %s\n", tine_status_name(error.status), error.text);
	return 1;
}

int main(void)
{
	tine_pool_config config;
	tine_error error;
	tine_pool *pool = NULL;
	int failed;

	tine_pool_config_init(&config);
	if (tine_pool_config_env(&config, &error) == 0)
		pool = tine_pool_new(&config, &error);
	if (!pool) {
		fprintf(stderr, "%s\n", error.text);
		return 1;
	}
	failed = once(pool, create);
	if (!failed) {
		failed = transfer_both(pool);
		failed |= once(pool, finish);
	}
	tine_pool_free(pool);
	return failed;
}
