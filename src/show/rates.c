/* SPDX-License-Identifier: PostgreSQL */
#include "show/rates.h"

#include <stdlib.h>

#include "base/clock.h"

static const struct tine_view_member *find(const struct tine_view *view,
					   const struct tine_view_member *member)
{
	for (int i = 0; i < view->members_count; i++)
		if (view->members[i].pid == member->pid &&
		    view->members[i].joined_ns == member->joined_ns)
			return &view->members[i];
	return NULL;
}

/* Counters only rise, unless somebody else writes to them. */
static int64_t rise(int64_t before, int64_t after)
{
	return after > before ? after - before : 0;
}

static struct tine_rate compare(const struct tine_view_member *before,
				const struct tine_view_member *after)
{
	static const struct tine_view_member nothing;

	if (!before)
		before = &nothing; /* it has joined since */
	return (struct tine_rate){
		.opened = rise(before->opened, after->opened),
		.failed = rise(before->failed, after->failed),
		.slow_checkouts = rise(before->slow_checkouts, after->slow_checkouts),
		.timeouts = rise(before->timeouts, after->timeouts),
	};
}

struct tine_rates *tine_rates_between(const struct tine_view *before, const struct tine_view *after,
				      int64_t interval_ns)
{
	struct tine_rates *rates = calloc(1, sizeof(*rates));

	if (rates)
		rates->members =
			calloc((size_t)after->members_count + 1, sizeof(rates->members[0]));
	if (!rates || !rates->members) {
		free(rates);
		return NULL;
	}
	rates->interval_ns = interval_ns;
	for (int i = 0; i < after->members_count; i++) {
		const struct tine_view_member *member = &after->members[i];
		struct tine_rate rate = compare(find(before, member), member);

		rates->members[i] = rate;
		rates->all.opened += rate.opened;
		rates->all.failed += rate.failed;
		rates->all.slow_checkouts += rate.slow_checkouts;
		rates->all.timeouts += rate.timeouts;
	}
	return rates;
}

void tine_rates_free(struct tine_rates *rates)
{
	if (rates)
		free(rates->members);
	free(rates);
}

double tine_rates_per_second(const struct tine_rates *rates, int64_t count)
{
	return (double)count * TINE_NS_PER_S / (double)rates->interval_ns;
}
