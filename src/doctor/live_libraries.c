/* SPDX-License-Identifier: PostgreSQL */
/*
 * Findings about libpq and OpenSSL: one per file, with the processes that have it loaded.
 *
 * Owns nothing. Locks: none. Fork: nothing to do.
 */
#include <stdio.h>
#include <string.h>

#include "doctor/flaw.h"
#include "doctor/live.h"

#define PIDS_MAX 12

static const char *const names[] = { [TINE_LIBRARY_LIBPQ] = "libpq",
				     [TINE_LIBRARY_OPENSSL] = "OpenSSL",
				     [TINE_LIBRARY_GUARD] = "tine" };

static const struct tine_library *loaded(const struct tine_patient *patient,
					 const struct tine_library *library)
{
	for (int i = 0; i < patient->image.count; i++) {
		const struct tine_library *other = &patient->image.libraries[i];

		if (other->kind == library->kind && other->replaced == library->replaced &&
		    strcmp(other->version_text, library->version_text) == 0 &&
		    strcmp(other->path, library->path) == 0)
			return other;
	}
	return NULL;
}

/* "pids 1, 2 and 5 more" */
static void write_users(const struct tine_patients *patients, const struct tine_library *library,
			char *text, size_t size)
{
	FILE *out = fmemopen(text, size, "w");
	size_t count = 0;

	text[0] = '\0';
	for (size_t i = 0; out && i < patients->count; i++) {
		if (!loaded(&patients->items[i], library))
			continue;
		if (count < PIDS_MAX)
			fprintf(out, "%s%d", count ? ", " : "", patients->items[i].process->pid);
		count++;
	}
	if (out && count > PIDS_MAX)
		fprintf(out, " and %zu more", count - PIDS_MAX);
	if (out)
		fclose(out);
	text[size - 1] = '\0';
}

static void look_for_flaws(struct tine_report *report, const struct tine_library *library,
			   const char *users)
{
	struct tine_finding *finding = NULL;
	const struct tine_flaw *flaw;
	unsigned from = 0;

	while ((flaw = tine_flaw_next(library->kind, library->version, &from)) != NULL) {
		if (!finding)
			finding = tine_report_add(report, "library-flaw", library->path,
						  "%s %s, in pid %s.%s", names[library->kind],
						  library->version_text, users,
						  library->bundled
							  ? ""
							  : " It is the system's own: its "
							    "distribution may have mended it "
							    "without changing the version.");
		tine_finding_add_detail(finding, "%s: %s", flaw->name, flaw->what);
	}
	if (finding && !library->bundled)
		tine_finding_set_grade(finding, TINE_GRADE_NOTE);
}

static void look_at_library(struct tine_report *report, const struct tine_patients *patients,
			    const struct tine_library *library)
{
	char users[256];

	write_users(patients, library, users, sizeof(users));
	look_for_flaws(report, library, users);
	if (tine_flaw_is_unsupported(library->kind, library->version))
		tine_report_add(report, "library-unsupported", library->path, "%s %s, in pid %s.",
				names[library->kind], library->version_text, users);
	if (library->replaced)
		tine_report_add(report, "library-replaced", library->path,
				"It was removed or replaced after pid %s had loaded it.", users);
}

/* Several files of one kind. The master's children have the same: one finding for all. */
static void look_for_copies(struct tine_report *report, const struct tine_patients *patients,
			    const struct tine_patient *patient, enum tine_library_kind kind)
{
	const struct tine_library *found[2] = { NULL, NULL };
	char users[256];
	int count = 0;

	for (int i = 0; i < patient->image.count && count < 2; i++)
		if (patient->image.libraries[i].kind == kind)
			found[count++] = &patient->image.libraries[i];
	for (size_t i = 0; count == 2 && &patients->items[i] < patient; i++)
		if (loaded(&patients->items[i], found[0]) && loaded(&patients->items[i], found[1]))
			return;
	if (count < 2)
		return;
	write_users(patients, found[1], users, sizeof(users));
	tine_report_add(report, "library-copies", found[1]->path,
			"%s %s beside %s %s (%s), in pid %s.", names[kind], found[1]->version_text,
			names[kind], found[0]->version_text, found[0]->path, users);
}

static bool is_first(const struct tine_patients *patients, const struct tine_patient *patient,
		     const struct tine_library *library)
{
	for (const struct tine_patient *other = patients->items; other < patient; other++)
		if (loaded(other, library))
			return false;
	return true;
}

void tine_live_libraries(struct tine_report *report, const struct tine_patients *patients)
{
	for (size_t i = 0; i < patients->count; i++) {
		const struct tine_patient *patient = &patients->items[i];

		/* A borrowed image has been looked at. */
		for (int k = 0; k < patient->image.count && !patient->image_borrowed; k++)
			if (patient->image.libraries[k].kind != TINE_LIBRARY_GUARD &&
			    is_first(patients, patient, &patient->image.libraries[k]))
				look_at_library(report, patients, &patient->image.libraries[k]);
		if (patient->image_borrowed)
			continue;
		look_for_copies(report, patients, patient, TINE_LIBRARY_LIBPQ);
		look_for_copies(report, patients, patient, TINE_LIBRARY_OPENSSL);
	}
}
