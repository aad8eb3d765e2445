/* SPDX-License-Identifier: PostgreSQL */
/*
 * Flaws of libpq and OpenSSL that clients are exposed to and that are fixed in later versions.
 */
#ifndef TINE_DOCTOR_FLAW_H
#define TINE_DOCTOR_FLAW_H

#include "doctor/library.h"

/** Number of an OpenSSL version: 3.0.2 -> 3000200, 1.1.1n -> 1010114. */
#define TINE_OPENSSL(major, minor, patch, letter)                                                  \
	((major)*1000000 + (minor)*10000 + (patch)*100 + (letter))

struct tine_flaw {
	enum tine_library_kind kind;
	const char *name; /* "CVE-2024-10977" */
	const char *what; /* what happens, in a few words */
	struct {
		int first, fixed; /* affected from first on and before fixed; ended by 0, 0 */
	} versions[10];
};

/** The flaws of a version.
 *  @param from  the place to go on from, 0 at first; advanced
 *  @return the next one, or NULL */
const struct tine_flaw *tine_flaw_next(enum tine_library_kind kind, int version, unsigned *from);

/** Does its project still mend this version? false also for "not known" (0). */
bool tine_flaw_is_unsupported(enum tine_library_kind kind, int version);

#endif
