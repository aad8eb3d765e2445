/* SPDX-License-Identifier: PostgreSQL */
#include "base/clock.h"

#include <limits.h>
#include <poll.h>

int tine_clock_poll_ms(int64_t until_ns, int64_t now_ns)
{
	int64_t ms;

	if (until_ns == TINE_NEVER_NS)
		return -1;
	if (until_ns <= now_ns)
		return 0;
	ms = (until_ns - now_ns + TINE_NS_PER_MS - 1) / TINE_NS_PER_MS;
	return ms > INT_MAX ? INT_MAX : (int)ms;
}

void tine_clock_nap(void)
{
	poll(NULL, 0, 1);
}
