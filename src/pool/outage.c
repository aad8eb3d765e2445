/* SPDX-License-Identifier: PostgreSQL */
#include "pool/outage.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/random.h"
#include "pool/error.h"
#include "pool/share.h"

#define FIRST_PAUSE_NS (100 * (int64_t)TINE_NS_PER_MS)
#define LONGEST_PAUSE_NS ((int64_t)TINE_NS_PER_S)
#define LONGEST_PERMANENT_PAUSE_NS (5 * (int64_t)TINE_NS_PER_S)

static int64_t pause_ns(struct tine_pool *pool, int status)
{
	int64_t longest_ns =
		tine_error_is_permanent(status) ? LONGEST_PERMANENT_PAUSE_NS : LONGEST_PAUSE_NS;
	int doublings = pool->outage.failures < 10 ? pool->outage.failures : 10;
	int64_t ns = FIRST_PAUSE_NS << doublings;

	if (ns > longest_ns)
		ns = longest_ns;
	return ns - (int64_t)tine_random((uint64_t)ns / 4);
}

void tine_outage_begin(struct tine_pool *pool, const tine_error *error)
{
	pool->tally.open_failed++;
	pool->tally.last_error = *error;
	pool->outage.error = *error;
	pool->outage.at_ns = tine_clock_ns();
	pool->outage.next_ns = pool->outage.at_ns + pause_ns(pool, error->status);
	pool->outage.failures++;
	tine_share_outage(pool);
}

void tine_outage_end(struct tine_pool *pool)
{
	tine_outage_forget(pool);
	tine_share_recovered(pool);
}

void tine_outage_forget(struct tine_pool *pool)
{
	pool->outage.error.status = 0;
	pool->outage.failures = 0;
}

bool tine_outage_holds(const struct tine_pool *pool, int64_t now_ns)
{
	return pool->outage.error.status && now_ns < pool->outage.next_ns;
}

void tine_outage_report(const struct tine_pool *pool, int64_t now_ns, tine_error *ret_error)
{
	char age[48];
	size_t length;

	*ret_error = pool->outage.error;
	length = strlen(ret_error->text);
	snprintf(age, sizeof(age), " (seen %.1f s ago)",
		 (double)(now_ns - pool->outage.at_ns) / TINE_NS_PER_S);
	if (length > sizeof(ret_error->text) - sizeof(age))
		length = sizeof(ret_error->text) - sizeof(age);
	memcpy(ret_error->text + length, age, strlen(age) + 1);
}
