/* SPDX-License-Identifier: PostgreSQL */
/*
 * Findings about single processes: masters with connections or threads, the guard, and connections
 * that are dead already.
 *
 * Owns nothing. Locks: none. Fork: nothing to do.
 */
#include <stdio.h>

#include "doctor/live.h"

static const char *place(const struct tine_process *process, char *text, size_t size)
{
	snprintf(text, size, "pid %d (%s)", process->pid, process->name);
	return text;
}

static bool has_library(const struct tine_image *image)
{
	for (int i = 0; i < image->count; i++)
		if (image->libraries[i].kind != TINE_LIBRARY_GUARD)
			return true;
	return false;
}

static void look_at_master(struct tine_report *report, const struct tine_patient *patient)
{
	const struct tine_process *process = patient->process;
	char where[96];

	place(process, where, sizeof(where));
	/* Those that are shared already have a finding of their own. */
	if (patient->connections && !patient->shares && !patient->image.guard_live)
		tine_report_add(report, "master-connection", where,
				"%zu PostgreSQL connection%s in a process that has forked %zu "
				"cop%s of itself.",
				patient->connections, TINE_PLURAL(patient->connections),
				patient->copies, patient->copies == 1 ? "y" : "ies");
	if (process->threads > 1 && patient->image_known && has_library(&patient->image))
		tine_report_add(report, "threads-at-fork", where,
				"%d threads in a process that has forked %zu cop%s of itself, with "
				"libpq or OpenSSL loaded.",
				process->threads, patient->copies,
				patient->copies == 1 ? "y" : "ies");
}

/* Also one without a connection of its own, as a master that executes its workers: it is looked at
 * for this question alone. */
static bool is_guarded(const struct tine_scene *scene, const struct tine_patients *patients,
		       const struct tine_process *process)
{
	const struct tine_patient *patient = tine_patients_get(patients, process);
	struct tine_image image;
	bool is_live;

	if (patient && patient->image_known)
		return patient->image.guard_live;
	if (tine_image_read(&scene->procs, process, &image) < 0)
		return false;
	is_live = image.guard_live;
	tine_image_done(&image);
	return is_live;
}

static const struct tine_process *parent_of(const struct tine_scene *scene,
					     const struct tine_process *process)
{
	return process->parent ? tine_procs_find(&scene->procs, process->parent) : NULL;
}

/* What was found above a process: the workers of one master have one answer. */
struct ancestry {
	const struct tine_process *parent;
	bool is_guarded;
};

static bool has_guarded_ancestor(const struct tine_scene *scene,
				 const struct tine_patients *patients,
				 const struct tine_process *process, struct ancestry *last)
{
	const struct tine_process *above = parent_of(scene, process);

	if (!above || above == last->parent)
		return above && last->is_guarded;
	*last = (struct ancestry){ .parent = above };
	for (size_t steps = 0; above && steps < scene->procs.count && !last->is_guarded; steps++) {
		last->is_guarded = is_guarded(scene, patients, above);
		above = parent_of(scene, above);
	}
	return last->is_guarded;
}

static void look_at_guard(struct tine_report *report, const struct tine_scene *scene,
			  const struct tine_patients *patients, const struct tine_patient *patient,
			  struct ancestry *last)
{
	char where[96];

	if (!patient->image_known || patient->image.guard_live)
		return;
	place(patient->process, where, sizeof(where));
	if (patient->image.guard_mapped)
		tine_report_add(report, "guard-not-live", where,
				"libtine-preload.so is mapped, but has set up no mark that a fork "
				"would be noticed by.");
	else if (patient->image.guard_wanted)
		tine_report_add(report, "guard-not-loaded", where,
				"LD_PRELOAD names libtine-preload.so, which is not in the "
				"process's memory.");
	else if (has_guarded_ancestor(scene, patients, patient->process, last))
		tine_report_add(report, "guard-lost", where,
				"It uses PostgreSQL and is not guarded, while an ancestor is.");
}

void tine_live_masters(struct tine_report *report, const struct tine_scene *scene,
		       const struct tine_patients *patients)
{
	struct ancestry last = { 0 };
	char where[96];

	for (size_t i = 0; i < patients->count; i++) {
		const struct tine_patient *patient = &patients->items[i];

		if (patient->copies)
			look_at_master(report, patient);
		look_at_guard(report, scene, patients, patient, &last);
		if (patient->closed)
			tine_report_add(report, "closed-by-server",
					place(patient->process, where, sizeof(where)),
					"%zu of %zu connections were ended by the other side and "
					"are still held.",
					patient->closed, patient->connections);
	}
}
