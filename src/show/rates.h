/* SPDX-License-Identifier: PostgreSQL */
/* What happened between two looks at one board. Locks: none. Fork: plain memory. */
#ifndef TINE_SHOW_RATES_H
#define TINE_SHOW_RATES_H

#include "board/view.h"

struct tine_rate {
	int64_t opened, failed, slow_checkouts, timeouts;
};

struct tine_rates {
	int64_t interval_ns;
	struct tine_rate all;
	struct tine_rate *members; /* by index in the later view */
};

/** Compare.
 *  @param interval_ns  between them, more than 0
 *  @return the caller's, ended by tine_rates_free(); NULL when there is no memory */
struct tine_rates *tine_rates_between(const struct tine_view *before, const struct tine_view *after,
				      int64_t interval_ns);

/** NULL is fine. */
void tine_rates_free(struct tine_rates *rates);

/** So many per second. */
double tine_rates_per_second(const struct tine_rates *rates, int64_t count);

#endif
