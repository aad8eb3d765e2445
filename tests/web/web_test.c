/* SPDX-License-Identifier: PostgreSQL */
/* What is read of a client, where tine-web may listen, the page in a service that forks. */
#include "tine/web.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "board/board.h"
#include "support/check.h"
#include "support/valgrind.h"
#include "web/address.h"
#include "web/history.h"
#include "web/request.h"
#include "web/web.h"

/* ---- query and Host ------------------------------------------------------------------------- */

static const char *query(const char *text, const char *name)
{
	static char value[12];

	return tine_query_get(text, name, value, sizeof(value)) ? value : *value ? "?" : NULL;
}

TEST(values_of_a_query)
{
	CHECK_STR(query("tree=web", "tree"), "web");
	CHECK_STR(query("a=b&tree=web&tree=other", "tree"), "web");
	CHECK_STR(query("tree=", "tree"), "");
	CHECK_STR(query("tree=a+b%2Fc%7e", "tree"), "a b/c~");
	CHECK(!query(NULL, "tree"));
	CHECK(!query("", "tree"));
	CHECK(!query("tree", "tree"));
	CHECK(!query("atree=web&treea=web&tr=e", "tree"));
	CHECK_STR(query("tree=12345678901", "tree"), "12345678901");
	CHECK(!query("tree=123456789012", "tree"));
	CHECK(!query("tree=%", "tree"));
	CHECK(!query("tree=%4", "tree"));
	CHECK(!query("tree=%4&x=1", "tree"));
	CHECK(!query("tree=%4g", "tree"));
	CHECK(!query("tree=%00", "tree"));
	CHECK(!query("tree=a%0d%0aX", "tree"));
	CHECK(!query("tree=\xc3\xa4", "tree"));
	CHECK(!query("tree=%c3%a4", "tree"));
}

TEST(numbers_of_a_query)
{
	CHECK_INT(tine_query_number("history=0", "history"), ==, 0);
	CHECK_INT(tine_query_number("history=9223372036854775807", "history"), ==, INT64_MAX);
	CHECK_INT(tine_query_number("history=9223372036854775808", "history"), ==, -1);
	CHECK_INT(tine_query_number("history=-1", "history"), ==, -1);
	CHECK_INT(tine_query_number("history=1x", "history"), ==, -1);
	CHECK_INT(tine_query_number("history=", "history"), ==, -1);
	CHECK_INT(tine_query_number("", "history"), ==, -1);
}

TEST(hosts)
{
	char one[] = "localhost", two[] = "::1", three[] = "127.0.0.1";
	char *names[] = { one, two, three, NULL };
	static const char *const good[] = { "localhost", "LocalHost:1", "localhost:65535",
					    "[::1]",     "[::1]:7432",  "127.0.0.1:7432" };
	static const char *const bad[] = {
		"",
		"evil.example",
		"localhost.evil.example",
		"evil.example:localhost",
		"localhost:",
		"localhost:x",
		"localhost:123456",
		"localhost:1:2",
		"[::1",
		"[::1]x",
		"[::1]:",
		"[localhost]",
		"::1",
		"localhost ",
		" localhost",
		"localhost\t",
		"local",
		"localhost@x",
		"127.0.0.1.",
		":7432",
		"[]",
		"[]:1",
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (!tine_host_is_one_of(good[i], names))
			check_fail(__FILE__, __LINE__, "refused: %s", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (tine_host_is_one_of(bad[i], names))
			check_fail(__FILE__, __LINE__, "allowed: %s", bad[i]);
	CHECK(!tine_host_is_one_of(NULL, names));
}

/* ---- addresses ------------------------------------------------------------------------------ */

static struct tine_address address;
static char error[300];

static int read_address(const char *text)
{
	error[0] = '\0';
	return tine_address_read(text, &address, error, sizeof(error));
}

TEST(addresses)
{
	CHECK_INT(read_address("127.0.0.1:7432"), ==, 0);
	CHECK(address.is_loopback && !address.is_unix);
	CHECK_INT(read_address("localhost:0"), ==, 0);
	CHECK(address.is_loopback);
	CHECK_INT(read_address("[::1]:1"), ==, 0);
	CHECK(address.is_loopback && address.at.any.sa_family == AF_INET6);
	CHECK_INT(read_address("[::ffff:127.0.0.1]:1"), ==, 0);
	CHECK(address.is_loopback);
	CHECK_INT(read_address("127.255.0.9:1"), ==, 0);
	CHECK(address.is_loopback);
	CHECK_INT(read_address("unix:/run/x.sock"), ==, 0);
	CHECK(address.is_unix);
	CHECK_STR(address.at.unix_domain.sun_path, "/run/x.sock");
}

TEST(addresses_that_others_can_reach)
{
	static const char *const open[] = { "0.0.0.0:1",   "192.0.2.1:80", "[::]:1",
					    "128.0.0.1:1", "[fe80::1]:1",  "[::ffff:192.0.2.1]:1" };

	for (size_t i = 0; i < sizeof(open) / sizeof(open[0]); i++) {
		CHECK_INT(read_address(open[i]), ==, 0);
		CHECK(!address.is_loopback && !address.is_unix);
	}
}

TEST(addresses_that_are_none)
{
	static const char *const bad[] = {
		"",         ",",           "7432",         ":7432",       "*:7432",
		"host:1",   "localhost:x", "127.1:1",      "127.0.0.1",   "127.0.0.1:65536",
		"::1:7432", "unix:@name",  "unix:name",    "unix:",       "127.0.0.1:1,127.0.0.1:2",
		"[::1]",    "[::1%lo]:1",  "0x7f000001:1", "2130706433:1"
	};
	char longer[200] = "unix:/";

	memset(longer + 6, 'a', sizeof(longer) - 7);
	CHECK_INT(read_address(longer), ==, -EINVAL);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (read_address(bad[i]) != -EINVAL)
			check_fail(__FILE__, __LINE__, "read: %s", bad[i]);
		CHECK_CONTAINS(error, "listen: ");
	}
}

static struct tine_sample samples[TINE_HISTORY_SAMPLES];

/* ---- metrics -------------------------------------------------------------------------------- */

#define CONNECTS "\ntine_connects_total{pool_name=\"a\\\"b\\\\\",worker="

static int count_of(const char *text, const char *part)
{
	int count = 0;

	while ((text = strstr(text, part)) != NULL) {
		text += strlen(part);
		count++;
	}
	return count;
}

/* Whatever is on a board, no two samples are of one name. */
TEST(two_processes_at_one_place_are_counted_once)
{
	static struct tine_view_member members[] = {
		{ .worker = 1, .opened = 7 }, { .worker = 1, .opened = 8 }, { .worker = 2 }, { 0 }
	};
	static struct tine_view view = { .members = members, .members_count = 4 };
	static struct tine_forest forest = { .trees = { &view }, .trees_count = 1 };
	static struct tine_look look = { .forest = &forest, .keys = { "a\"b\\" } };
	struct tine_out out = { 0 };

	tine_web_write_metrics(&look, &out);
	CHECK(!out.no_memory);
	CHECK_INT(count_of(out.bytes, "\ntine_connects_total{"), ==, 2);
	CHECK_CONTAINS(out.bytes, CONNECTS "\"1\"} 7\n");
	CHECK_CONTAINS(out.bytes, CONNECTS "\"2\"} 0\n");
	free(out.bytes);
}

/* ---- in a service --------------------------------------------------------------------------- */

static struct tine_board board;
static char directory[64];

static void join(const char *name)
{
	struct tine_board_spec spec = { .name = name, .budget = 4 };

	strcpy(directory, "/tmp/tine-web-XXXXXX");
	CHECK(mkdtemp(directory));
	setenv("TINE_BOARD_DIRECTORY", directory, 1);
	CHECK_INT(tine_board_open(&board, &spec, error, sizeof(error)), ==, 0);
	CHECK_INT(tine_board_enlist(&board), ==, 0);
}

static void leave(void)
{
	tine_board_close(&board);
	rmdir(directory);
}

static int ask(tine_web *web, const char *method, const char *path, const char *host,
	       tine_web_response *response)
{
	tine_web_request request = {
		.size = sizeof(request), .method = method, .path = path, .host = host
	};

	tine_web_respond(web, &request, response);
	return response->status;
}

static int status_of(tine_web *web, const char *method, const char *path, const char *host)
{
	tine_web_response response;
	int status = ask(web, method, path, host, &response);

	tine_web_response_clear(&response);
	tine_web_response_clear(&response);
	return status;
}

static const char *field(const tine_web_response *response, const char *name)
{
	for (int i = 0; i < response->headers_count; i++)
		if (strcmp(response->headers[i].name, name) == 0)
			return response->headers[i].value;
	return "";
}

TEST(mounted_in_a_path)
{
	static const char *const bad[] = { "status", "/a b", "/a?b", "/a\"", "/a%2f", "/\n" };
	tine_web_response response;
	tine_web_config config;
	tine_error why;
	tine_web *web;

	tine_web_config_init(&config);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		config.mount = bad[i];
		CHECK(!tine_web_new(&config, &why));
		CHECK_INT(why.status, ==, TINE_E_INVALID);
		CHECK(!tine_web_new(&config, NULL));
	}
	join("web");
	config.mount = "/admin/status/";
	web = tine_web_new(&config, &why);
	CHECK(web);
	CHECK_INT(ask(web, "GET", "/admin/status", NULL, &response), ==, 301);
	CHECK_STR(field(&response, "Location"), "/admin/status/");
	tine_web_response_clear(&response);
	CHECK_INT(status_of(web, "GET", "/admin/status/", NULL), ==, 200);
	CHECK_INT(status_of(web, "HEAD", "/admin/status/json", NULL), ==, 200);
	CHECK_INT(status_of(web, "GET", "/admin/statusx", NULL), ==, 404);
	CHECK_INT(status_of(web, "GET", "/admin/status/../status/", NULL), ==, 404);
	CHECK_INT(status_of(web, "GET", "/", NULL), ==, 404);
	CHECK_INT(status_of(web, "GET", "", NULL), ==, 404);
	CHECK_INT(status_of(web, "GET", NULL, NULL), ==, 404);
	CHECK_INT(status_of(web, NULL, "/admin/status/", NULL), ==, 405);
	CHECK_INT(ask(web, "POST", "/admin/status/", NULL, &response), ==, 405);
	CHECK_STR(field(&response, "Allow"), "GET, HEAD");
	tine_web_response_clear(&response);
	tine_web_free(web);
	leave();
}

TEST(hosts_are_checked_when_they_are_set)
{
	static const char *const hosts[] = { "status.example.org", NULL };
	tine_web_config config;
	tine_web *web;

	tine_web_config_init(&config);
	config.hosts = hosts;
	web = tine_web_new(&config, NULL);
	CHECK(web);
	CHECK_INT(status_of(web, "GET", "/health", "status.example.org:443"), ==, 200);
	CHECK_INT(status_of(web, "GET", "/health", "evil.example.org"), ==, 421);
	CHECK_INT(status_of(web, "GET", "/health", NULL), ==, 421);
	tine_web_free(web);
}

static bool shows(tine_web *web, const char *path, const char *part)
{
	tine_web_response response;
	bool found;

	CHECK_INT(ask(web, "GET", path, NULL, &response), ==, 200);
	CHECK_INT(response.body_bytes, ==, strlen(response.body));
	found = strstr(response.body, part) != NULL;
	tine_web_response_clear(&response);
	return found;
}

/* Here, so that valgrind sees them in children. */
static tine_web *own, *all;

TEST(shows_the_own_tree_alone_unless_told)
{
	tine_web_config config;
	pid_t child;

	join("mine");
	tine_web_config_init(&config);
	own = tine_web_new(&config, NULL);
	config.own = false;
	all = tine_web_new(&config, NULL);
	CHECK(own && all);
	child = fork();
	if (child == 0) {
		/* In a worker; and in a grandchild, which is none of the tree's. */
		CHECK(shows(own, "/json", "\"tree\":\"mine\""));
		child = fork();
		if (child == 0) {
			CHECK(!shows(own, "/json", "\"tree\":\"mine\""));
			CHECK(shows(all, "/json", "\"tree\":\"mine\""));
			_exit(0);
		}
		check_child(child);
		_exit(0);
	}
	check_child(child);
	CHECK(shows(own, "/json", "\"tree\":\"mine\""));
	CHECK(shows(own, "/", "mine"));
	tine_web_free(own);
	tine_web_free(all);
	leave();
}

/* ---- threads and forks ---------------------------------------------------------------------- */

static tine_web *shared;
static _Atomic bool enough;

static void *keep_asking(void *arg)
{
	while (!atomic_load(&enough)) {
		CHECK_INT(status_of(shared, "GET", "/json", NULL), ==, 200);
		CHECK_INT(status_of(shared, "GET", "/metrics", NULL), ==, 200);
	}
	return arg;
}

/* A child forked while another thread has the lock must not wait for it. */
TEST(a_fork_while_others_ask)
{
	pthread_t threads[3];
	tine_web_config config;

	if (check_is_valgrind())
		SKIP("valgrind counts as lost what other threads had at the fork");
#ifdef __SANITIZE_ADDRESS__
	SKIP("a thread that allocates at the fork leaves the sanitizer's own lock taken");
#endif
	join("web");
	tine_web_config_init(&config);
	shared = tine_web_new(&config, NULL);
	for (int i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, keep_asking, NULL);
	for (int i = 0; i < 20; i++) {
		pid_t child = fork();

		if (child == 0) {
			alarm(30);
			CHECK_INT(status_of(shared, "GET", "/", NULL), ==, 200);
			CHECK_INT(status_of(shared, "GET", "/metrics", NULL), ==, 200);
			_exit(0);
		}
		check_child(child);
	}
	atomic_store(&enough, true);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	tine_web_free(shared);
	leave();
}

TEST(what_a_worker_saw_all_know)
{
	tine_web_config config;
	struct tine_look *look;
	tine_web *web;
	int64_t ended_ms;
	pid_t child;
	int count;

	join("web");
	tine_web_config_init(&config);
	web = tine_web_new(&config, NULL);
	child = fork();
	if (child == 0) {
		CHECK_INT(tine_web_look(web), ==, 0);
		tine_web_free(web);
		_exit(0);
	}
	check_child(child);
	/* Samples have milliseconds; ours is of another one. */
	ended_ms = tine_clock_ns() / TINE_NS_PER_MS;
	while (tine_clock_ns() / TINE_NS_PER_MS == ended_ms)
		continue;
	look = tine_look_begin(web);
	CHECK(look);
	count = tine_history_get(web->history, look->forest->trees[0], 0, samples);
	tine_look_end(web);
	/* Its sample, and none of ours within the same second. */
	CHECK_INT(count, >=, 1);
	CHECK_INT(samples[0].at_ms, <, look->at_ns / TINE_NS_PER_MS);
	tine_web_free(web);
	leave();
}

CHECK_TABLE(T(values_of_a_query), T(numbers_of_a_query), T(hosts), T(addresses),
	    T(addresses_that_others_can_reach), T(addresses_that_are_none),
	    T(two_processes_at_one_place_are_counted_once), T(mounted_in_a_path),
	    T(hosts_are_checked_when_they_are_set), T(shows_the_own_tree_alone_unless_told),
	    T(a_fork_while_others_ask), T(what_a_worker_saw_all_know))
