/* SPDX-License-Identifier: PostgreSQL */
/*
 * Logging in to a host as a program would, by libpq, and what a round trip costs there.
 *
 * Locks: none. Fork: nothing to do.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "doctor/database.h"
#include "doctor/report.h"

#define SAMPLES_MAX 100
#define SAMPLING_NS TINE_NS_PER_S /* enough for a p99 nearby, a bound for one far away */

static int64_t since_us(int64_t began_ns)
{
	return (tine_clock_ns() - began_ns) / TINE_NS_PER_US;
}

struct tine_session *tine_host_session(const struct tine_database *database,
				       const struct tine_examined *host,
				       const struct tine_parameter *parameters, tine_error *error)
{
	return tine_session_open(&database->dsn, host->host, host->hostaddr, parameters,
				 database->timeout_ms, error);
}

/* ---- round trips ---------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;

	return left < right ? -1 : left > right;
}

/* The smallest sample that so many percent are not above. */
static int64_t quantile(const int64_t *sorted, int count, int percent)
{
	int rank = (count * percent + 99) / 100;

	return sorted[rank > 0 ? rank - 1 : 0];
}

static int sample(struct tine_examined *host, int64_t *samples, tine_error *error)
{
	int64_t end_ns = tine_clock_ns() + SAMPLING_NS;
	int count = 0;

	while (count < SAMPLES_MAX && tine_clock_ns() < end_ns) {
		int64_t began_ns = tine_clock_ns();

		/* An empty query: the network and the server's loop, and no work. */
		if (tine_session_query(host->session, "", TINE_SESSION_USUAL_MS, NULL, error) < 0)
			return -1;
		samples[count++] = since_us(began_ns);
	}
	return count;
}

static void measure(struct tine_database *database, struct tine_examined *host)
{
	int64_t samples[SAMPLES_MAX], began_ns = tine_clock_ns();
	tine_error error;
	int count;

	if (tine_session_query(host->session, "select 1", TINE_SESSION_USUAL_MS, NULL, &error) <
	    0) {
		tine_database_unanswered(database, host->label, "first query", &error);
		return;
	}
	host->first_query_us = since_us(began_ns);
	count = sample(host, samples, &error);
	if (count <= 0) {
		tine_database_unanswered(database, host->label, "round trips", &error);
		return;
	}
	qsort(samples, (size_t)count, sizeof(samples[0]), compare);
	host->samples = count;
	host->p50_us = quantile(samples, count, 50);
	host->p99_us = quantile(samples, count, 99);
	json_object_set_new(host->facts, "first_query_ms",
			    json_real((double)host->first_query_us / 1e3));
	json_object_set_new(host->facts, "round_trip",
			    json_pack("{s:i, s:I, s:I}", "samples", count, "p50_us",
				      (json_int_t)host->p50_us, "p99_us",
				      (json_int_t)host->p99_us));
	tine_grade_speed(database, host);
}

/* ---- the host's role ------------------------------------------------------------------------ */

static enum tine_answer answer(const char *text)
{
	return *text == 't' || strcmp(text, "on") == 0 ? TINE_YES : *text ? TINE_NO : TINE_UNKNOWN;
}

static const char *yes_or_no(enum tine_answer answer)
{
	return answer == TINE_YES ? "yes" : answer == TINE_NO ? "no" : "unknown";
}

static void ask_role(struct tine_database *database, struct tine_examined *host)
{
	struct tine_rows rows;
	tine_error error;

	if (tine_session_query(host->session,
			       "select pg_catalog.pg_is_in_recovery(), "
			       "pg_catalog.current_setting('transaction_read_only'), "
			       "pg_catalog.pg_postmaster_start_time()",
			       TINE_SESSION_USUAL_MS, &rows, &error) < 0) {
		tine_database_unanswered(database, host->label, "the server's role", &error);
		return;
	}
	host->in_recovery = answer(tine_rows_text(&rows, 0, 0));
	host->is_read_only = answer(tine_rows_text(&rows, 0, 1));
	snprintf(host->started, sizeof(host->started), "%s", tine_rows_text(&rows, 0, 2));
	tine_rows_done(&rows);
	json_object_set_new(host->facts, "in_recovery",
			    tine_report_string(yes_or_no(host->in_recovery)));
	json_object_set_new(host->facts, "read_only",
			    tine_report_string(yes_or_no(host->is_read_only)));
}

void tine_host_login(struct tine_database *database, struct tine_examined *host)
{
	int64_t began_ns = tine_clock_ns();
	tine_error error;

	if (!host->chosen)
		return;
	host->session = tine_host_session(database, host, NULL, &error);
	host->login_us = since_us(began_ns);
	json_object_set_new(host->facts, "login_ms", json_real((double)host->login_us / 1e3));
	if (!host->session) {
		json_object_set_new(host->facts, "problem", tine_report_string(error.text));
		tine_grade_login_failure(database, host, &error);
		return;
	}
	measure(database, host);
	ask_role(database, host);
}
