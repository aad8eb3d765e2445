/* SPDX-License-Identifier: PostgreSQL */
/* Making a pool: settings that are refused, and what is copied of those that are not. */
#include "base/option.h"
#include "pool/pool.h"
#include "unit/pool/rig.h"

static tine_error refused(const tine_pool_config *config)
{
	tine_error error = { 0 };

	CHECK(!tine_pool_new_with(&fake_pq, config, &error));
	CHECK_INT(error.status, ==, TINE_E_INVALID);
	CHECK(error.text[0] && !strchr(error.text, '\n'));
	CHECK(!tine_pool_new_with(&fake_pq, config, NULL));
	rig_check_nothing_left();
	return error;
}

/* Set a field to a number, whatever its type. @return false for texts */
static bool assign(tine_pool_config *config, const struct tine_option *option, int64_t value)
{
	void *field = (char *)config + option->offset;

	switch (tine_option_size(option)) {
	case sizeof(int):
		*(int *)field = (int)value;
		return true;
	case sizeof(int64_t):
		if (option->type != TINE_OPTION_BYTES)
			return false;
		*(int64_t *)field = value;
		return true;
	default:
		return false;
	}
}

TEST(every_number_has_a_range_and_its_error_names_it)
{
	int tried = 0;

	for (size_t i = 0; i < tine_options_count; i++) {
		const struct tine_option *option = &tine_options[i];
		tine_pool_config config = rig_config(5, 10);
		tine_error error;

		if (!(option->commands & TINE_COMMAND_POOL) || !assign(&config, option, -2))
			continue;
		error = refused(&config);
		CHECK_CONTAINS(error.text, option->name);
		CHECK_CONTAINS(error.text, "-2");
		tried++;
		if (option->type == TINE_OPTION_CHOICE || option->maximum >= INT32_MAX)
			continue;
		assign(&config, option, option->maximum + 1);
		error = refused(&config);
		CHECK_CONTAINS(error.text, option->name);
	}
	CHECK_INT(tried, >=, 20);
}

TEST(settings_that_were_not_initialised_are_refused)
{
	tine_pool_config config = { 0 };

	CHECK_CONTAINS(refused(&config).text, "tine_pool_config_init");
	CHECK_CONTAINS(refused(NULL).text, "tine_pool_config_init");
}

TEST(a_conninfo_that_libpq_refuses_is_refused_without_its_password)
{
	tine_pool_config config = rig_config(1, 0);
	tine_error error;

	config.conninfo = "host=/fake password=s3cret nonsense";
	error = refused(&config);
	CHECK(!strstr(error.text, "s3cret"));
	config.conninfo = "host=/fake password=s3cret sslmode=s3cret";
	error = refused(&config);
	CHECK(!strstr(error.text, "s3cret"));
	config.conninfo = "host=/fake port=70000";
	CHECK_CONTAINS(refused(&config).text, "70000");
	config.conninfo = "mysql://somewhere/db";
	CHECK_CONTAINS(refused(&config).text, "mysql");
}

TEST(texts_are_copied)
{
	char conninfo[] = "host=/fake dbname=app", sql[] = "SET x = 1";
	tine_pool_config config = rig_config(1, 0);
	tine_pool *pool;
	tine_conn *conn;

	config.conninfo = conninfo;
	config.on_connect_sql = sql;
	pool = rig_open(&config);
	memset(conninfo, 'x', sizeof(conninfo) - 1);
	memset(sql, 'x', sizeof(sql) - 1);
	memset(&config, 'x', sizeof(config));
	conn = rig_acquire(pool);
	CHECK_STR(rig_session(conn)->host, "/fake");
	CHECK(fake_was_said(rig_session(conn), "SET x = 1"));
	rig_release(conn);
	rig_close(pool);
}

TEST(the_limits_of_the_ranges_are_allowed)
{
	tine_pool_config config = rig_config(1, 0);

	rig_close(rig_open(&config));
	config = rig_config(10000, 10000);
	rig_close(rig_open(&config));
}

CHECK_TABLE(T(every_number_has_a_range_and_its_error_names_it),
	    T(settings_that_were_not_initialised_are_refused),
	    T(a_conninfo_that_libpq_refuses_is_refused_without_its_password), T(texts_are_copied),
	    T(the_limits_of_the_ranges_are_allowed))
