/* SPDX-License-Identifier: PostgreSQL */
/* Who holds connections, told with the place in the program where they were taken. */
#include "case.h"

#define LEAK_MS 50

static const char *const places[] = { "leak_a_handle", "leak_a_scope", "leak_a_transaction" };

/* Not static and not inlined: their names are to be found. */
__attribute__((noinline)) tine_conn *leak_a_handle(tine_pool *pool);
__attribute__((noinline)) tine_scope *leak_a_scope(tine_pool *pool);
__attribute__((noinline)) int leak_a_transaction(tine_pool *pool);

static char told[4096];

static int tell(const tine_event *event, void *user_data)
{
	(void)user_data;
	CHECK_INT(event->time_us, >=, LEAK_MS * 1000);
	snprintf(told + strlen(told), sizeof(told) - strlen(told), "%s\n", event->error->text);
	return 0;
}

tine_conn *leak_a_handle(tine_pool *pool)
{
	tine_conn *conn = NULL;

	CHECK_INT(tine_pool_acquire(pool, -1, &conn, NULL), ==, 0);
	return conn;
}

tine_scope *leak_a_scope(tine_pool *pool)
{
	tine_scope *scope = tine_scope_begin(pool, TINE_SCOPE_REQUEST, "GET /leak");

	CHECK(tine_scope_conn(scope, NULL) != NULL);
	return scope;
}

static void expect_all(const char *text)
{
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		CHECK_CONTAINS(text, places[i]);
	CHECK_CONTAINS(text, "'GET /leak'");
	CHECK_CONTAINS(text, "'slow'");
}

static int count_lines(const char *text)
{
	int lines = 0;

	for (; *text; text++)
		lines += *text == '\n';
	return lines;
}

/* The third one is our own: now all are out. */
static int look(PGconn *pg, void *pool, tine_error *unused)
{
	tine_pool_stats stats;
	tine_error error;
	tine_conn *conn;

	(void)pg;
	(void)unused;
	CHECK_INT(tine_pool_acquire(pool, 2 * LEAK_MS, &conn, &error), ==, TINE_E_TIMEOUT);
	expect_all(error.text);
	WAIT_FOR((tine_pool_sweep(pool), count_lines(told) == 3));
	expect_all(told);
	/* Once each. */
	usleep(2 * LEAK_MS * 1000);
	tine_pool_sweep(pool);
	CHECK_INT(count_lines(told), ==, 3);
	tine_pool_status(pool, &stats);
	CHECK_INT(stats.leaks, ==, 3);
	CHECK_INT(stats.busy, ==, 3);
	return 0;
}

int leak_a_transaction(tine_pool *pool)
{
	tine_transact_options options;
	int rc;

	tine_transact_options_init(&options);
	options.name = "slow";
	rc = tine_transact(pool, look, pool, &options, NULL);
	return rc;
}

void leaks_are_told(void)
{
	tine_pool_config config;
	tine_scope *scope;
	tine_conn *conn;
	tine_pool *pool;

	tine_pool_config_init(&config);
	CHECK_INT(tine_pool_config_env(&config, NULL), ==, 0);
	config.pool_size = 3;
	config.max_overflow = 0;
	config.leak_after_ms = LEAK_MS;
	pool = tine_pool_new(&config, NULL);
	CHECK_INT(tine_pool_on(pool, TINE_EVENT_LEAK, tell, NULL), ==, 0);
	conn = leak_a_handle(pool);
	scope = leak_a_scope(pool);
	CHECK_INT(leak_a_transaction(pool), ==, 0);
	tine_scope_end(scope);
	CHECK_INT(tine_conn_release(conn), ==, 0);
	tine_pool_free(pool);
}
