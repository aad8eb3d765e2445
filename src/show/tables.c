/* SPDX-License-Identifier: PostgreSQL */
#include "show/tables.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "show/words.h"
#include "tine/tine.h"

static void write_number(char text[16], int worker)
{
	if (worker)
		snprintf(text, 16, "w%d", worker);
	else
		strcpy(text, "-"); /* it wants no connections yet */
}

static void write_worker(char text[16], const struct tine_view *view, int member)
{
	if (member >= 0)
		write_number(text, view->members[member].worker);
	else
		strcpy(text, "gone");
}

/* ---- the tree ------------------------------------------------------------------------------- */

static int sum_of(const struct tine_view *view, enum tine_seat_state state)
{
	int sum = 0;

	for (int i = 0; i < view->seats_count; i++)
		sum += view->seats[i].state == state;
	return sum;
}

static void add_permits(struct tine_page *page, const struct tine_view *view)
{
	char budget[64] = "no budget", room[32] = "";

	if (view->budget) {
		snprintf(budget, sizeof(budget), "budget %d (fair share %d)", view->budget,
			 view->fair_share ? view->fair_share : view->budget);
		snprintf(room, sizeof(room), ", %d free", view->free);
	}
	tine_page_add(page, TINE_PAGE_PLAIN,
		      "permits: %s, %d held (%d busy, %d idle, %d connecting), %d ending%s; "
		      "%d waiting; connects under way: %d%s%.0d",
		      budget, view->held, sum_of(view, TINE_SEAT_BUSY),
		      sum_of(view, TINE_SEAT_IDLE), sum_of(view, TINE_SEAT_CONNECTING), view->limbo,
		      room, view->waiters_count, view->tokens, view->connect_parallel ? " of " : "",
		      view->connect_parallel);
}

static void add_rates(struct tine_page *page, const struct tine_rates *rates)
{
	tine_page_add(page, TINE_PAGE_PLAIN,
		      "per second: %.1f connects, %.1f failed connects, %.1f waits, %.1f timeouts",
		      tine_rates_per_second(rates, rates->all.opened),
		      tine_rates_per_second(rates, rates->all.failed),
		      tine_rates_per_second(rates, rates->all.slow_checkouts),
		      tine_rates_per_second(rates, rates->all.timeouts));
}

static void add_waits(struct tine_page *page, const struct tine_view *view)
{
	char median[TINE_WORDS_AGE_BYTES], most[TINE_WORDS_AGE_BYTES];
	int64_t wait[TINE_VIEW_BUCKETS], closed[TINE_VIEW_CAUSES];
	int64_t count = tine_words_sum(view, wait, closed);

	if (count == 0)
		return;
	tine_words_age(median, tine_words_quantile_us(wait, 0.5) * TINE_NS_PER_US);
	tine_words_age(most, tine_words_quantile_us(wait, 0.99) * TINE_NS_PER_US);
	tine_page_add(page, TINE_PAGE_PLAIN, "waits: %lld, half of them under %s, 99 %% under %s",
		      (long long)count, median, most);
}

static void add_causes(struct tine_page *page, const struct tine_view *view)
{
	int64_t wait[TINE_VIEW_BUCKETS], closed[TINE_VIEW_CAUSES];
	char text[400] = "";
	size_t length = 0;

	tine_words_sum(view, wait, closed);
	for (int cause = 0; cause < TINE_CAUSE_COUNT && cause < TINE_VIEW_CAUSES; cause++)
		if (closed[cause])
			length +=
				(size_t)snprintf(text + length, sizeof(text) - length, "%s%lld %s",
						 length ? ", " : "", (long long)closed[cause],
						 tine_cause_name(cause));
	if (length)
		tine_page_add(page, TINE_PAGE_PLAIN, "closed: %s", text);
}

static void add_target(struct tine_page *page, const struct tine_view_target *target)
{
	char age[TINE_WORDS_AGE_BYTES], next[TINE_WORDS_AGE_BYTES];

	if (target->silent_idle_ns)
		tine_page_add(page, TINE_PAGE_PLAIN, "target %d: idle connections die after %s",
			      target->number, tine_words_age(age, target->silent_idle_ns));
	if (!target->status)
		return;
	tine_page_add(page, TINE_PAGE_ALARM,
		      "target %d: OUTAGE for %s, %u failures, next try in %s: %s%s%s%s",
		      target->number, tine_words_age(age, target->age_ns), target->failures,
		      tine_words_age(next, target->next_in_ns),
		      *target->sqlstate ? "SQLSTATE " : "", target->sqlstate,
		      *target->sqlstate ? ": " : "", target->text);
}

static void add_summary(struct tine_page *page, const struct tine_view *view,
			const struct tine_rates *rates)
{
	char age[TINE_WORDS_AGE_BYTES], user[40];
	int living = tine_view_living(view);

	tine_words_user(user, sizeof(user), view->owner);
	if (view->old) {
		tine_page_add(page, TINE_PAGE_TREE,
			      "tree %s of %s: left from before this machine was started",
			      view->label, user);
		return;
	}
	tine_page_add(page, TINE_PAGE_TREE, "tree %s of %s, up %s, %d process%s%s", view->label,
		      user, tine_words_age(age, view->age_ns), living, living == 1 ? "" : "es",
		      living ? "" : ": nobody is left");
	add_permits(page, view);
	if (rates)
		add_rates(page, rates);
	add_waits(page, view);
	add_causes(page, view);
	for (int i = 0; i < view->targets_count; i++)
		add_target(page, &view->targets[i]);
}

/* ---- processes ------------------------------------------------------------------------------ */

static void write_rate(char text[32], const struct tine_rates *rates, int member)
{
	*text = '\0';
	if (rates)
		snprintf(text, 32, " %6.1f %6.1f",
			 tine_rates_per_second(rates, rates->members[member].opened),
			 tine_rates_per_second(rates, rates->members[member].slow_checkouts));
}

static void add_member(struct tine_page *page, const struct tine_view *view, int index,
		       const struct tine_rates *rates)
{
	const struct tine_view_member *member = &view->members[index];
	int64_t died = member->closed[TINE_CAUSE_DEAD] + member->closed[TINE_CAUSE_LOST];
	char worker[16], rate[32], age[TINE_WORDS_AGE_BYTES];

	write_worker(worker, view, index);
	write_rate(rate, rates, index);
	tine_page_add(page, member->life == TINE_VIEW_DEAD ? TINE_PAGE_ALARM : TINE_PAGE_PLAIN,
		      "%-6s %7d %-7s %-15.31s %4d %4d %4d %4d%s %7lld %6lld %5lld %6lld %6s  %s",
		      worker, member->pid, tine_words_life(member->life), member->command,
		      member->held, member->busy, member->idle, member->waiting, rate,
		      (long long)member->opened, (long long)member->failed, (long long)died,
		      (long long)member->timeouts, tine_words_age(age, member->age_ns),
		      member->application);
}

static void add_members(struct tine_page *page, const struct tine_view *view,
			const struct tine_tables *tables, const struct tine_rates *rates)
{
	int *order = calloc((size_t)view->members_count + 1, sizeof(*order));
	int count = order ? tine_order_members(&tables->order, view, order) : 0;

	page->no_memory |= !order;
	if (count)
		tine_page_add(page, TINE_PAGE_HEAD,
			      "%-6s %7s %-7s %-15s %4s %4s %4s %4s%s %7s %6s %5s %6s %6s  %s",
			      "WORKER", "PID", "LIFE", "COMMAND", "HELD", "BUSY", "IDLE", "WAIT",
			      rates ? " CONN/S WAIT/S" : "", "CONNECT", "FAILED", "DIED", "TMOUT",
			      "AGE", "APPLICATION");
	for (int i = 0; i < count; i++)
		add_member(page, view, order[i], rates);
	free(order);
}

/* ---- connections and waiters ---------------------------------------------------------------- */

static void add_seat(struct tine_page *page, const struct tine_view *view,
		     const struct tine_view_seat *seat)
{
	char worker[16], since[TINE_WORDS_AGE_BYTES], age[TINE_WORDS_AGE_BYTES];

	write_worker(worker, view, seat->member);
	tine_page_add(page,
		      seat->transaction == TINE_SEAT_ABORTED ? TINE_PAGE_ALARM : TINE_PAGE_PLAIN,
		      "%6d %-6s %7d %-10s %7s %-11s %7s %8lld %7u  %s", seat->permit, worker,
		      seat->member >= 0 ? view->members[seat->member].pid : 0,
		      tine_words_state(seat->state), tine_words_age(since, seat->since_ns),
		      tine_words_transaction(seat->transaction), tine_words_age(age, seat->age_ns),
		      (long long)seat->uses, seat->backend_pid, seat->label);
}

static void add_seats(struct tine_page *page, const struct tine_view *view,
		      const struct tine_tables *tables)
{
	int *order = calloc((size_t)view->seats_count + 1, sizeof(*order));
	int count = order ? tine_order_seats(&tables->order, view, order) : 0;

	page->no_memory |= !order;
	if (count)
		tine_page_add(page, TINE_PAGE_HEAD, "%6s %-6s %7s %-10s %7s %-11s %7s %8s %7s  %s",
			      "PERMIT", "WORKER", "PID", "STATE", "SINCE", "TRANSACTION", "AGE",
			      "USES", "BACKEND", "LABEL");
	for (int i = 0; i < count; i++)
		add_seat(page, view, &view->seats[order[i]]);
	free(order);
}

static void add_waiters(struct tine_page *page, const struct tine_view *view)
{
	char worker[16], since[TINE_WORDS_AGE_BYTES];

	if (view->waiters_count)
		tine_page_add(page, TINE_PAGE_HEAD, "%6s %-6s %7s %7s  %s", "QUEUE", "WORKER",
			      "PID", "SINCE", "CALLED");
	for (int i = 0; i < view->waiters_count; i++) {
		const struct tine_view_waiter *waiter = &view->waiters[i];

		write_worker(worker, view, waiter->member);
		tine_page_add(page, TINE_PAGE_PLAIN, "%6d %-6s %7d %7s  %s", i + 1, worker,
			      waiter->member >= 0 ? view->members[waiter->member].pid : 0,
			      tine_words_age(since, waiter->since_ns),
			      waiter->called ? "yes" : "no");
	}
}

static void add_events(struct tine_page *page, const struct tine_view *view, int most)
{
	char age[TINE_WORDS_AGE_BYTES], detail[TINE_WORDS_DETAIL_BYTES];
	int count = view->events_count < most ? view->events_count : most;

	if (count)
		tine_page_add(page, TINE_PAGE_HEAD, "%7s %-6s %7s  %s", "AGO", "WORKER", "PID",
			      "EVENT");
	for (int i = 0; i < count; i++) {
		const struct tine_view_event *event = &view->events[i];
		char worker[16];

		write_number(worker, event->worker);
		tine_words_detail(detail, event);
		tine_page_add(page, TINE_PAGE_PLAIN, "%7s %-6s %7d  %s%s%s",
			      tine_words_age(age, event->age_ns), worker, event->pid,
			      tine_words_event(event->kind), *detail ? ": " : "", detail);
	}
}

/* ---- the whole ------------------------------------------------------------------------------ */

void tine_tables_tree(struct tine_page *page, const struct tine_view *view,
		      const struct tine_tables *tables, const struct tine_rates *rates)
{
	add_summary(page, view, rates);
	if (view->old)
		return;
	add_members(page, view, tables, rates);
	if (tables->connections)
		add_seats(page, view, tables);
	add_waiters(page, view);
	add_events(page, view, tables->events);
}

void tine_tables_problems(struct tine_page *page, const struct tine_forest *forest)
{
	for (int i = 0; i < forest->problems_count; i++)
		tine_page_add(page, TINE_PAGE_ALARM, "not shown: %s: %s", forest->problems[i].path,
			      forest->problems[i].why);
	if (forest->cut)
		tine_page_add(page, TINE_PAGE_ALARM, "only %d boards are looked at",
			      TINE_FOREST_TREES);
}
