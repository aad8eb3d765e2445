/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a process has loaded of interest: libpq, OpenSSL and tine's guard, with their versions. Read
 * from its maps and from the files; nothing is loaded or executed.
 *
 * Locks: none. Fork: nothing to do.
 */
#ifndef TINE_DOCTOR_LIBRARY_H
#define TINE_DOCTOR_LIBRARY_H

#include <stdbool.h>

#include "doctor/proc.h"

enum tine_library_kind {
	TINE_LIBRARY_LIBPQ,
	TINE_LIBRARY_OPENSSL, /* libcrypto, which has the version; libssl comes with it */
	TINE_LIBRARY_GUARD,
};

struct tine_library {
	enum tine_library_kind kind;
	char *path;            /* as the process sees it; foreign bytes */
	bool replaced;         /* the file was removed or replaced since it was loaded */
	bool bundled;          /* not the system's own: comes with a package of a language */
	int version;           /* libpq: as PQlibVersion(); OpenSSL: see flaw.h; 0: not known */
	char version_text[32]; /* "15.4", "3.0.2"; "" */
};

#define TINE_LIBRARIES_MAX 16

struct tine_image {
	struct tine_library libraries[TINE_LIBRARIES_MAX];
	int count;
	bool guard_mapped, guard_live; /* live: it watches for forks */
	bool guard_wanted;             /* LD_PRELOAD in the environment it was started with */
};

/** Look at a process. Freed with tine_image_done(). @return 0 or -errno, also when it is another
 * one by now */
int tine_image_read(const struct tine_procs *procs, const struct tine_process *process,
		    struct tine_image *ret_image);

void tine_image_done(struct tine_image *image);

/** Versions of the files in an image, for a process whose files can be opened. Slow (files are
 *  read), so what was found is remembered by path for the same root. */
void tine_image_versions(const struct tine_procs *procs, const struct tine_process *process,
			 struct tine_image *image);

/* For tests. */

/** The version in libpq's code (the constant that PQlibVersion returns) or 0.
 *  @param file the whole file, not trusted */
int tine_library_libpq_version(const void *file, size_t size);

/** The version that libcrypto says of itself, "3.0.2".
 *  @return as in struct tine_library, or 0 */
int tine_library_openssl_version(const void *file, size_t size, char *text, size_t text_size);

#endif
