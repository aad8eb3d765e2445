/* SPDX-License-Identifier: PostgreSQL */
/*
 * When is an idle connection dropped, and how? Several are held, without keepalives of ours. Each
 * is watched: FIN and RST are seen when they come. What drops a connection without a word is found
 * only by using it, which makes it busy; so each is used once, one after the other, the last one
 * when the time is over. Between the last that answered and the first that did not is the limit.
 *
 * Owns the sessions and a duplicate of each socket, which still tells how TCP ended when libpq has
 * closed its own. Locks: none. Fork: nothing to do.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "doctor/database.h"
#include "doctor/report.h"

#define PROBES_MAX 8
#define TICK_MS 200

enum state { IDLE, ANSWERED, CLOSED, UNANSWERED };

struct probe {
	struct tine_session *session;
	int fd; /* the duplicate */
	enum state state;
	int64_t began_ns, ask_ns;
	double seconds;   /* idle, when it came to its end */
	int tcp_state;    /* at the end; 0 when there is no TCP */
	tine_error error; /* what the server said last */
};

struct probes {
	struct probe items[PROBES_MAX];
	int count;
	int64_t began_ns;
	int total_s;
	bool has_terminal;
};

/* ---- one connection ------------------------------------------------------------------------- */

static bool open_probe(struct tine_database *database, struct tine_examined *host,
		       struct probe *probe, tine_error *error)
{
	const struct tine_parameter quiet[] = { { "keepalives", "0" },
						{ "tcp_user_timeout", "0" },
						{ 0 } };

	*probe = (struct probe){ .fd = -1 };
	probe->session = tine_host_session(database, host, quiet, error);
	if (!probe->session)
		return false;
	probe->fd = fcntl(tine_session_socket(probe->session), F_DUPFD_CLOEXEC, 3);
	probe->began_ns = tine_clock_ns();
	return true;
}

static int tcp_state(const struct probe *probe)
{
	struct tcp_info info;
	socklen_t length = sizeof(info);

	return getsockopt(probe->fd, IPPROTO_TCP, TCP_INFO, &info, &length) == 0 ? info.tcpi_state
										 : 0;
}

static void end(struct probe *probe, enum state state)
{
	probe->state = state;
	probe->seconds = (double)(tine_clock_ns() - probe->began_ns) / TINE_NS_PER_S;
	probe->tcp_state = tcp_state(probe);
}

static void ask(struct probe *probe)
{
	tine_error error;
	double seconds = (double)(tine_clock_ns() - probe->began_ns) / TINE_NS_PER_S;

	if (tine_session_query(probe->session, "", TINE_SESSION_QUERY_MS, NULL, &error) == 0)
		end(probe, ANSWERED);
	else
		end(probe, UNANSWERED);
	/* It was idle until it was asked, however long the answer took. */
	probe->seconds = seconds;
}

/* Something came. */
static void listen_to(struct probe *probe)
{
	tine_error said = { 0 };
	bool is_there = tine_session_listen(probe->session, &said);

	if (said.sqlstate[0])
		probe->error = said;
	if (!is_there)
		end(probe, CLOSED);
}

/* ---- all of them ---------------------------------------------------------------------------- */

static void show_progress(const struct probes *probes)
{
	int alive = 0;

	if (!probes->has_terminal)
		return;
	for (int i = 0; i < probes->count; i++)
		alive += probes->items[i].state == IDLE || probes->items[i].state == ANSWERED;
	fprintf(stderr, "\r\033[Kidle for %lld of %d s: %d of %d connections there",
		(long long)((tine_clock_ns() - probes->began_ns) / TINE_NS_PER_S), probes->total_s,
		alive, probes->count);
	fflush(stderr);
}

static void clear_progress(const struct probes *probes)
{
	if (probes->has_terminal)
		fputs("\r\033[K", stderr);
}

/* Waits until something comes or one is to be asked. */
static void wait_for_all(struct probes *probes)
{
	struct pollfd slots[PROBES_MAX];
	int64_t now_ns = tine_clock_ns(), until_ns = now_ns + (int64_t)TICK_MS * TINE_NS_PER_MS;

	for (int i = 0; i < probes->count; i++) {
		struct probe *probe = &probes->items[i];
		bool is_idle = probe->state == IDLE;

		slots[i] =
			(struct pollfd){ .fd = is_idle ? tine_session_socket(probe->session) : -1,
					 .events = POLLIN | POLLRDHUP };
		if (is_idle && probe->ask_ns < until_ns)
			until_ns = probe->ask_ns;
	}
	if (poll(slots, (nfds_t)probes->count, tine_clock_poll_ms(until_ns, now_ns)) <= 0)
		return;
	for (int i = 0; i < probes->count; i++)
		if (slots[i].fd >= 0 && slots[i].revents)
			listen_to(&probes->items[i]);
}

static bool is_over(const struct probes *probes)
{
	bool is_idle = false;

	for (int i = 0; i < probes->count; i++) {
		is_idle |= probes->items[i].state == IDLE;
		/* The others were dropped before it. */
		if (probes->items[i].state == UNANSWERED)
			return true;
	}
	return !is_idle;
}

/* One at a time: when it does not answer, the others need not be asked. */
static void ask_next(struct probes *probes)
{
	for (int i = 0; i < probes->count; i++)
		if (probes->items[i].state == IDLE && tine_clock_ns() >= probes->items[i].ask_ns) {
			ask(&probes->items[i]);
			return;
		}
}

static void watch(struct probes *probes)
{
	for (int i = 0; i < probes->count; i++)
		probes->items[i].ask_ns =
			probes->items[i].began_ns +
			(int64_t)probes->total_s * TINE_NS_PER_S * (i + 1) / probes->count;
	while (!is_over(probes)) {
		show_progress(probes);
		wait_for_all(probes);
		ask_next(probes);
	}
	clear_progress(probes);
}

/* ---- what it means -------------------------------------------------------------------------- */

static const struct probe *earliest(const struct probes *probes, enum state state)
{
	const struct probe *found = NULL;

	for (int i = 0; i < probes->count; i++)
		if (probes->items[i].state == state &&
		    (!found || probes->items[i].seconds < found->seconds))
			found = &probes->items[i];
	return found;
}

static double longest_answered(const struct probes *probes)
{
	double seconds = 0;

	for (int i = 0; i < probes->count; i++)
		if (probes->items[i].state == ANSWERED && probes->items[i].seconds > seconds)
			seconds = probes->items[i].seconds;
	return seconds;
}

static const char *how(const struct probe *probe)
{
	if (probe->tcp_state == TCP_CLOSE)
		return "RST";
	return probe->state == CLOSED || probe->tcp_state == TCP_CLOSE_WAIT ? "FIN" : "silence";
}

static void advise(struct tine_finding *finding, double limit_s)
{
	int recycle_s = limit_s * 0.8 < 1 ? 1 : (int)(limit_s * 0.8);

	tine_finding_add_line(finding, "create_engine(..., pool_recycle=%d, pool_pre_ping=True)",
			      recycle_s);
}

static void grade_closed(struct tine_database *database, const struct tine_examined *host,
			 const struct probe *probe)
{
	struct tine_finding *finding =
		tine_report_add(database->report, "idle-dropped", host->label,
				"a connection was closed by %s after %.1f s idle%s%s%s%s%s",
				how(probe), probe->seconds,
				probe->error.sqlstate[0] ? ", after the server said: " : "",
				probe->error.text, probe->error.sqlstate[0] ? " (SQLSTATE " : "",
				probe->error.sqlstate, probe->error.sqlstate[0] ? ")" : "");

	advise(finding, probe->seconds);
}

static void grade_unanswered(struct tine_database *database, const struct tine_examined *host,
			     const struct probes *probes, const struct probe *probe)
{
	double answered_s = longest_answered(probes);
	struct tine_finding *finding = tine_report_add(
		database->report, "idle-dropped-silently", host->label,
		"answered after %.1f s idle; after %.1f s a query was answered by %s", answered_s,
		probe->seconds, how(probe));

	advise(finding, answered_s);
	tine_finding_add_line(finding, "keepalives_idle=%d tcp_user_timeout=30000",
			      answered_s < 4    ? 2
			      : answered_s > 40 ? 20
						: (int)answered_s / 2);
}

static void grade(struct tine_database *database, const struct tine_examined *host,
		  const struct probes *probes)
{
	const struct probe *closed = earliest(probes, CLOSED);
	const struct probe *unanswered = earliest(probes, UNANSWERED);
	const struct probe *worst = unanswered ? unanswered : closed;

	json_object_set_new(tine_report_facts(database->report, "database"), "idle",
			    json_pack("{s:i, s:i, s:f, s:s, s:o}", "seconds", probes->total_s,
				      "connections", probes->count, "answered_after_s",
				      longest_answered(probes), "dropped_by",
				      worst ? how(worst) : "nothing", "dropped_after_s",
				      worst ? json_real(worst->seconds) : json_null()));
	if (unanswered)
		grade_unanswered(database, host, probes, unanswered);
	else if (closed)
		grade_closed(database, host, closed);
	else
		tine_report_add(database->report, "idle-survived", host->label,
				"idle: a connection answers after %.1f s",
				longest_answered(probes));
}

void tine_idle_probe(struct tine_database *database, struct tine_examined *host, int count)
{
	struct probes probes = { .total_s = database->options->probe_idle_s,
				 .has_terminal = isatty(STDERR_FILENO) };
	tine_error error;

	while (probes.count < count && probes.count < PROBES_MAX &&
	       open_probe(database, host, &probes.items[probes.count], &error))
		probes.count++;
	if (probes.count == 0) {
		tine_database_unanswered(database, host->label, "a connection to leave idle",
					 &error);
		return;
	}
	probes.began_ns = tine_clock_ns();
	watch(&probes);
	grade(database, host, &probes);
	for (int i = 0; i < probes.count; i++) {
		tine_session_close(probes.items[i].session);
		if (probes.items[i].fd >= 0)
			close(probes.items[i].fd);
	}
}
