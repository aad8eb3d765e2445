/* SPDX-License-Identifier: PostgreSQL */
/*
 * Prints what the compiler makes of tine.h's structs, as JSON: size, and offset and size of every
 * field. tests/support/libtine.py says the same for ctypes, and test_layout.py compares the two.
 *
 * Locks: none. Fork: it does not fork.
 */
#include "tine/tine.h"

#include <stdio.h>

#define FIELD(type, name)                                                                          \
	{                                                                                          \
#name, offsetof(type, name), sizeof(((type *)0)->name)                             \
	}
#define STRUCT(type, fields)                                                                       \
	{                                                                                          \
#type, sizeof(type), fields, sizeof(fields) / sizeof(fields[0])                    \
	}

struct field {
	const char *name;
	size_t offset, size;
};

struct layout {
	const char *name;
	size_t size;
	const struct field *fields;
	size_t count;
};

static const struct field error_fields[] = {
	FIELD(tine_error, status),
	FIELD(tine_error, os_errno),
	FIELD(tine_error, sqlstate),
	FIELD(tine_error, text),
};

static const struct field config_fields[] = {
	FIELD(tine_pool_config, size),
	FIELD(tine_pool_config, conninfo),
	FIELD(tine_pool_config, kind),
	FIELD(tine_pool_config, pool_size),
	FIELD(tine_pool_config, max_overflow),
	FIELD(tine_pool_config, max_waiting),
	FIELD(tine_pool_config, connect_parallel),
	FIELD(tine_pool_config, acquire_timeout_ms),
	FIELD(tine_pool_config, connect_timeout_ms),
	FIELD(tine_pool_config, recycle_ms),
	FIELD(tine_pool_config, idle_timeout_ms),
	FIELD(tine_pool_config, ping),
	FIELD(tine_pool_config, ping_idle_ms),
	FIELD(tine_pool_config, ping_timeout_ms),
	FIELD(tine_pool_config, lifo),
	FIELD(tine_pool_config, connect_retry),
	FIELD(tine_pool_config, identity),
	FIELD(tine_pool_config, reset),
	FIELD(tine_pool_config, tls),
	FIELD(tine_pool_config, keepalives_idle_s),
	FIELD(tine_pool_config, keepalives_interval_s),
	FIELD(tine_pool_config, keepalives_count),
	FIELD(tine_pool_config, tcp_user_timeout_ms),
	FIELD(tine_pool_config, application_name),
	FIELD(tine_pool_config, on_connect_sql),
	FIELD(tine_pool_config, leak_after_ms),
	FIELD(tine_pool_config, max_uses),
	FIELD(tine_pool_config, max_result_bytes),
	FIELD(tine_pool_config, name),
	FIELD(tine_pool_config, budget),
	FIELD(tine_pool_config, budget_floor),
	FIELD(tine_pool_config, budget_ceiling),
	FIELD(tine_pool_config, orphan_check_ms),
	FIELD(tine_pool_config, lend_after_ms),
};

static const struct field histogram_fields[] = {
	FIELD(tine_histogram, count),
	FIELD(tine_histogram, sum_us),
	FIELD(tine_histogram, bucket),
};

static const struct field stats_fields[] = {
	FIELD(tine_pool_stats, pool_size),   FIELD(tine_pool_stats, max_overflow),
	FIELD(tine_pool_stats, open),        FIELD(tine_pool_stats, idle),
	FIELD(tine_pool_stats, busy),        FIELD(tine_pool_stats, connecting),
	FIELD(tine_pool_stats, overflow),    FIELD(tine_pool_stats, waiting),
	FIELD(tine_pool_stats, paused),      FIELD(tine_pool_stats, learned_idle_ms),
	FIELD(tine_pool_stats, checkouts),   FIELD(tine_pool_stats, opened),
	FIELD(tine_pool_stats, open_failed), FIELD(tine_pool_stats, timeouts),
	FIELD(tine_pool_stats, leaks),       FIELD(tine_pool_stats, pings),
	FIELD(tine_pool_stats, closed),      FIELD(tine_pool_stats, wait),
	FIELD(tine_pool_stats, hold),        FIELD(tine_pool_stats, connect),
	FIELD(tine_pool_stats, last_error),
};

static const struct field event_fields[] = {
	FIELD(tine_event, kind),  FIELD(tine_event, pool),  FIELD(tine_event, pg),
	FIELD(tine_event, cause), FIELD(tine_event, count), FIELD(tine_event, time_us),
	FIELD(tine_event, error),
};

static const struct field transact_fields[] = {
	FIELD(tine_transact_options, size),
	FIELD(tine_transact_options, max_attempts),
	FIELD(tine_transact_options, backoff_first_ms),
	FIELD(tine_transact_options, backoff_max_ms),
	FIELD(tine_transact_options, wait_ms),
	FIELD(tine_transact_options, isolation),
	FIELD(tine_transact_options, read_only),
	FIELD(tine_transact_options, name),
};

static const struct layout layouts[] = {
	STRUCT(tine_error, error_fields),         STRUCT(tine_pool_config, config_fields),
	STRUCT(tine_histogram, histogram_fields), STRUCT(tine_pool_stats, stats_fields),
	STRUCT(tine_event, event_fields),         STRUCT(tine_transact_options, transact_fields),
};

static void print_layout(const struct layout *layout)
{
	printf("\"%s\":{\"size\":%zu,\"fields\":{", layout->name, layout->size);
	for (size_t i = 0; i < layout->count; i++) {
		const struct field *field = &layout->fields[i];

		printf("%s\"%s\":[%zu,%zu]", i ? "," : "", field->name, field->offset, field->size);
	}
	printf("}}");
}

int main(void)
{
	size_t count = sizeof(layouts) / sizeof(layouts[0]);

	putchar('{');
	for (size_t i = 0; i < count; i++) {
		print_layout(&layouts[i]);
		putchar(i + 1 < count ? ',' : '}');
	}
	putchar('\n');
	return 0;
}
