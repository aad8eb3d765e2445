/* SPDX-License-Identifier: PostgreSQL */
/* tine top without a terminal: a page of text, or one line of JSON, for each look. */
#include <errno.h>
#include <time.h>

#include "base/clock.h"
#include "base/exit.h"
#include "top/watch.h"

static int print(struct tine_watch *watch, bool json)
{
	json_t *report;
	int rc;

	if (!json) {
		tine_watch_write_page(watch);
		tine_page_print(&watch->page, stdout);
		return watch->page.no_memory ? -ENOMEM : 0;
	}
	report = tine_watch_json(watch);
	if (!report)
		return -ENOMEM;
	rc = json_dumpf(report, stdout, JSON_COMPACT) == 0 ? 0 : -EIO;
	putchar('\n');
	json_decref(report);
	return rc;
}

/* Looks are so far apart, whatever they take themselves. */
static void sleep_until_next(const struct tine_watch *watch)
{
	int64_t next_ns = watch->looked_ns + watch->interval_ms * (int64_t)TINE_NS_PER_MS;
	struct timespec next = { next_ns / TINE_NS_PER_S, next_ns % TINE_NS_PER_S };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL) == EINTR)
		continue;
}

int tine_top_plain(struct tine_watch *watch, bool json)
{
	for (int looks = 0;;) {
		if (tine_watch_look(watch) < 0)
			return tine_top_fail(TINE_EXIT_SYSTEM, "out of memory");
		if (looks > 0 && !json)
			putchar('\n');
		if (print(watch, json) == -ENOMEM)
			return tine_top_fail(TINE_EXIT_SYSTEM, "out of memory");
		if (fflush(stdout) != 0 || ferror(stdout))
			return tine_top_fail(TINE_EXIT_SYSTEM, "cannot write to standard output");
		if (++looks == watch->count)
			return TINE_EXIT_OK;
		sleep_until_next(watch);
	}
}
