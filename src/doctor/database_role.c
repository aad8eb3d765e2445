/* SPDX-License-Identifier: PostgreSQL */
/*
 * Which hosts can be written to, and whether the one that a program gets is what
 * target_session_attrs asks for.
 *
 * Locks: none. Fork: nothing to do.
 */
#include <stdio.h>
#include <string.h>

#include "doctor/database.h"
#include "doctor/report.h"

static const char *describe(const struct tine_examined *host)
{
	if (host->in_recovery == TINE_YES)
		return "standby";
	if (host->is_read_only == TINE_YES)
		return "primary, read-only";
	return host->in_recovery == TINE_NO ? "primary, read-write" : "of unknown role";
}

/* As libpq decides. What is not known is not held against a host. */
static bool suits(const struct tine_examined *host, const char *attrs)
{
	if (!host->session)
		return false;
	if (strcmp(attrs, "read-write") == 0)
		return host->in_recovery != TINE_YES && host->is_read_only != TINE_YES;
	if (strcmp(attrs, "read-only") == 0)
		return host->in_recovery == TINE_YES || host->is_read_only == TINE_YES;
	if (strcmp(attrs, "primary") == 0)
		return host->in_recovery != TINE_YES;
	if (strcmp(attrs, "standby") == 0)
		return host->in_recovery != TINE_NO;
	return true;
}

static struct tine_examined *choose(struct tine_database *database, const char *attrs)
{
	bool prefers = strcmp(attrs, "prefer-standby") == 0;

	for (int i = 0; i < database->host_count; i++)
		if (suits(&database->hosts[i], prefers ? "standby" : attrs))
			return &database->hosts[i];
	return prefers ? choose(database, "any") : NULL;
}

static int count_role(const struct tine_database *database, enum tine_answer in_recovery)
{
	int count = 0;

	for (int i = 0; i < database->host_count; i++)
		count +=
			database->hosts[i].session && database->hosts[i].in_recovery == in_recovery;
	return count;
}

/* Two names of one server are one primary. */
static const struct tine_examined *other_primary(const struct tine_database *database,
						 const struct tine_examined *first)
{
	for (int i = 0; i < database->host_count; i++) {
		const struct tine_examined *host = &database->hosts[i];

		if (host->session && host->in_recovery == TINE_NO && *host->started &&
		    strcmp(host->started, first->started) != 0)
			return host;
	}
	return NULL;
}

static void grade_primaries(struct tine_database *database)
{
	for (int i = 0; i < database->host_count; i++) {
		const struct tine_examined *host = &database->hosts[i], *other;

		if (!host->session || host->in_recovery != TINE_NO || !*host->started)
			continue;
		other = other_primary(database, host);
		if (other)
			tine_report_add(database->report, "several-primaries", host->label,
					"%s is a primary too, and not the same server",
					other->label);
		return;
	}
}

static void grade_role(struct tine_database *database, const struct tine_examined *host,
		       const char *attrs)
{
	bool is_asked_for = strcmp(attrs, "standby") == 0 || strcmp(attrs, "read-only") == 0 ||
			    strcmp(attrs, "prefer-standby") == 0;
	const char *code = "role";

	if (host->in_recovery == TINE_YES && !is_asked_for)
		code = "standby";
	else if (host->in_recovery == TINE_NO && host->is_read_only == TINE_YES && !is_asked_for)
		code = "read-only";
	tine_report_add(database->report, code, host->label, "role: %s; target_session_attrs is %s",
			describe(host), attrs);
}

static void note_others(struct tine_database *database, const struct tine_examined *chosen)
{
	for (int i = 0; i < database->host_count; i++) {
		const struct tine_examined *host = &database->hosts[i];

		if (host->session && host != chosen)
			tine_report_add(database->report, "role-other", host->label, "role: %s",
					describe(host));
	}
}

static void grade_unsuitable(struct tine_database *database, const char *attrs)
{
	for (int i = 0; i < database->host_count; i++)
		if (database->hosts[i].session)
			tine_report_add(database->report, "role-unsuitable",
					database->hosts[i].label,
					"%s, and target_session_attrs is %s",
					describe(&database->hosts[i]), attrs);
}

struct tine_examined *tine_grade_roles(struct tine_database *database)
{
	const char *attrs = tine_dsn_value(&database->dsn, "target_session_attrs");
	struct tine_examined *chosen;

	if (!*attrs)
		attrs = "any";
	chosen = choose(database, attrs);
	grade_primaries(database);
	if (!chosen) {
		grade_unsuitable(database, attrs);
		return NULL;
	}
	grade_role(database, chosen, attrs);
	note_others(database, chosen);
	if (strcmp(attrs, "any") == 0 && count_role(database, TINE_YES) &&
	    count_role(database, TINE_NO))
		tine_report_add(database->report, "roles-mixed", chosen->label,
				"%d primary and %d standby among the hosts, and "
				"target_session_attrs is any",
				count_role(database, TINE_NO), count_role(database, TINE_YES));
	return chosen;
}
