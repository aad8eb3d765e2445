/* SPDX-License-Identifier: PostgreSQL */
/*
 * The parts of the examination of live processes: each looks at a scene and adds its findings.
 *
 * Locks: none. Fork: nothing to do.
 */
#ifndef TINE_DOCTOR_LIVE_H
#define TINE_DOCTOR_LIVE_H

#include "doctor/backend.h"
#include "doctor/doctor.h"
#include "doctor/library.h"
#include "doctor/report.h"
#include "doctor/scene.h"

/* What is known of one process of the tree that has to do with PostgreSQL. */
struct tine_patient {
	const struct tine_process *process;
	struct tine_image image;
	bool image_known, image_borrowed; /* borrowed: that of another copy of the program */
	size_t copies; /* children that were forked from it without exec: it is a master */
	size_t connections;
	size_t closed; /* of them, by the other end */
	bool shares;   /* one of them is shared */
};

struct tine_patients {
	struct tine_patient *items;
	size_t count;
};

/** Those who hold a connection, their masters and their copies. Freed with tine_patients_free(). */
void tine_patients_find(const struct tine_scene *scene, struct tine_patients *ret_patients);
void tine_patients_free(struct tine_patients *patients);
struct tine_patient *tine_patients_get(const struct tine_patients *patients,
				       const struct tine_process *process);

/** Connections that are held by more than one process, orphaned, leaked. Marks those it has
 * reported. */
void tine_live_sharing(struct tine_report *report, struct tine_scene *scene,
		       const struct tine_doctor_options *options);

/** Masters, threads, the guard, connections that the server ended. */
void tine_live_masters(struct tine_report *report, const struct tine_scene *scene,
		       const struct tine_patients *patients);

/** Copies of libpq and OpenSSL and their flaws. */
void tine_live_libraries(struct tine_report *report, const struct tine_patients *patients);

/** How many connections there are, and how many there may be. */
void tine_live_budget(struct tine_report *report, const struct tine_scene *scene, int budget,
		      const struct tine_capacity *capacity);

/** All connections and patients, for --json. */
void tine_live_facts(json_t *facts, const struct tine_scene *scene,
		     const struct tine_patients *patients);

/** One connection with its holders. @return new reference */
json_t *tine_live_connection_json(const struct tine_scene *scene,
				  const struct tine_connection *connection);

/** A process's command line, its words quoted for a shell and passwords out of it.
 *  @return false when it cannot be read or the program has put a title in its place */
bool tine_live_command(const struct tine_scene *scene, const struct tine_process *process,
		       char *text, size_t size);

/** "2 connections", "1 connection": the word with an s where it belongs. */
#define TINE_PLURAL(count) ((count) == 1 ? "" : "s")

#endif
