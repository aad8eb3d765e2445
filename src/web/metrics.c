/* SPDX-License-Identifier: PostgreSQL */
/*
 * /metrics: OpenMetrics 1.0, with OpenTelemetry's names db.client.connection.* as Prometheus writes
 * them, and tine_* for what those have no name for.
 *
 * Counters are a process's own and end with it, so each has the process's place as label "worker":
 * a sum over processes would fall whenever one ends, and rate() would take that for a restart. The
 * next process at a place begins at zero, which rate() knows how to read.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "show/words.h"
#include "web/web.h"

/* Of the board's buckets (powers of two of a microsecond) every second one, from 64 us to 67 s. */
#define FIRST_BUCKET 6
#define LAST_BUCKET 26
#define BUCKET_STEP 2

struct metrics {
	const struct tine_look *look;
	struct tine_out *out;
};

typedef double tree_fn(const struct tine_view *view);
typedef int64_t member_fn(const struct tine_view_member *member);

#define NONE (-1.0)

/* ---- lines ---------------------------------------------------------------------------------- */

static void describe(const struct metrics *to, const char *name, const char *type, const char *unit,
		     const char *help)
{
	tine_out_format(to->out, "# TYPE %s %s\n", name, type);
	if (unit)
		tine_out_format(to->out, "# UNIT %s %s\n", name, unit);
	tine_out_format(to->out, "# HELP %s ", name);
	tine_out_add(to->out, help);
	tine_out_add(to->out, "\n");
}

/* "name{pool_name="web", and what more there is; the caller ends it. */
static void begin(const struct metrics *to, const char *name, const char *suffix, int tree)
{
	tine_out_format(to->out, "%s%s{pool_name=\"", name, suffix);
	tine_out_label(to->out, to->look->keys[tree]);
	tine_out_add(to->out, "\"");
}

static void end(const struct metrics *to, double value)
{
	tine_out_format(to->out, "} %.10g\n", value);
}

static void label(const struct metrics *to, const char *name, const char *value)
{
	tine_out_format(to->out, ",%s=\"", name);
	tine_out_label(to->out, value);
	tine_out_add(to->out, "\"");
}

/* Trees that are left from before the machine was started have nothing any more. */
static bool is_shown(const struct metrics *to, int tree)
{
	return !to->look->forest->trees[tree]->old;
}

/* ---- gauges of a tree ----------------------------------------------------------------------- */

static void add_gauge(const struct metrics *to, const char *name, const char *unit,
		      const char *help, tree_fn *value_of)
{
	describe(to, name, "gauge", unit, help);
	for (int i = 0; i < to->look->forest->trees_count; i++) {
		double value = value_of(to->look->forest->trees[i]);

		if (!is_shown(to, i) || value < 0)
			continue;
		begin(to, name, "", i);
		end(to, value);
	}
}

static double max_of(const struct tine_view *view)
{
	return view->budget ? view->budget : NONE;
}

/* Each process that uses connections may keep its share while it has no use for it. */
static double idle_max_of(const struct tine_view *view)
{
	int wanting = 0, most;

	if (!view->budget)
		return NONE;
	for (int i = 0; i < view->members_count; i++)
		wanting += view->members[i].wants;
	most = wanting * (view->fair_share ? view->fair_share : view->budget);
	return most < view->budget ? most : view->budget;
}

static double pending_of(const struct tine_view *view)
{
	return view->waiters_count;
}

static double held_of(const struct tine_view *view)
{
	return view->held;
}

static double ending_of(const struct tine_view *view)
{
	return view->limbo;
}

static double free_of(const struct tine_view *view)
{
	return view->budget ? view->free : NONE;
}

static double connecting_of(const struct tine_view *view)
{
	return view->tokens;
}

static double age_of(const struct tine_view *view)
{
	return (double)view->age_ns / TINE_NS_PER_S;
}

static double longest(const struct tine_view *view, bool in_transaction)
{
	int64_t most_ns = 0;

	for (int i = 0; i < view->seats_count; i++) {
		const struct tine_view_seat *seat = &view->seats[i];

		if (seat->state == TINE_SEAT_BUSY &&
		    (!in_transaction || seat->transaction != TINE_SEAT_OUTSIDE) &&
		    seat->since_ns > most_ns)
			most_ns = seat->since_ns;
	}
	return (double)most_ns / TINE_NS_PER_S;
}

static double longest_busy_of(const struct tine_view *view)
{
	return longest(view, false);
}

static double longest_transaction_of(const struct tine_view *view)
{
	return longest(view, true);
}

static void add_states(const struct metrics *to)
{
	static const struct {
		enum tine_seat_state state;
		const char *name;
	} states[] = { { TINE_SEAT_IDLE, "idle" }, { TINE_SEAT_BUSY, "used" } };

	describe(to, "db_client_connection_count", "gauge", NULL,
		 "Connections that are open, by state.");
	for (int i = 0; i < to->look->forest->trees_count; i++) {
		const struct tine_view *view = to->look->forest->trees[i];

		for (size_t s = 0; is_shown(to, i) && s < sizeof(states) / sizeof(states[0]); s++) {
			int count = 0;

			for (int seat = 0; seat < view->seats_count; seat++)
				count += view->seats[seat].state == states[s].state;
			begin(to, "db_client_connection_count", "", i);
			label(to, "state", states[s].name);
			end(to, count);
		}
	}
}

static void add_processes(const struct metrics *to)
{
	describe(to, "tine_processes", "gauge", NULL,
		 "Processes of the tree, by what became of them.");
	for (int i = 0; i < to->look->forest->trees_count; i++) {
		const struct tine_view *view = to->look->forest->trees[i];

		for (int life = TINE_VIEW_ALIVE; life <= TINE_VIEW_FOREIGN && is_shown(to, i);
		     life++) {
			int count = 0;

			for (int m = 0; m < view->members_count; m++)
				count += (int)view->members[m].life == life;
			begin(to, "tine_processes", "", i);
			label(to, "life", tine_words_life((enum tine_view_life)life));
			end(to, count);
		}
	}
}

static void add_outages(const struct metrics *to)
{
	describe(to, "tine_outage", "gauge", NULL, "1 while a server cannot be reached.");
	for (int i = 0; i < to->look->forest->trees_count; i++) {
		const struct tine_view *view = to->look->forest->trees[i];

		for (int t = 0; t < view->targets_count && is_shown(to, i); t++) {
			begin(to, "tine_outage", "", i);
			tine_out_format(to->out, ",target=\"%d\"", view->targets[t].number);
			end(to, view->targets[t].status != 0);
		}
	}
}

/* ---- counters of processes ------------------------------------------------------------------ */

/* One without a place has counted nothing yet; two at one place are nobody's true story. */
static bool is_counted(const struct tine_view *view, int member)
{
	int worker = view->members[member].worker;

	return worker && (member == 0 || view->members[member - 1].worker != worker);
}

static void begin_member(const struct metrics *to, const char *name, const char *suffix, int tree,
			 int member)
{
	begin(to, name, suffix, tree);
	tine_out_format(to->out, ",worker=\"%d\"",
			to->look->forest->trees[tree]->members[member].worker);
}

static void add_counter(const struct metrics *to, const char *name, const char *help,
			member_fn *value_of)
{
	describe(to, name, "counter", NULL, help);
	for (int i = 0; i < to->look->forest->trees_count; i++) {
		const struct tine_view *view = to->look->forest->trees[i];

		for (int m = 0; m < view->members_count && is_shown(to, i); m++) {
			if (!is_counted(view, m))
				continue;
			begin_member(to, name, "_total", i, m);
			end(to, (double)value_of(&view->members[m]));
		}
	}
}

static int64_t timeouts_of(const struct tine_view_member *member)
{
	return member->timeouts;
}

static int64_t opened_of(const struct tine_view_member *member)
{
	return member->opened;
}

static int64_t failed_of(const struct tine_view_member *member)
{
	return member->failed;
}

static void add_closed(const struct metrics *to)
{
	static const char name[] = "tine_connections_closed";

	describe(to, name, "counter", NULL, "Connections that were closed, by cause.");
	for (int i = 0; i < to->look->forest->trees_count; i++) {
		const struct tine_view *view = to->look->forest->trees[i];

		for (int m = 0; m < view->members_count && is_shown(to, i); m++) {
			for (int cause = 0; cause < TINE_CAUSE_COUNT && cause < TINE_VIEW_CAUSES &&
					    is_counted(view, m);
			     cause++) {
				begin_member(to, name, "_total", i, m);
				label(to, "cause", tine_cause_name(cause));
				end(to, (double)view->members[m].closed[cause]);
			}
		}
	}
}

static void add_buckets(const struct metrics *to, const char *name, int tree, int member)
{
	const int64_t *wait = to->look->forest->trees[tree]->members[member].wait;
	int64_t below = 0;

	for (int b = 0; b < TINE_VIEW_BUCKETS; b++) {
		below += wait[b];
		if (b < FIRST_BUCKET || b > LAST_BUCKET || (b - FIRST_BUCKET) % BUCKET_STEP)
			continue;
		begin_member(to, name, "_bucket", tree, member);
		tine_out_format(to->out, ",le=\"%.10g\"", (double)(INT64_C(1) << b) / 1000000);
		end(to, (double)below);
	}
	begin_member(to, name, "_bucket", tree, member);
	label(to, "le", "+Inf");
	end(to, (double)below);
}

/* Without a sum, which boards do not keep, and so without a count. */
static void add_waits(const struct metrics *to)
{
	static const char name[] = "db_client_connection_wait_time_seconds";

	describe(to, name, "histogram", "seconds",
		 "How long acquires took that had to wait; those served at once are not counted.");
	for (int i = 0; i < to->look->forest->trees_count; i++) {
		const struct tine_view *view = to->look->forest->trees[i];

		for (int m = 0; m < view->members_count && is_shown(to, i); m++)
			if (is_counted(view, m))
				add_buckets(to, name, i, m);
	}
}

/* ---- the whole ------------------------------------------------------------------------------ */

static void add_gauges(const struct metrics *to)
{
	add_gauge(to, "db_client_connection_max", NULL,
		  "Connections that there may be: the budget.", max_of);
	add_gauge(to, "db_client_connection_idle_max", NULL,
		  "Idle connections that may be kept: each process's fair share.", idle_max_of);
	add_gauge(to, "db_client_connection_pending_requests", NULL,
		  "Acquires that wait for a connection of the budget.", pending_of);
	add_gauge(to, "tine_permits_held", NULL,
		  "Connections that are open, on their way up or being closed.", held_of);
	add_gauge(to, "tine_permits_ending", NULL,
		  "Let go of, while the server may still have the session.", ending_of);
	add_gauge(to, "tine_permits_free", NULL, "Connections that may still be opened.", free_of);
	add_gauge(to, "tine_connects_under_way", NULL, "Connects at this moment.", connecting_of);
	add_gauge(to, "tine_tree_age_seconds", "seconds", "Since the tree's board was made.",
		  age_of);
	add_gauge(to, "tine_longest_busy_seconds", "seconds",
		  "How long the connection is in use that has been for longest.", longest_busy_of);
	add_gauge(to, "tine_longest_transaction_seconds", "seconds",
		  "The same, of those that are within a transaction.", longest_transaction_of);
}

void tine_web_write_metrics(const struct tine_look *look, struct tine_out *out)
{
	struct metrics to = { look, out };

	add_states(&to);
	add_gauges(&to);
	add_processes(&to);
	add_outages(&to);
	add_counter(&to, "db_client_connection_timeouts",
		    "Acquires that gave up at their deadline.", timeouts_of);
	add_counter(&to, "tine_connects", "Connections that were opened.", opened_of);
	add_counter(&to, "tine_connects_failed", "Connects that failed.", failed_of);
	add_closed(&to);
	add_waits(&to);
	describe(&to, "tine_boards_unreadable", "gauge", NULL, "Boards that could not be read.");
	tine_out_format(out, "tine_boards_unreadable %d\n# EOF\n", look->forest->problems_count);
}
