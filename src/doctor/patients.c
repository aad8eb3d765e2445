/* SPDX-License-Identifier: PostgreSQL */
/*
 * Which processes of a scene are looked at closely: reading the maps of ten thousand would take
 * seconds, and most have nothing to do with PostgreSQL.
 *
 * Owns the array of struct tine_patients. Locks: none. Fork: nothing to do.
 */
#include <err.h>
#include <netinet/tcp.h>
#include <stdlib.h>

#include "base/exit.h"
#include "doctor/live.h"

/* Of a program with more copies than this the others are taken to have loaded the same. */
#define COPIES_READ_MAX 32

enum relation { STRANGER, RELATED, HOLDER };

static bool is_copy_of(const struct tine_process *child, const struct tine_process *parent)
{
	return parent && parent->stack && parent->stack == child->stack;
}

static void mark_holders(const struct tine_scene *scene, unsigned char *relations)
{
	for (size_t i = 0; i < scene->connections_count; i++) {
		const struct tine_connection *connection = &scene->connections[i];

		for (size_t h = 0; connection->is_postgres && h < connection->holds_count; h++)
			relations[connection->holds[h].process] = HOLDER;
	}
}

/* A worker that has not connected yet, and the master of one that has. */
static void mark_relatives(const struct tine_scene *scene, unsigned char *relations)
{
	const struct tine_procs *procs = &scene->procs;

	for (size_t i = 0; i < procs->count; i++) {
		const struct tine_process *parent = tine_procs_find(procs, procs->items[i].parent);

		if (!is_copy_of(&procs->items[i], parent))
			continue;
		if (relations[i] == HOLDER && !relations[parent - procs->items])
			relations[parent - procs->items] = RELATED;
	}
	for (size_t i = 0; i < procs->count; i++) {
		const struct tine_process *parent = tine_procs_find(procs, procs->items[i].parent);

		if (is_copy_of(&procs->items[i], parent) && !relations[i] &&
		    relations[parent - procs->items])
			relations[i] = RELATED;
	}
}

static void count_copies(const struct tine_scene *scene, const struct tine_patients *patients)
{
	for (size_t i = 0; i < scene->procs.count; i++) {
		const struct tine_process *child = &scene->procs.items[i];
		const struct tine_process *parent = tine_procs_find(&scene->procs, child->parent);
		struct tine_patient *patient =
			is_copy_of(child, parent) ? tine_patients_get(patients, parent) : NULL;

		if (patient)
			patient->copies++;
	}
}

static void count_connections(const struct tine_scene *scene, const struct tine_patients *patients)
{
	for (size_t i = 0; i < scene->connections_count; i++) {
		const struct tine_connection *connection = &scene->connections[i];

		for (size_t h = 0; connection->is_postgres && h < connection->holds_count; h++) {
			struct tine_patient *patient =
				tine_patients_get(patients,
						  tine_scene_holder(scene, &connection->holds[h]));

			if (!patient ||
			    (h && connection->holds[h].process == connection->holds[h - 1].process))
				continue;
			patient->connections++;
			patient->closed += connection->socket->family != AF_UNIX &&
					   connection->socket->state == TCP_CLOSE_WAIT;
			patient->shares |= connection->sharing != TINE_SHARING_NONE;
		}
	}
}

/* Another copy of the same program, when so many were read already that one more tells nothing. */
static const struct tine_patient *read_copy(const struct tine_patients *patients,
					    const struct tine_process *process)
{
	const struct tine_patient *first = NULL;
	int copies = 0;

	for (size_t i = patients->count; process->stack && i-- > 0 && copies < COPIES_READ_MAX;) {
		const struct tine_patient *patient = &patients->items[i];

		if (!patient->image_known || patient->process->stack != process->stack)
			continue;
		if (patient->image_borrowed)
			return patient;
		first = patient;
		copies++;
	}
	return copies == COPIES_READ_MAX ? first : NULL;
}

static void add_patient(const struct tine_scene *scene, struct tine_patients *patients,
			const struct tine_process *process)
{
	struct tine_patient *patient = &patients->items[patients->count];
	const struct tine_patient *copy = read_copy(patients, process);

	*patient = (struct tine_patient){ .process = process };
	patients->count++;
	if (copy) {
		patient->image = copy->image;
		patient->image_known = patient->image_borrowed = true;
	} else if (tine_image_read(&scene->procs, process, &patient->image) == 0) {
		patient->image_known = true;
		tine_image_versions(&scene->procs, process, &patient->image);
	}
}

void tine_patients_find(const struct tine_scene *scene, struct tine_patients *ret_patients)
{
	const struct tine_procs *procs = &scene->procs;
	unsigned char *relations = calloc(procs->count + 1, 1);
	size_t count = 0;

	if (!relations)
		errx(TINE_EXIT_SYSTEM, "doctor: out of memory");
	mark_holders(scene, relations);
	mark_relatives(scene, relations);
	for (size_t i = 0; i < procs->count; i++)
		count += relations[i] && procs->items[i].in_tree;
	*ret_patients = (struct tine_patients){ calloc(count + 1, sizeof(struct tine_patient)), 0 };
	if (!ret_patients->items)
		errx(TINE_EXIT_SYSTEM, "doctor: out of memory");
	for (size_t i = 0; i < procs->count; i++)
		if (relations[i] && procs->items[i].in_tree)
			add_patient(scene, ret_patients, &procs->items[i]);
	free(relations);
	count_copies(scene, ret_patients);
	count_connections(scene, ret_patients);
}

void tine_patients_free(struct tine_patients *patients)
{
	for (size_t i = 0; i < patients->count; i++)
		if (!patients->items[i].image_borrowed)
			tine_image_done(&patients->items[i].image);
	free(patients->items);
}

static int by_process(const void *left, const void *right)
{
	const struct tine_patient *a = left, *b = right;

	return a->process < b->process ? -1 : a->process > b->process;
}

struct tine_patient *tine_patients_get(const struct tine_patients *patients,
				       const struct tine_process *process)
{
	const struct tine_patient key = { .process = process };

	if (!patients->count)
		return NULL;
	return bsearch(&key, patients->items, patients->count, sizeof(key), by_process);
}
