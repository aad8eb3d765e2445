/* SPDX-License-Identifier: PostgreSQL */
/*
 * The page as it is sent: whole and readable without a script. assets/page.js draws the plots and
 * brings the tables up to date; it finds them by their ids, and writes the same columns.
 *
 * Everything that is not a constant of this file goes through tine_out_html() or is a number.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "show/order.h"
#include "show/words.h"
#include "web/page.h"

#define ROWS_MAX 200 /* of connections; the JSON has all */
#define EVENTS_MAX 40
#define FIRST_MS_BUCKET 10 /* 2^10 microseconds */

/* ---- pieces --------------------------------------------------------------------------------- */

static void add_head(struct tine_out *out, const char *label)
{
	tine_out_add(out,
		     "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		     "<meta name=\"viewport\" content=\"width=device-width, "
		     "initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n"
		     "<title>");
	tine_out_html(out, label ? label : "no tree");
	tine_out_add(out, " \xc2\xb7 tine</title>\n"
			  "<link rel=\"stylesheet\" href=\"page.css\">\n"
			  "<link rel=\"icon\" href=\"icon.svg\" type=\"image/svg+xml\">\n"
			  "<script src=\"page.js\" defer></script>\n</head>\n");
}

static void add_trees(struct tine_out *out, const struct tine_look *look, int tree)
{
	tine_out_add(out, "<nav id=\"trees\" aria-label=\"Process trees\"><ul>\n");
	for (int i = 0; i < look->forest->trees_count; i++) {
		tine_out_add(out, "<li><a href=\"?tree=");
		tine_out_url(out, look->keys[i]);
		tine_out_add(out, i == tree ? "\" aria-current=\"page\">" : "\">");
		tine_out_html(out, look->keys[i]);
		tine_out_add(out, "</a></li>\n");
	}
	tine_out_add(out, "</ul></nav>\n");
}

static void add_banner(struct tine_out *out, const struct tine_look *look, int tree)
{
	tine_out_add(out, "<a class=\"skip\" href=\"#main\">Skip to the content</a>\n<header>\n"
			  "<p class=\"brand\"><img src=\"icon.svg\" alt=\"\" width=\"20\" "
			  "height=\"20\">tine</p>\n");
	if (look->forest->trees_count > 1 || tree < 0)
		add_trees(out, look, tree);
	tine_out_add(out, "<p id=\"live\" role=\"status\">as of when it was loaded</p>\n"
			  "<button id=\"pause\" type=\"button\" hidden>Pause</button>\n"
			  "</header>\n<main id=\"main\">\n");
}

void tine_page_table(struct tine_out *out, const struct tine_page_columns *columns)
{
	tine_out_format(out,
			"<div class=\"scroll\" tabindex=\"0\" role=\"region\" "
			"aria-labelledby=\"%s-title\"><table id=\"%s\"><thead><tr>",
			columns->id, columns->id);
	for (const char *const *name = columns->names; *name; name++) {
		const char *class = "";

		if (**name == '#')
			class = " class=\"n\"";
		else if (**name == '-')
			class = " class=\"minor\"";
		else if (**name == '+')
			class = " class=\"n minor\"";
		tine_out_format(out, "<th scope=\"col\"%s>%s</th>", class,
				*name + (*class != '\0'));
	}
	tine_out_add(out, "</tr></thead><tbody>\n");
}

void tine_page_table_end(struct tine_out *out)
{
	tine_out_add(out, "</tbody></table></div>\n");
}

void tine_page_text(struct tine_out *out, const char *class, const char *text)
{
	tine_out_format(out, "<td%s%s%s>", *class ? " class=\"" : "", class, *class ? "\"" : "");
	tine_out_html(out, text);
	tine_out_add(out, "</td>");
}

void tine_page_number(struct tine_out *out, const char *class, int64_t number)
{
	tine_out_format(out, "<td class=\"n%s%s\">%lld</td>", *class ? " " : "", class,
			(long long)number);
}

void tine_page_age(struct tine_out *out, const char *class, int64_t age_ns)
{
	char text[TINE_WORDS_AGE_BYTES];

	tine_out_format(out, "<td class=\"n%s%s\">%s</td>", *class ? " " : "", class,
			tine_words_age(text, age_ns));
}

static void add_worker(struct tine_out *out, int worker, bool gone)
{
	if (worker)
		tine_out_format(out, "<td>w%d</td>", worker);
	else
		tine_page_text(out, "", gone ? "gone" : "-");
}

static void add_holder(struct tine_out *out, const struct tine_view *view, int member)
{
	add_worker(out, member >= 0 ? view->members[member].worker : 0, member < 0);
	if (member >= 0)
		tine_page_number(out, "", view->members[member].pid);
	else
		tine_page_text(out, "n", "-");
}

static void add_title(struct tine_out *out, const char *id, const char *title, const char *note)
{
	tine_out_format(out,
			"<section aria-labelledby=\"%s-title\">\n<h2 id=\"%s-title\">%s "
			"<small id=\"%s-note\">",
			id, id, title, id);
	tine_out_add(out, note);
	tine_out_add(out, "</small></h2>\n");
}

/* ---- what there is now ---------------------------------------------------------------------- */

static void add_tile(struct tine_out *out, const char *id, const char *name, int number, bool known)
{
	tine_out_format(out, "<div><dt>%s</dt><dd id=\"now-%s\">", name, id);
	if (known)
		tine_out_format(out, "%d</dd></div>\n", number);
	else
		tine_out_add(out, "none</dd></div>\n");
}

static int count_of(const struct tine_view *view, enum tine_seat_state state)
{
	int count = 0;

	for (int i = 0; i < view->seats_count; i++)
		count += view->seats[i].state == state;
	return count;
}

static void add_title_of_tree(struct tine_out *out, const struct tine_view *view)
{
	char age[TINE_WORDS_AGE_BYTES], user[40];
	int living = tine_view_living(view);

	tine_words_user(user, sizeof(user), view->owner);
	tine_out_add(out, "<h1>");
	tine_out_html(out, view->label);
	tine_out_add(out, " <small>");
	if (view->old) {
		tine_out_add(out, "left from before this machine was started");
	} else {
		tine_out_format(out, "<span id=\"living\">%d process%s</span> of ", living,
				living == 1 ? "" : "es");
		tine_out_html(out, user);
		tine_out_format(out, ", up <span id=\"age\">%s</span>",
				tine_words_age(age, view->age_ns));
	}
	tine_out_add(out, "</small></h1>\n");
}

static void add_outages(struct tine_out *out, const struct tine_view *view)
{
	char age[TINE_WORDS_AGE_BYTES], next[TINE_WORDS_AGE_BYTES];

	tine_out_add(out, "<div id=\"outages\" role=\"alert\">\n");
	for (int i = 0; i < view->targets_count; i++) {
		const struct tine_view_target *target = &view->targets[i];

		if (!target->status)
			continue;
		tine_out_format(out,
				"<p class=\"outage\"><strong>Outage</strong> of target %d for "
				"%s, %u failures, next try in %s: %s%s%s",
				target->number, tine_words_age(age, target->age_ns),
				target->failures, tine_words_age(next, target->next_in_ns),
				*target->sqlstate ? "SQLSTATE " : "", target->sqlstate,
				*target->sqlstate ? ": " : "");
		tine_out_html(out, target->text);
		tine_out_add(out, "</p>\n");
	}
	tine_out_add(out, "</div>\n");
}

static void add_now(struct tine_out *out, const struct tine_view *view)
{
	tine_out_add(out, "<section aria-label=\"Now\"><dl class=\"tiles\">\n");
	add_tile(out, "budget", "Budget", view->budget, view->budget != 0);
	add_tile(out, "held", "Held", view->held, true);
	add_tile(out, "busy", "Busy", count_of(view, TINE_SEAT_BUSY), true);
	add_tile(out, "idle", "Idle", count_of(view, TINE_SEAT_IDLE), true);
	add_tile(out, "waiting", "Waiting", view->waiters_count, true);
	add_tile(out, "ending", "Ending", view->limbo, true);
	add_tile(out, "connects", "Connecting", view->tokens, true);
	add_tile(out, "share", "Fair share", view->fair_share, view->fair_share != 0);
	tine_out_add(out, "</dl></section>\n");
}

/* ---- processes and connections -------------------------------------------------------------- */

static void add_member(struct tine_out *out, const struct tine_view *view, int index)
{
	const struct tine_view_member *member = &view->members[index];

	tine_out_add(out, member->life == TINE_VIEW_DEAD ? "<tr class=\"alarm\">" : "<tr>");
	add_worker(out, member->worker, false);
	tine_page_number(out, "", member->pid);
	tine_page_text(out, "", tine_words_life(member->life));
	tine_page_text(out, "", member->command);
	tine_page_text(out, "minor", member->application);
	tine_page_number(out, "", member->held);
	tine_page_number(out, "", member->busy);
	tine_page_number(out, "", member->idle);
	tine_page_number(out, "", member->waiting);
	tine_page_number(out, "minor", member->opened);
	tine_page_number(out, "minor", member->failed);
	tine_page_number(out, "minor",
			 member->closed[TINE_CAUSE_DEAD] + member->closed[TINE_CAUSE_LOST]);
	tine_page_number(out, "minor", member->timeouts);
	tine_page_age(out, "", member->age_ns);
	tine_out_add(out, "</tr>\n");
}

static void add_members(struct tine_out *out, const struct tine_view *view)
{
	static const struct tine_page_columns columns = {
		"processes",
		{ "Worker", "#Pid", "Life", "Command", "-Application", "#Held", "#Busy", "#Idle",
		  "#Waiting", "+Connects", "+Failed", "+Died", "+Timeouts", "#Age" },
	};

	add_title(out, "processes", "Processes", "");
	tine_page_table(out, &columns);
	for (int i = 0; i < view->members_count; i++)
		add_member(out, view, i);
	tine_page_table_end(out);
	tine_out_add(out, "</section>\n");
}

static void add_seat(struct tine_out *out, const struct tine_view *view,
		     const struct tine_view_seat *seat)
{
	tine_out_add(out, seat->transaction == TINE_SEAT_ABORTED ? "<tr class=\"alarm\">" : "<tr>");
	add_holder(out, view, seat->member);
	tine_page_text(out, tine_words_state(seat->state), tine_words_state(seat->state));
	tine_page_age(out, "", seat->since_ns);
	tine_page_text(out, "", tine_words_transaction(seat->transaction));
	tine_page_text(out, "", seat->label);
	tine_page_age(out, "", seat->age_ns);
	tine_page_number(out, "minor", seat->uses);
	tine_page_number(out, "minor", seat->backend_pid);
	tine_page_number(out, "minor", seat->permit);
	tine_out_add(out, "</tr>\n");
}

static void add_seats(struct tine_out *out, const struct tine_view *view)
{
	static const struct tine_page_columns columns = {
		"connections",
		{ "Holder", "#Pid", "State", "#Since", "Transaction", "Label", "#Age", "+Uses",
		  "+Backend", "+Permit" },
	};
	struct tine_order order = { .key = TINE_ORDER_BUSY };
	int *indexes = calloc((size_t)view->seats_count + 1, sizeof(*indexes));
	int count = indexes ? tine_order_seats(&order, view, indexes) : 0;

	out->no_memory |= !indexes;
	add_title(out, "connections", "Connections",
		  count > ROWS_MAX ? "the first 200, longest busy first" : "longest busy first");
	tine_page_table(out, &columns);
	for (int i = 0; i < count && i < ROWS_MAX; i++)
		add_seat(out, view, &view->seats[indexes[i]]);
	tine_page_table_end(out);
	tine_out_add(out, "</section>\n");
	free(indexes);
}

static void add_waiters(struct tine_out *out, const struct tine_view *view)
{
	static const struct tine_page_columns columns = {
		"queue", { "#Place", "Worker", "#Pid", "#Since", "Called" }
	};

	add_title(out, "queue", "Queue", "who waits, longest first");
	tine_page_table(out, &columns);
	for (int i = 0; i < view->waiters_count && i < ROWS_MAX; i++) {
		const struct tine_view_waiter *waiter = &view->waiters[i];

		tine_out_add(out, "<tr>");
		tine_page_number(out, "", i + 1);
		add_holder(out, view, waiter->member);
		tine_page_age(out, "", waiter->since_ns);
		tine_page_text(out, "", waiter->called ? "yes" : "no");
		tine_out_add(out, "</tr>\n");
	}
	tine_page_table_end(out);
	tine_out_add(out, "</section>\n");
}

/* ---- what happened -------------------------------------------------------------------------- */

/* A bar of so many hundredths; a style attribute is what the policy forbids. */
static void add_bar(struct tine_out *out, const char *class, int64_t number, int64_t most)
{
	tine_out_format(out,
			"<td class=\"bar\"><svg class=\"%s\" aria-hidden=\"true\" "
			"width=\"100%%\" height=\"10\"><rect width=\"%.1f%%\" height=\"10\" "
			"rx=\"2\"></rect></svg></td>",
			class, most ? 100.0 * (double)number / (double)most : 0.0);
}

static int64_t most_of(const int64_t numbers[], int count)
{
	int64_t most = 0;

	for (int i = 0; i < count; i++)
		most = numbers[i] > most ? numbers[i] : most;
	return most;
}

static void add_waits(struct tine_out *out, const int64_t wait[TINE_VIEW_BUCKETS])
{
	static const struct tine_page_columns columns = { "waits",
							  { "#Under", "#Count", "Share" } };
	int64_t most = most_of(wait, TINE_VIEW_BUCKETS);

	add_title(out, "waits", "Waits", "acquires that could not be served at once");
	tine_page_table(out, &columns);
	for (int i = 0; i < TINE_VIEW_BUCKETS; i++) {
		if (!wait[i])
			continue;
		tine_out_add(out, "<tr>");
		if (i < FIRST_MS_BUCKET)
			tine_out_format(out, "<td class=\"n\">%dus</td>", 1 << i);
		else
			tine_page_age(out, "", (INT64_C(1) << i) * TINE_NS_PER_US);
		tine_page_number(out, "", wait[i]);
		add_bar(out, "wait", wait[i], most);
		tine_out_add(out, "</tr>\n");
	}
	tine_page_table_end(out);
	tine_out_add(out, "</section>\n");
}

static void add_closed(struct tine_out *out, const int64_t closed[TINE_VIEW_CAUSES])
{
	static const struct tine_page_columns columns = { "closed",
							  { "Cause", "#Count", "Share" } };
	int64_t most = most_of(closed, TINE_VIEW_CAUSES);

	add_title(out, "closed", "Ends of connections", "by cause");
	tine_page_table(out, &columns);
	for (int i = 0; i < TINE_CAUSE_COUNT && i < TINE_VIEW_CAUSES; i++) {
		bool died = i == TINE_CAUSE_DEAD || i == TINE_CAUSE_LOST;

		if (!closed[i])
			continue;
		tine_out_add(out, "<tr>");
		tine_page_text(out, "", tine_cause_name(i));
		tine_page_number(out, "", closed[i]);
		add_bar(out, died ? "death" : "end", closed[i], most);
		tine_out_add(out, "</tr>\n");
	}
	tine_page_table_end(out);
	tine_out_add(out, "</section>\n");
}

static void add_events(struct tine_out *out, const struct tine_view *view)
{
	static const struct tine_page_columns columns = {
		"events", { "#Ago", "Worker", "#Pid", "Event", "Detail" }
	};
	char detail[TINE_WORDS_DETAIL_BYTES];

	add_title(out, "events", "Recent events", "");
	tine_page_table(out, &columns);
	for (int i = 0; i < view->events_count && i < EVENTS_MAX; i++) {
		const struct tine_view_event *event = &view->events[i];

		tine_out_add(out, "<tr>");
		tine_page_age(out, "", event->age_ns);
		add_worker(out, event->worker, false);
		tine_page_number(out, "", event->pid);
		tine_page_text(out, tine_words_event(event->kind), tine_words_event(event->kind));
		tine_page_text(out, "", tine_words_detail(detail, event));
		tine_out_add(out, "</tr>\n");
	}
	tine_page_table_end(out);
	tine_out_add(out, "</section>\n");
}

/* ---- the whole ------------------------------------------------------------------------------ */

static void add_plots(struct tine_out *out)
{
	tine_out_add(out,
		     "<section id=\"plots\" aria-label=\"The past minutes\">\n"
		     "<noscript><p class=\"note\">The plots, and a page that keeps itself up to "
		     "date, need JavaScript. Everything else is below, as of now: "
		     "<a href=\"\">load it again</a>.</p></noscript>\n</section>\n");
}

static void add_tree(tine_web *web, const struct tine_look *look, int tree, struct tine_out *out)
{
	const struct tine_view *view = look->forest->trees[tree];
	int64_t wait[TINE_VIEW_BUCKETS], closed[TINE_VIEW_CAUSES];
	json_t *findings = tine_web_findings(web, look, tree);

	tine_words_sum(view, wait, closed);
	add_title_of_tree(out, view);
	add_outages(out, view);
	add_now(out, view);
	add_plots(out);
	add_members(out, view);
	add_seats(out, view);
	add_waiters(out, view);
	tine_out_add(out, "<div class=\"pair\">\n");
	add_waits(out, wait);
	add_closed(out, closed);
	tine_out_add(out, "</div>\n");
	add_title(out, "findings", "Findings of tine doctor", "");
	tine_page_findings(out, findings);
	tine_out_add(out, "</section>\n");
	add_events(out, view);
	json_decref(findings);
}

static void add_problems(struct tine_out *out, const struct tine_forest *forest)
{
	tine_out_add(out, "<ul id=\"problems\">\n");
	for (int i = 0; i < forest->problems_count; i++) {
		tine_out_add(out, "<li>not shown: ");
		tine_out_html(out, forest->problems[i].path);
		tine_out_add(out, ": ");
		tine_out_html(out, forest->problems[i].why);
		tine_out_add(out, "</li>\n");
	}
	tine_out_add(out, "</ul>\n");
}

static void add_nothing(struct tine_out *out, const struct tine_look *look)
{
	char places[256];

	tine_out_add(out, "<h1>No such process tree</h1>\n<p class=\"note\">");
	if (look->forest->trees_count) {
		tine_out_add(out, "It has ended, or never was. Above are those that there are.");
	} else {
		tine_out_add(out, "A tree is shown when one of its processes has a pool of libtine "
				  "with a budget or a name. Looked in ");
		tine_out_html(out, tine_forest_places(places, sizeof(places)));
		tine_out_add(out, ".");
	}
	tine_out_add(out, "</p>\n");
}

void tine_web_write_page(tine_web *web, const struct tine_look *look, int tree,
			 struct tine_out *out)
{
	add_head(out, tree >= 0 ? look->keys[tree] : NULL);
	tine_out_add(out, "<body data-tree=\"");
	tine_out_html(out, tree >= 0 ? look->keys[tree] : "");
	tine_out_add(out, "\">\n");
	add_banner(out, look, tree);
	if (tree >= 0)
		add_tree(web, look, tree, out);
	else
		add_nothing(out, look);
	add_problems(out, look->forest);
	tine_out_add(out, "</main>\n<footer><p><a href=\"json\">json</a> "
			  "<a href=\"metrics\">metrics</a> <a href=\"health\">health</a></p>\n"
			  "</footer>\n</body>\n</html>\n");
}
