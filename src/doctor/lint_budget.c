/* SPDX-License-Identifier: PostgreSQL */
/*
 * Processes times connections of each, against what there may be.
 *
 * During a reload or a deployment the old processes are still there when the new ones are, so twice
 * as many have to have room.
 *
 * Owns nothing. Locks, fork: nothing to do.
 */
#include "doctor/lint.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define OVERLAP 2
#define NUMBER_MAX 10000 /* those of a file may be any; three are multiplied */

struct sum {
	long long all;     /* what the pools can open */
	long long at_once; /* what the threads there are can use */
	bool unknown;      /* a number of processes is not known */
	bool cpus;         /* a number of processes is that of this machine's processors */
	char text[400];    /* "web 4 x (5 + 10)" */
};

static long long number(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);
	long long result = json_is_integer(value) ? json_integer_value(value) : -1;

	return result > NUMBER_MAX ? NUMBER_MAX : result;
}

static const char *text(const json_t *object, const char *key)
{
	const char *value = json_string_value(json_object_get(object, key));

	return value ? value : "";
}

static void add_text(struct sum *sum, const json_t *service)
{
	size_t length = strlen(sum->text);
	long long replicas = number(service, "replicas");
	char times[32] = "";

	if (replicas != 1)
		snprintf(times, sizeof(times), "%lld x ", replicas);
	snprintf(sum->text + length, sizeof(sum->text) - length, "%s%.60s %s%lld x %.80s",
		 length ? ", " : "", text(service, "name"), times, number(service, "workers"),
		 text(service, "sum"));
}

static void add_service(struct sum *sum, const json_t *service)
{
	long long workers = number(service, "workers"), replicas = number(service, "replicas");

	if (!json_is_true(json_object_get(service, "counts")))
		return;
	sum->cpus |= json_is_true(json_object_get(service, "cpus"));
	if (workers < 0 || replicas < 0) {
		sum->unknown = true;
		return;
	}
	/* That is a finding of its own. */
	if (number(service, "each") < 0)
		return;
	sum->all += replicas * workers * number(service, "each");
	sum->at_once += replicas * workers * number(service, "at_once");
	add_text(sum, service);
}

/* ---- findings ------------------------------------------------------------------------------- */

static void keep_numbers(struct tine_finding *finding, const struct sum *sum, int limit)
{
	json_t *data = tine_finding_data(finding);

	json_object_set_new(data, "connections", json_integer(sum->all));
	json_object_set_new(data, "overlap", json_integer(sum->all * OVERLAP));
	json_object_set_new(data, "limit", limit ? json_integer(limit) : json_null());
}

static void compare(struct tine_report *report, const char *name, const struct sum *sum, int limit,
		    const char *whose)
{
	bool steady = sum->all > limit;
	struct tine_finding *finding =
		tine_report_add(report, steady ? "ceiling-above-limit" : "reload-above-limit", name,
				"%s: %lld connections, %lld during a reload; there may be %d "
				"(%s)",
				sum->text, sum->all, sum->all * OVERLAP, limit, whose);

	keep_numbers(finding, sum, limit);
	if (sum->at_once * OVERLAP <= limit) {
		tine_finding_set_grade(finding, TINE_GRADE_WARNING);
		tine_finding_set_change(finding,
					"The threads there are use %lld at once: let pool_size and "
					"max_overflow come to that.",
					sum->at_once);
	}
}

static void judge(struct tine_report *report, const json_t *deployment, int limit,
		  const char *whose)
{
	const char *name = text(deployment, "name");
	struct sum sum = { 0 };
	const json_t *services = json_object_get(deployment, "services");

	for (size_t i = 0; i < json_array_size(services); i++) {
		const json_t *service = json_array_get(services, i);

		add_service(&sum, service);
		if (json_is_true(json_object_get(service, "counts")) && number(service, "each") < 0)
			tine_report_add(report, "pool-unlimited", text(service, "where"), "%s: %s",
					text(service, "name"), text(service, "sum"));
	}
	if (sum.unknown)
		tine_report_add(report, "workers-unknown", name,
				"a number of processes comes from outside of the project");
	if (!sum.all)
		return;
	if (limit && sum.all * OVERLAP > limit)
		compare(report, name, &sum, limit, whose);
	else
		keep_numbers(tine_report_add(report, "ceiling", name,
					     "%s%s: %lld connections, %lld during a reload%s",
					     sum.text,
					     sum.cpus ? " (by this machine's processors)" : "",
					     sum.all, sum.all * OVERLAP,
					     limit ? "" : "; --budget compares them with a limit"),
			     &sum, limit);
}

void tine_lint_budget(struct tine_report *report, const json_t *deployments, int limit,
		      const char *whose)
{
	for (size_t i = 0; i < json_array_size(deployments); i++)
		judge(report, json_array_get(deployments, i), limit, whose);
}
