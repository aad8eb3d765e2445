/* SPDX-License-Identifier: PostgreSQL */
/* All names that tine ps, tine top and the status page use in JSON; tine-ps(1) describes them. */
#include "show/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "show/words.h"
#include "tine/tine.h"

static json_int_t ms(int64_t ns)
{
	return ns / TINE_NS_PER_MS;
}

/* A zero that means "none". */
static json_t *or_null(int64_t number)
{
	return number ? json_integer(number) : json_null();
}

static json_t *or_null_text(const char *text)
{
	return *text ? json_string(text) : json_null();
}

static json_t *worker_of(const struct tine_view *view, int member)
{
	return member >= 0 ? or_null(view->members[member].worker) : json_null();
}

static json_t *pid_of(const struct tine_view *view, int member)
{
	return member >= 0 ? json_integer(view->members[member].pid) : json_null();
}

/* ---- processes ------------------------------------------------------------------------------ */

static json_t *causes_of(const int64_t count[TINE_VIEW_CAUSES])
{
	json_t *closed = json_object();

	for (int cause = 0; cause < TINE_CAUSE_COUNT && cause < TINE_VIEW_CAUSES; cause++)
		json_object_set_new(closed, tine_cause_name(cause), json_integer(count[cause]));
	return closed;
}

static json_t *waits_of(int64_t count, const int64_t wait[TINE_VIEW_BUCKETS])
{
	return json_pack("{s:I, s:o, s:o}", "count", (json_int_t)count, "median_below_us",
			 or_null(tine_words_quantile_us(wait, 0.5)), "p99_below_us",
			 or_null(tine_words_quantile_us(wait, 0.99)));
}

static json_t *rate_of(const struct tine_rates *rates, const struct tine_rate *rate)
{
	return json_pack("{s:f, s:f, s:f, s:f}", "opened",
			 tine_rates_per_second(rates, rate->opened), "failed",
			 tine_rates_per_second(rates, rate->failed), "waits",
			 tine_rates_per_second(rates, rate->slow_checkouts), "timeouts",
			 tine_rates_per_second(rates, rate->timeouts));
}

static json_t *process_of(const struct tine_view_member *member)
{
	return json_pack(
		"{s:o, s:i, s:s, s:s, s:o, s:I, s:i, s:i, s:i, s:i, s:i, s:i, s:b, s:o, s:o, s:I, "
		"s:I, s:I, s:o, s:o}",
		"worker", or_null(member->worker), "pid", member->pid, "life",
		tine_words_life(member->life), "command", member->command, "application",
		or_null_text(member->application), "age_ms", ms(member->age_ns), "held",
		member->held, "busy", member->busy, "idle", member->idle, "connecting",
		member->connecting, "closing", member->closing, "waiting", member->waiting, "wants",
		member->wants, "floor", or_null(member->floor), "ceiling", or_null(member->ceiling),
		"opened", (json_int_t)member->opened, "failed", (json_int_t)member->failed,
		"timeouts", (json_int_t)member->timeouts, "closed", causes_of(member->closed),
		"waits", waits_of(member->slow_checkouts, member->wait));
}

static json_t *processes_of(const struct tine_view *view, const struct tine_rates *rates)
{
	json_t *all = json_array();

	for (int i = 0; i < view->members_count; i++) {
		json_t *process = process_of(&view->members[i]);

		if (rates)
			json_object_set_new(process, "per_second",
					    rate_of(rates, &rates->members[i]));
		json_array_append_new(all, process);
	}
	return all;
}

/* ---- connections, waiters, targets, events -------------------------------------------------- */

static json_t *connections_of(const struct tine_view *view)
{
	json_t *all = json_array();

	for (int i = 0; i < view->seats_count; i++) {
		const struct tine_view_seat *seat = &view->seats[i];

		json_array_append_new(
			all,
			json_pack("{s:i, s:o, s:o, s:s, s:I, s:s, s:I, s:I, s:o, s:o, s:o}",
				  "permit", seat->permit, "worker", worker_of(view, seat->member),
				  "pid", pid_of(view, seat->member), "state",
				  tine_words_state(seat->state), "since_ms", ms(seat->since_ns),
				  "transaction", tine_words_transaction(seat->transaction),
				  "age_ms", ms(seat->age_ns), "uses", (json_int_t)seat->uses,
				  "backend_pid", or_null(seat->backend_pid), "target",
				  seat->target >= 0
					  ? json_integer(view->targets[seat->target].number)
					  : json_null(),
				  "label", or_null_text(seat->label)));
	}
	return all;
}

static json_t *waiters_of(const struct tine_view *view)
{
	json_t *all = json_array();

	for (int i = 0; i < view->waiters_count; i++) {
		const struct tine_view_waiter *waiter = &view->waiters[i];

		json_array_append_new(all,
				      json_pack("{s:o, s:o, s:I, s:b}", "worker",
						worker_of(view, waiter->member), "pid",
						pid_of(view, waiter->member), "since_ms",
						ms(waiter->since_ns), "called", waiter->called));
	}
	return all;
}

static json_t *outage_of(const struct tine_view_target *target)
{
	if (!target->status)
		return json_null();
	return json_pack("{s:s, s:o, s:s, s:I, s:I, s:I}", "status",
			 tine_status_name(target->status), "sqlstate",
			 or_null_text(target->sqlstate), "text", target->text, "age_ms",
			 ms(target->age_ns), "next_in_ms", ms(target->next_in_ns), "failures",
			 (json_int_t)target->failures);
}

static json_t *targets_of(const struct tine_view *view)
{
	json_t *all = json_array();

	for (int i = 0; i < view->targets_count; i++) {
		const struct tine_view_target *target = &view->targets[i];

		json_array_append_new(all,
				      json_pack("{s:i, s:I, s:o, s:o}", "target", target->number,
						"deaths", (json_int_t)target->deaths,
						"dies_idle_ms", or_null(ms(target->silent_idle_ns)),
						"outage", outage_of(target)));
	}
	return all;
}

static json_t *events_of(const struct tine_view *view)
{
	char detail[TINE_WORDS_DETAIL_BYTES];
	json_t *all = json_array();

	for (int i = 0; i < view->events_count; i++) {
		const struct tine_view_event *event = &view->events[i];

		tine_words_detail(detail, event);
		json_array_append_new(all, json_pack("{s:I, s:I, s:s, s:o, s:i, s:o}", "number",
						     (json_int_t)(event->number & INT64_MAX),
						     "age_ms", ms(event->age_ns), "event",
						     tine_words_event(event->kind), "worker",
						     or_null(event->worker), "pid", event->pid,
						     "detail", or_null_text(detail)));
	}
	return all;
}

/* ---- the whole ------------------------------------------------------------------------------ */

static json_t *permits_of(const struct tine_view *view)
{
	return json_pack("{s:o, s:o, s:i, s:i, s:o, s:i}", "budget", or_null(view->budget),
			 "fair_share", or_null(view->fair_share), "held", view->held, "ending",
			 view->limbo, "free", view->budget ? json_integer(view->free) : json_null(),
			 "waiting", view->waiters_count);
}

/* Of all processes that are on the board now. */
static void add_sums(json_t *tree, const struct tine_view *view)
{
	int64_t wait[TINE_VIEW_BUCKETS], closed[TINE_VIEW_CAUSES], count;
	json_t *buckets = json_array(), *waits;

	count = tine_words_sum(view, wait, closed);
	for (int i = 0; i < TINE_VIEW_BUCKETS; i++)
		if (wait[i])
			json_array_append_new(buckets, json_pack("{s:I, s:I}", "below_us",
								 (json_int_t)1 << i, "count",
								 (json_int_t)wait[i]));
	waits = waits_of(count, wait);
	json_object_set_new(waits, "buckets", buckets);
	json_object_set_new(tree, "waits", waits);
	json_object_set_new(tree, "closed", causes_of(closed));
}

json_t *tine_json_tree(const struct tine_view *view, const struct tine_rates *rates)
{
	json_t *tree = json_pack("{s:s, s:b, s:b, s:s, s:I, s:I, s:i, s:o, s:{s:i, s:o}}", "tree",
				 view->label, "named", view->named, "left_from_earlier_boot",
				 view->old, "path", view->path, "uid", (json_int_t)view->owner,
				 "age_ms", ms(view->age_ns), "living", tine_view_living(view),
				 "permits", permits_of(view), "connects", "under_way", view->tokens,
				 "limit", or_null(view->connect_parallel));

	add_sums(tree, view);
	json_object_set_new(tree, "processes", processes_of(view, rates));
	json_object_set_new(tree, "connections", connections_of(view));
	json_object_set_new(tree, "waiters", waiters_of(view));
	json_object_set_new(tree, "targets", targets_of(view));
	json_object_set_new(tree, "events", events_of(view));
	if (rates)
		json_object_set_new(tree, "per_second", rate_of(rates, &rates->all));
	return tree;
}

/* By hand: gmtime_r() takes a lock that another thread may have at a fork, for ever in the child.
 * The year begins in March here, so that the leap day is its last. */
static void write_date(char *text, size_t size, int64_t days)
{
	int64_t day = days + 719468, era = day / 146097, of_era = day % 146097;
	int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
	int64_t month = (5 * of_year + 2) / 153;

	snprintf(text, size, "%04" PRId64 "-%02" PRId64 "-%02" PRId64,
		 year + era * 400 + (month >= 10), month < 10 ? month + 3 : month - 9,
		 of_year - (153 * month + 2) / 5 + 1);
}

json_t *tine_json_time(void)
{
	char text[96], date[64];
	struct timespec now;
	int second;

	clock_gettime(CLOCK_REALTIME, &now);
	write_date(date, sizeof(date), now.tv_sec / 86400);
	second = (int)(now.tv_sec % 86400);
	snprintf(text, sizeof(text), "%sT%02d:%02d:%02d.%03dZ", date, second / 3600,
		 second / 60 % 60, second % 60, (int)(now.tv_nsec / TINE_NS_PER_MS));
	return json_string(text);
}

json_t *tine_json_problems(const struct tine_forest *forest)
{
	json_t *all = json_array();

	for (int i = 0; i < forest->problems_count; i++)
		json_array_append_new(all, json_pack("{s:s, s:s}", "path", forest->problems[i].path,
						     "why", forest->problems[i].why));
	return all;
}
