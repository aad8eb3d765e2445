/* SPDX-License-Identifier: PostgreSQL */
#include "pool/config.h"

#include "base/option.h"
#include "support/check.h"

static tine_pool_config config, full;
static tine_error error;

static int set(const char *name, const char *value)
{
	error = (tine_error){ 0 };
	return tine_pool_config_set(&config, name, value, &error);
}

TEST(init_sets_every_default)
{
	memset(&config, 0xff, sizeof(config));
	tine_pool_config_init(&config);
	CHECK_INT(config.size, ==, sizeof(config));
	CHECK(!config.conninfo && !config.application_name && !config.on_connect_sql);
	CHECK_INT(config.kind, ==, TINE_POOL_QUEUE);
	CHECK_INT(config.pool_size, ==, 5);
	CHECK_INT(config.max_overflow, ==, 10);
	CHECK_INT(config.max_waiting, ==, 0);
	CHECK_INT(config.connect_parallel, ==, 2);
	CHECK_INT(config.acquire_timeout_ms, ==, 30000);
	CHECK_INT(config.connect_timeout_ms, ==, 10000);
	CHECK_INT(config.recycle_ms, ==, 1800000);
	CHECK_INT(config.idle_timeout_ms, ==, 600000);
	CHECK_INT(config.ping, ==, TINE_PING_AUTO);
	CHECK_INT(config.ping_idle_ms, ==, 30000);
	CHECK_INT(config.ping_timeout_ms, ==, 2000);
	CHECK(config.lifo && !config.connect_retry);
	CHECK_INT(config.reset, ==, TINE_RESET_ROLLBACK);
	CHECK_INT(config.tls, ==, TINE_TLS_DEFAULT);
	CHECK_INT(config.keepalives_idle_s, ==, 20);
	CHECK_INT(config.keepalives_interval_s, ==, 5);
	CHECK_INT(config.keepalives_count, ==, 3);
	CHECK_INT(config.tcp_user_timeout_ms, ==, 30000);
	CHECK_INT(config.leak_after_ms, ==, 0);
	CHECK_INT(config.max_uses, ==, 0);
	CHECK_INT(config.max_result_bytes, ==, 0);
	CHECK_INT(tine_pool_config_check(&config, &full, &error), ==, 0);
}

TEST(names_in_the_table_are_those_of_the_enums)
{
	static const struct {
		const char *option, *name;
		int value;
	} names[] = {
		{ "kind", "queue", TINE_POOL_QUEUE },
		{ "kind", "null", TINE_POOL_NULL },
		{ "ping", "auto", TINE_PING_AUTO },
		{ "ping", "always", TINE_PING_ALWAYS },
		{ "ping", "never", TINE_PING_NEVER },
		{ "reset", "rollback", TINE_RESET_ROLLBACK },
		{ "reset", "full", TINE_RESET_FULL },
		{ "reset", "tracked", TINE_RESET_TRACKED },
		{ "reset", "none", TINE_RESET_NONE },
		{ "tls", "default", TINE_TLS_DEFAULT },
		{ "tls", "require", TINE_TLS_REQUIRE },
		{ "tls", "verify-ca", TINE_TLS_VERIFY_CA },
		{ "tls", "verify-full", TINE_TLS_VERIFY_FULL },
		{ "tls", "prefer", TINE_TLS_PREFER },
		{ "tls", "disable", TINE_TLS_DISABLE },
	};

	tine_pool_config_init(&config);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const struct tine_option *option =
			tine_option_find(TINE_COMMAND_POOL, names[i].option,
					 strlen(names[i].option));

		CHECK_INT(set(names[i].option, names[i].name), ==, 0);
		CHECK_INT(*(int *)((char *)&config + option->offset), ==, names[i].value);
	}
}

TEST(sets_by_name)
{
	tine_pool_config_init(&config);
	CHECK_INT(set("pool_size", "7"), ==, 0);
	CHECK_INT(set("max-overflow", "0"), ==, 0);
	CHECK_INT(set("idle-timeout_ms", "5min"), ==, 0);
	CHECK_INT(set("lifo", "off"), ==, 0);
	CHECK_INT(set("max_result_bytes", "16MiB"), ==, 0);
	CHECK_INT(set("conninfo", ""), ==, 0);
	CHECK_INT(config.pool_size, ==, 7);
	CHECK_INT(config.max_overflow, ==, 0);
	CHECK_INT(config.idle_timeout_ms, ==, 300000);
	CHECK(!config.lifo);
	CHECK_INT(config.max_result_bytes, ==, 16 << 20);
	CHECK_STR(config.conninfo, "");
}

TEST(errors_name_option_value_and_range)
{
	tine_pool_config_init(&config);
	CHECK_INT(set("pool_size", "0"), ==, TINE_E_INVALID);
	CHECK_STR(error.text, "pool_size: '0' is not a number from 1 to 10000");
	CHECK_INT(error.status, ==, TINE_E_INVALID);
	CHECK_INT(set("reset", "All"), ==, TINE_E_INVALID);
	CHECK_STR(error.text, "reset: 'All' is not one of rollback, full, tracked, none");
	CHECK_INT(set("connect-timeout-ms", "11min"), ==, TINE_E_INVALID);
	CHECK_STR(error.text, "connect_timeout_ms: '11min' is not a time from 1ms to 10min");
	CHECK_INT(set("lifo", "perhaps"), ==, TINE_E_INVALID);
	CHECK_STR(error.text, "lifo: 'perhaps' is not yes or no");
	CHECK_INT(set("pool_size", "\x1b[2J\n"), ==, TINE_E_INVALID);
	CHECK_STR(error.text, "pool_size: '?[2J?' is not a number from 1 to 10000");
	CHECK_INT(set("poolsize", "1"), ==, TINE_E_INVALID);
	CHECK_STR(error.text, "unknown option 'poolsize'");
	CHECK_INT(set("port", "1"), ==, TINE_E_INVALID);
	CHECK_INT(set("size", "1"), ==, TINE_E_INVALID);
	CHECK_INT(set("", "1"), ==, TINE_E_INVALID);
	CHECK_INT(set("pool_size", NULL), ==, TINE_E_INVALID);
	CHECK_STR(error.text, "pool_size: no value");
	CHECK_INT(tine_pool_config_set(&config, "pool_size", "0", NULL), ==, TINE_E_INVALID);
	CHECK_INT(config.pool_size, ==, 5);
}

TEST(checks_what_was_assigned)
{
	for (size_t i = 0; i < tine_options_count; i++) {
		const struct tine_option *option = &tine_options[i];
		void *field = (char *)&config + option->offset;

		if (!(option->commands & TINE_COMMAND_POOL) || option->type == TINE_OPTION_FLAG ||
		    option->type == TINE_OPTION_TEXT)
			continue;
		tine_pool_config_init(&config);
		memset(&full, 0, sizeof(full));
		if (option->type == TINE_OPTION_BYTES)
			*(int64_t *)field = -1;
		else
			*(int *)field = -1;
		CHECK_INT(tine_pool_config_check(&config, &full, &error), ==, TINE_E_INVALID);
		CHECK_CONTAINS(error.text, option->name);
		CHECK_CONTAINS(error.text, "'-1'");
		CHECK_INT(full.size, ==, 0);
	}
	tine_pool_config_init(&config);
	config.tls = TINE_TLS_DISABLE + 1;
	CHECK_INT(tine_pool_config_check(&config, &full, &error), ==, TINE_E_INVALID);
	CHECK_STR(error.text, "tls: '6' is not one of default, require, verify-ca, verify-full, "
			      "prefer, disable");
	tine_pool_config_init(&config);
	config.recycle_ms = 7 * 24 * 3600 * 1000 + 1;
	CHECK_INT(tine_pool_config_check(&config, &full, &error), ==, TINE_E_INVALID);
	CHECK_STR(error.text, "recycle_ms: '604800001' is not a time from 0 to 168h");
}

TEST(an_older_program_has_fewer_fields)
{
	const size_t old = offsetof(tine_pool_config, ping);

	memset(&config, 0x55, sizeof(config));
	(tine_pool_config_init)(&config, old);
	CHECK_INT(config.size, ==, old);
	CHECK_INT(config.idle_timeout_ms, ==, 600000);
	CHECK_INT(config.ping, ==, 0x55555555);
	CHECK_INT(set("pool_size", "9"), ==, 0);
	CHECK_INT(set("ping", "never"), ==, TINE_E_INVALID);
	CHECK_CONTAINS(error.text, "unknown option 'ping'");
	setenv("TINE_PING", "never", 1);
	setenv("TINE_RECYCLE_MS", "1h", 1);
	CHECK_INT(tine_pool_config_env(&config, &error), ==, 0);
	CHECK_INT(config.ping, ==, 0x55555555);
	CHECK_INT(tine_pool_config_check(&config, &full, &error), ==, 0);
	CHECK_INT(full.size, ==, sizeof(full));
	CHECK_INT(full.pool_size, ==, 9);
	CHECK_INT(full.recycle_ms, ==, 3600000);
	CHECK_INT(full.ping, ==, TINE_PING_AUTO);
	CHECK_INT(full.max_result_bytes, ==, 0);
}

TEST(a_newer_program_has_more_fields)
{
	static struct {
		tine_pool_config known;
		int64_t unknown;
	} newer;

	newer.unknown = 77;
	(tine_pool_config_init)(&newer.known, sizeof(newer));
	CHECK_INT(newer.unknown, ==, 0);
	CHECK_INT(newer.known.pool_size, ==, 5);
	CHECK_INT(tine_pool_config_set(&newer.known, "pool_size", "6", NULL), ==, 0);
	CHECK_INT(tine_pool_config_check(&newer.known, &full, &error), ==, 0);
	CHECK_INT(full.pool_size, ==, 6);
	CHECK_INT(full.size, ==, sizeof(full));
	newer.unknown = 1;
	CHECK_INT(tine_pool_config_env(&newer.known, &error), ==, 0);
	CHECK_INT(newer.unknown, ==, 1);
	CHECK_INT(tine_pool_config_check(&newer.known, &full, &error), ==, TINE_E_INVALID);
	CHECK_CONTAINS(error.text, "older than its header");
}

TEST(what_was_not_initialised_is_refused)
{
	memset(&config, 0, sizeof(config));
	CHECK_INT(tine_pool_config_check(&config, &full, &error), ==, TINE_E_INVALID);
	CHECK_CONTAINS(error.text, "tine_pool_config_init()");
	CHECK_INT(set("pool_size", "1"), ==, TINE_E_INVALID);
	CHECK_INT(tine_pool_config_env(&config, &error), ==, TINE_E_INVALID);
	memset(&config, 0x55, sizeof(config));
	CHECK_INT(tine_pool_config_check(&config, &full, &error), ==, TINE_E_INVALID);
	CHECK_INT(tine_pool_config_check(NULL, &full, &error), ==, TINE_E_INVALID);
}

TEST(reads_a_variable_for_each_field)
{
	tine_pool_config_init(&config);
	for (size_t i = 0; i < tine_options_count; i++) {
		const struct tine_option *option = &tine_options[i];
		static const char *const values[] = {
			[TINE_OPTION_FLAG] = "yes",    [TINE_OPTION_TEXT] = "text",
			[TINE_OPTION_INT] = "42",      [TINE_OPTION_MS] = "42ms",
			[TINE_OPTION_SECONDS] = "42s", [TINE_OPTION_BYTES] = "42",
			[TINE_OPTION_CHOICE] = "none",
		};

		if (option->commands & TINE_COMMAND_POOL)
			setenv(option->env, values[option->type], 1);
	}
	setenv("TINE_KIND", "null", 1);
	setenv("TINE_PING", "never", 1);
	setenv("TINE_TLS", "verify-full", 1);
	CHECK_INT(tine_pool_config_env(&config, &error), ==, 0);
	CHECK_STR(config.conninfo, "text");
	CHECK_STR(config.application_name, "text");
	CHECK_STR(config.on_connect_sql, "text");
	CHECK_INT(config.kind, ==, TINE_POOL_NULL);
	CHECK_INT(config.ping, ==, TINE_PING_NEVER);
	CHECK_INT(config.tls, ==, TINE_TLS_VERIFY_FULL);
	CHECK_INT(config.reset, ==, TINE_RESET_NONE);
	CHECK(config.lifo && config.connect_retry);
	CHECK_INT(config.pool_size, ==, 42);
	CHECK_INT(config.max_overflow, ==, 42);
	CHECK_INT(config.max_waiting, ==, 42);
	CHECK_INT(config.connect_parallel, ==, 42);
	CHECK_INT(config.acquire_timeout_ms, ==, 42);
	CHECK_INT(config.connect_timeout_ms, ==, 42);
	CHECK_INT(config.recycle_ms, ==, 42);
	CHECK_INT(config.idle_timeout_ms, ==, 42);
	CHECK_INT(config.ping_idle_ms, ==, 42);
	CHECK_INT(config.ping_timeout_ms, ==, 42);
	CHECK_INT(config.keepalives_idle_s, ==, 42);
	CHECK_INT(config.keepalives_interval_s, ==, 42);
	CHECK_INT(config.keepalives_count, ==, 42);
	CHECK_INT(config.tcp_user_timeout_ms, ==, 42);
	CHECK_INT(config.leak_after_ms, ==, 42);
	CHECK_INT(config.max_uses, ==, 42);
	CHECK_INT(config.max_result_bytes, ==, 42);
}

TEST(database_url_is_second)
{
	tine_pool_config_init(&config);
	config.conninfo = "of the program";
	unsetenv("TINE_CONNINFO");
	unsetenv("DATABASE_URL");
	CHECK_INT(tine_pool_config_env(&config, &error), ==, 0);
	CHECK_STR(config.conninfo, "of the program");
	setenv("DATABASE_URL", "", 1);
	CHECK_INT(tine_pool_config_env(&config, &error), ==, 0);
	CHECK_STR(config.conninfo, "of the program");
	setenv("DATABASE_URL", "postgres://url/", 1);
	CHECK_INT(tine_pool_config_env(&config, &error), ==, 0);
	CHECK_STR(config.conninfo, "postgres://url/");
	setenv("TINE_CONNINFO", "", 1);
	CHECK_INT(tine_pool_config_env(&config, &error), ==, 0);
	CHECK_STR(config.conninfo, "postgres://url/");
	setenv("TINE_CONNINFO", "host=here", 1);
	CHECK_INT(tine_pool_config_env(&config, &error), ==, 0);
	CHECK_STR(config.conninfo, "host=here");
}

TEST(a_wrong_variable_changes_nothing)
{
	tine_pool_config_init(&config);
	setenv("TINE_POOL_SIZE", "9", 1);
	setenv("TINE_MAX_USES", "many", 1);
	setenv("DATABASE_URL", "postgres://url/", 1);
	CHECK_INT(tine_pool_config_env(&config, &error), ==, TINE_E_INVALID);
	CHECK_STR(error.text, "TINE_MAX_USES: 'many' is not a number from 0 to 2147483647");
	CHECK_INT(config.pool_size, ==, 5);
	CHECK(!config.conninfo);
}

CHECK_TABLE(T(init_sets_every_default), T(names_in_the_table_are_those_of_the_enums),
	    T(sets_by_name), T(errors_name_option_value_and_range), T(checks_what_was_assigned),
	    T(an_older_program_has_fewer_fields), T(a_newer_program_has_more_fields),
	    T(what_was_not_initialised_is_refused), T(reads_a_variable_for_each_field),
	    T(database_url_is_second), T(a_wrong_variable_changes_nothing))
