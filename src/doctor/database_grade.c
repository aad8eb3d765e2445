/* SPDX-License-Identifier: PostgreSQL */
/*
 * Grades of a login that failed, of how fast a host is, and of what the connection string says
 * about a network that goes away.
 *
 * Locks: none. Fork: nothing to do.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor/database.h"
#include "doctor/report.h"

#define NAME_SLOW_US 500000
#define LOGIN_SLOW_US 1000000
#define ROUND_TRIP_SLOW_US 10000
#define UNEVEN_FACTOR 5
#define UNEVEN_LEAST_US 50000
#define KEEPALIVE_LATE_S 240 /* the shortest limit of a large provider's network */

/* ---- names ---------------------------------------------------------------------------------- */

void tine_grade_lookup(struct tine_database *database, const struct tine_examined *host,
		       int addresses, int64_t us)
{
	tine_report_add(database->report, us > NAME_SLOW_US ? "name-slow" : "name-resolved",
			host->label, "name: %d address%s in %.1f ms", addresses,
			addresses == 1 ? "" : "es", (double)us / 1e3);
}

/* ---- login ---------------------------------------------------------------------------------- */

void tine_grade_login_failure(struct tine_database *database, struct tine_examined *host,
			      const tine_error *error)
{
	const char *code =
		error->status == TINE_E_TOO_MANY ? "connections-exhausted" : "login-failed";
	struct tine_finding *finding =
		tine_report_add(database->report, code, host->label, "%s%s%s%s, after %.1f ms",
				error->text, *error->sqlstate ? " (SQLSTATE " : "", error->sqlstate,
				*error->sqlstate ? ")" : "", (double)host->login_us / 1e3);

	if (*error->sqlstate)
		json_object_set_new(tine_finding_data(finding), "sqlstate",
				    tine_report_string(error->sqlstate));
	if (error->status != TINE_E_TOO_MANY)
		tine_finding_set_change(finding, "%s", tine_status_advice(error->status));
}

/* ---- speed ---------------------------------------------------------------------------------- */

static void grade_login_time(struct tine_database *database, const struct tine_examined *host)
{
	bool is_slow = host->login_us > LOGIN_SLOW_US;

	tine_report_add(database->report, is_slow ? "login-slow" : "login", host->label,
			"login: in %.1f ms, first query in %.1f ms", (double)host->login_us / 1e3,
			(double)host->first_query_us / 1e3);
}

void tine_grade_speed(struct tine_database *database, struct tine_examined *host)
{
	bool is_slow = host->p50_us > ROUND_TRIP_SLOW_US;
	bool is_uneven = host->p99_us > UNEVEN_FACTOR * host->p50_us &&
			 host->p99_us - host->p50_us > UNEVEN_LEAST_US;

	grade_login_time(database, host);
	tine_report_add(database->report,
			is_uneven ? "round-trip-uneven"
			: is_slow ? "round-trip-slow"
				  : "round-trip",
			host->label, "round trip: p50 %.2f ms, p99 %.2f ms, of %d",
			(double)host->p50_us / 1e3, (double)host->p99_us / 1e3, host->samples);
}

/* ---- what the client says ------------------------------------------------------------------- */

static long long number(const struct tine_database *database, const char *keyword)
{
	return strtoll(tine_dsn_value(&database->dsn, keyword), NULL, 10);
}

static long long kernel_keepalive_s(void)
{
	FILE *file = fopen("/proc/sys/net/ipv4/tcp_keepalive_time", "re");
	char line[32];
	long long seconds = 7200;

	if (!file)
		return seconds;
	if (fgets(line, sizeof(line), file))
		seconds = strtoll(line, NULL, 10);
	fclose(file);
	return seconds;
}

static void soften(const struct tine_examined *host, struct tine_finding *finding)
{
	if (host->is_local)
		tine_finding_set_grade(finding, TINE_GRADE_NOTE);
}

static void grade_keepalives(struct tine_database *database, const struct tine_examined *host)
{
	long long idle_s = number(database, "keepalives_idle");
	const char *switched = tine_dsn_value(&database->dsn, "keepalives");
	struct tine_finding *finding;

	if (idle_s <= 0)
		idle_s = kernel_keepalive_s();
	if (*switched && strtol(switched, NULL, 10) == 0)
		finding = tine_report_add(database->report, "keepalives-late", host->label,
					  "keepalives=0 turns them off");
	else if (idle_s > KEEPALIVE_LATE_S)
		finding = tine_report_add(database->report, "keepalives-late", host->label,
					  "the first one is sent after %lld s of silence", idle_s);
	else
		return;
	tine_finding_add_line(finding,
			      "keepalives_idle=20 keepalives_interval=5 keepalives_count=3");
	soften(host, finding);
}

void tine_grade_client_settings(struct tine_database *database, const struct tine_examined *host)
{
	struct tine_finding *finding;

	if (host->host->is_socket)
		return;
	if (number(database, "connect_timeout") <= 0) {
		finding = tine_report_add(database->report, "connect-timeout-missing", host->label,
					  "connect_timeout is not set");
		tine_finding_add_line(finding, "connect_timeout=10");
	}
	grade_keepalives(database, host);
	if (number(database, "tcp_user_timeout") <= 0) {
		finding = tine_report_add(database->report, "send-timeout-missing", host->label,
					  "tcp_user_timeout is not set");
		tine_finding_add_line(finding, "tcp_user_timeout=30000");
	}
}
