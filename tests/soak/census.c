/* SPDX-License-Identifier: PostgreSQL */
/*
 * Descriptors and memory: of the master and of the workers that live to the end, after a fifth of
 * the run and at its end.
 *
 * Locks: none. Fork: nothing to do.
 */
#include "soak.h"

#include <dirent.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>

/* An async acquire has three, a connection one, and each thread may have both. */
#define DESCRIPTOR_SLACK 12

int census_descriptors(pid_t pid)
{
	char path[48];
	int count = 0;
	DIR *folder;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	folder = opendir(path);
	if (!folder)
		return -1;
	while (readdir(folder))
		count++;
	closedir(folder);
	return count;
}

static int64_t rss_kib(pid_t pid)
{
	char path[48], line[256];
	long long kib = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return -1;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "RssAnon: %lld kB", &kib) == 1)
			break;
	fclose(file);
	return kib;
}

int64_t census_heap_bytes(void)
{
	struct mallinfo2 info = mallinfo2();

	return (int64_t)(info.uordblks + info.hblkhd);
}

static void keep_least(struct measure *measure, pid_t pid)
{
	struct measure now = { 1, rss_kib(pid), census_descriptors(pid) };

	if (now.rss_kib < 0 || now.descriptors < 0)
		return;
	if (!measure->samples || now.rss_kib < measure->rss_kib)
		measure->rss_kib = now.rss_kib;
	if (!measure->samples || now.descriptors < measure->descriptors)
		measure->descriptors = now.descriptors;
	measure->samples++;
}

static bool lives_to_the_end(const struct process *process)
{
	return atomic_load(&process->pid) > 0 &&
	       (process->role == MASTER ||
		(process->role == WORKER && process->number < options.workers / 2));
}

void census_take(void)
{
	double done =
		(double)(now_ns() - board->began_ns) / (double)(board->ends_ns - board->began_ns);

	for (int i = 0; i < PROCESSES; i++) {
		struct process *process = &board->processes[i];
		int at = process->role == MASTER ? 0 : 1 + process->number;

		if (!lives_to_the_end(process))
			continue;
		if (done >= 0.2 && done < 0.3)
			keep_least(&board->grown[at].early, atomic_load(&process->pid));
		else if (done >= 0.9 && done < 1)
			keep_least(&board->grown[at].late, atomic_load(&process->pid));
	}
}

static void judge_growth(const char *name, const struct measure *early, const struct measure *late)
{
	if (!early->samples || !late->samples)
		return;
	printf("%-22s descriptors %lld -> %lld, anonymous memory %lld -> %lld KiB\n", name,
	       (long long)early->descriptors, (long long)late->descriptors,
	       (long long)early->rss_kib, (long long)late->rss_kib);
	if (late->descriptors > early->descriptors + DESCRIPTOR_SLACK)
		report_failure("the descriptors of %s grew from %lld to %lld", name,
			       (long long)early->descriptors, (long long)late->descriptors);
	if (late->rss_kib > early->rss_kib + options.growth_kib)
		report_failure("the memory of %s grew from %lld to %lld KiB", name,
			       (long long)early->rss_kib, (long long)late->rss_kib);
}

void census_judge(void)
{
	char name[32] = "master";

	for (int i = 0; i <= options.workers; i++) {
		if (i > 0)
			snprintf(name, sizeof(name), "worker %d", i - 1);
		judge_growth(name, &board->grown[i].early, &board->grown[i].late);
	}
	fflush(stdout);
}
