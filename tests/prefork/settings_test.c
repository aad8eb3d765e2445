/* SPDX-License-Identifier: PostgreSQL */
/* What a program can say wrongly before anything runs. */
#include "base/option.h"
#include "support/check.h"
#include "tine/tine.h"

static tine_error error;
static tine_worker_config web;
static tine_master_config config;

static int work(tine_worker *worker, int thread, void *user_data)
{
	return !worker || thread || user_data;
}

static int look(const tine_hook_event *hook, void *user_data)
{
	return !hook || user_data;
}

static tine_master *make(void)
{
	tine_master_config_init(&config);
	tine_worker_config_init(&web);
	return tine_master_new(&config, &error);
}

TEST(defaults)
{
	tine_master *master = make();

	CHECK(master != NULL);
	CHECK(!config.listen && config.preload_app);
	CHECK_INT(config.backlog, ==, 1024);
	CHECK_INT(config.boot_failures_max, ==, 10);
	CHECK_INT(config.backoff_first_ms, ==, 500);
	CHECK_INT(config.backoff_max_ms, ==, 30000);
	CHECK_STR(config.master_log, "-");
	CHECK_INT(web.workers, ==, 2);
	CHECK_INT(web.threads, ==, 1);
	CHECK_INT(web.units, ==, 0);
	CHECK(web.accepts);
	CHECK_INT(web.startup_timeout_ms, ==, 60000);
	CHECK_INT(web.unit_timeout_ms, ==, 30000);
	CHECK_INT(web.abort_after_ms, ==, 5000);
	CHECK_INT(web.kill_after_ms, ==, 5000);
	CHECK_INT(web.graceful_timeout_ms, ==, 30000);
	CHECK_INT(web.max_units + web.max_units_jitter, ==, 0);
	CHECK_INT(web.max_rss_bytes, ==, 0);
	tine_master_free(master);
	tine_master_free(NULL);
}

TEST(the_environment_by_kind)
{
	setenv("TINE_WORKERS", "3", 1);
	setenv("TINE_TASK_WORKERS", "7", 1);
	setenv("TINE_NIGHT_SHIFT_UNIT_TIMEOUT_MS", "1h", 1);
	tine_worker_config_init(&web);
	CHECK_INT(tine_worker_config_env(&web, NULL, &error), ==, 0);
	CHECK_INT(web.workers, ==, 3);
	CHECK_INT(tine_worker_config_env(&web, "task", &error), ==, 0);
	CHECK_INT(web.workers, ==, 7);
	CHECK_INT(tine_worker_config_env(&web, "night-shift", &error), ==, 0);
	CHECK_INT(web.workers, ==, 3);
	CHECK_INT(web.unit_timeout_ms, ==, 3600000);
	setenv("TINE_TASK_WORKERS", "many", 1);
	CHECK_INT(tine_worker_config_env(&web, "task", &error), ==, TINE_E_INVALID);
	CHECK_STR(error.text, "TINE_TASK_WORKERS: 'many' is not a number from 0 to 1000");
	CHECK_INT(web.workers, ==, 3);
	setenv("TINE_LISTEN", ":80", 1);
	setenv("TINE_PRELOAD_APP", "no", 1);
	tine_master_config_init(&config);
	CHECK_INT(tine_master_config_env(&config, &error), ==, 0);
	CHECK_STR(config.listen, ":80");
	CHECK(!config.preload_app);
}

TEST(without_settings_the_environment_counts)
{
	tine_master *master;

	setenv("TINE_BACKLOG", "none", 1);
	CHECK(!tine_master_new(NULL, &error));
	CHECK_STR(error.text, "TINE_BACKLOG: 'none' is not a number from 1 to 65535");
	setenv("TINE_BACKLOG", "7", 1);
	master = tine_master_new(NULL, &error);
	CHECK(master != NULL);
	setenv("TINE_WEB_THREADS", "0", 1);
	CHECK_INT(tine_master_add(master, "web", work, NULL, NULL, &error), ==, TINE_E_INVALID);
	CHECK_STR(error.text, "TINE_WEB_THREADS: '0' is not a number from 1 to 1000");
	CHECK_INT(tine_master_add(master, "task", work, NULL, NULL, &error), ==, 0);
	tine_master_free(master);
}

TEST(by_name)
{
	tine_worker_config_init(&web);
	tine_master_config_init(&config);
	CHECK_INT(tine_worker_config_set(&web, "max-rss-bytes", "2GiB", &error), ==, 0);
	CHECK_INT(web.max_rss_bytes, ==, 1LL << 31);
	CHECK_INT(tine_worker_config_set(&web, "backlog", "5", &error), ==, TINE_E_INVALID);
	CHECK_STR(error.text, "unknown option 'backlog'");
	CHECK_INT(tine_master_config_set(&config, "backlog", "5", &error), ==, 0);
	CHECK_INT(config.backlog, ==, 5);
	CHECK_INT(tine_master_config_set(&config, "pool_size", "5", &error), ==, TINE_E_INVALID);
}

TEST(settings_that_were_not_initialised_or_are_wrong)
{
	tine_master *master = make();
	tine_worker_config empty = { 0 };

	memset(&config, 0, sizeof(config));
	CHECK(!tine_master_new(&config, &error));
	CHECK_CONTAINS(error.text, "tine_master_config_init()");
	CHECK_INT(tine_master_change(master, "web", NULL, &error), ==, TINE_E_INVALID);
	tine_master_config_init(&config);
	config.backlog = 0;
	CHECK(!tine_master_new(&config, &error));
	CHECK_STR(error.text, "backlog: '0' is not a number from 1 to 65535");
	CHECK_INT(tine_master_add(master, "web", work, NULL, &empty, &error), ==, TINE_E_INVALID);
	CHECK_CONTAINS(error.text, "tine_worker_config_init()");
	web.threads = 0;
	CHECK_INT(tine_master_add(master, "web", work, NULL, &web, &error), ==, TINE_E_INVALID);
	CHECK_CONTAINS(error.text, "threads: '0'");
	tine_master_free(master);
}

TEST(kinds)
{
	static const char *const wrong[] = { NULL, "", "Web", "a b", "sixteen-letters-", "a/b" };
	tine_master *master = make();
	char name[] = "kind-0";

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		CHECK_INT(tine_master_add(master, wrong[i], work, NULL, &web, &error), ==,
			  TINE_E_INVALID);
	CHECK_INT(tine_master_add(master, "web", NULL, NULL, &web, &error), ==, TINE_E_INVALID);
	CHECK_INT(tine_master_run(master, &error), ==, TINE_E_INVALID);
	for (int i = 0; i < 8; i++) {
		name[5] = (char)('0' + i);
		CHECK_INT(tine_master_add(master, name, work, NULL, &web, &error), ==, 0);
		CHECK_INT(tine_master_add(master, name, work, NULL, &web, &error), ==,
			  TINE_E_INVALID);
	}
	CHECK_INT(tine_master_add(master, "ninth", work, NULL, &web, &error), ==, TINE_E_INVALID);
	web.workers = 9;
	CHECK_INT(tine_master_change(master, "kind-7", &web, &error), ==, 0);
	CHECK_INT(tine_master_change(master, "other", &web, &error), ==, TINE_E_INVALID);
	CHECK_INT(tine_master_listener(master, 0), ==, -1);
	CHECK(!tine_master_listener_name(master, 0));
	tine_master_free(master);
}

TEST(hooks_have_names_and_limits)
{
	tine_master *master = make();

	for (int kind = 0; kind < TINE_HOOK_COUNT; kind++) {
		CHECK(strcmp(tine_hook_name(kind), "unknown hook") != 0);
		for (int i = 0; i < 8; i++)
			CHECK_INT(tine_master_on(master, kind, look, NULL), ==, 0);
		CHECK_INT(tine_master_on(master, kind, look, NULL), ==, TINE_E_INVALID);
	}
	CHECK_INT(tine_master_on(master, TINE_HOOK_COUNT, look, NULL), ==, TINE_E_INVALID);
	CHECK_INT(tine_master_on(master, -1, look, NULL), ==, TINE_E_INVALID);
	CHECK_INT(tine_master_on(master, 0, NULL, NULL), ==, TINE_E_INVALID);
	CHECK_STR(tine_hook_name(-1), "unknown hook");
	CHECK_STR(tine_hook_name(TINE_HOOK_COUNT), "unknown hook");
	for (int ending = 0; ending < TINE_END_COUNT; ending++)
		CHECK(strcmp(tine_ending_name(ending), "unknown ending") != 0);
	CHECK_STR(tine_ending_name(TINE_END_COUNT), "unknown ending");
	tine_master_free(master);
}

CHECK_TABLE(T(defaults), T(the_environment_by_kind), T(without_settings_the_environment_counts),
	    T(by_name), T(settings_that_were_not_initialised_or_are_wrong), T(kinds),
	    T(hooks_have_names_and_limits))
