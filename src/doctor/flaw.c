/* SPDX-License-Identifier: PostgreSQL */
/*
 * The table of known, fixed flaws that a client meets: from the projects' own security pages. Only
 * what a server, or somebody on the way to it, or the data can do to a client is here.
 *
 * Constant data. Locks, fork: nothing to do.
 */
#include "doctor/flaw.h"

#include <stddef.h>

#define PG(major, minor) ((major)*10000 + (minor))
#define LETTER(x) ((x) - 'a' + 1)

static const struct tine_flaw flaws[] = {
	{ TINE_LIBRARY_LIBPQ,
	  "CVE-2026-6477",
	  "large-object calls let a server write past a buffer of the client",
	  { { PG(18, 0), PG(18, 4) },
	    { PG(17, 0), PG(17, 10) },
	    { PG(16, 0), PG(16, 14) },
	    { PG(15, 0), PG(15, 18) },
	    { 1, PG(14, 23) } } },
	{ TINE_LIBRARY_LIBPQ,
	  "CVE-2025-12818",
	  "very large inputs make libpq write past its buffers",
	  { { PG(18, 0), PG(18, 1) },
	    { PG(17, 0), PG(17, 7) },
	    { PG(16, 0), PG(16, 11) },
	    { PG(15, 0), PG(15, 15) },
	    { PG(14, 0), PG(14, 20) },
	    { 1, PG(13, 23) } } },
	{ TINE_LIBRARY_LIBPQ,
	  "CVE-2025-1094",
	  "PQescapeLiteral() and its kin let badly encoded text out of its quotes",
	  { { PG(17, 0), PG(17, 3) },
	    { PG(16, 0), PG(16, 7) },
	    { PG(15, 0), PG(15, 11) },
	    { PG(14, 0), PG(14, 16) },
	    { 1, PG(13, 19) } } },
	{ TINE_LIBRARY_LIBPQ,
	  "CVE-2024-10977",
	  "an error message sent before TLS is shown as if the server had sent it",
	  { { PG(17, 0), PG(17, 1) },
	    { PG(16, 0), PG(16, 5) },
	    { PG(15, 0), PG(15, 9) },
	    { PG(14, 0), PG(14, 14) },
	    { PG(13, 0), PG(13, 17) },
	    { 1, PG(12, 21) } } },
	{ TINE_LIBRARY_LIBPQ,
	  "CVE-2021-23222",
	  "answers sent before TLS are taken for the server's",
	  { { PG(14, 0), PG(14, 1) },
	    { PG(13, 0), PG(13, 5) },
	    { PG(12, 0), PG(12, 9) },
	    { PG(11, 0), PG(11, 14) },
	    { 1, PG(10, 19) } } },
	{ TINE_LIBRARY_OPENSSL,
	  "CVE-2023-0286",
	  "a certificate can make the client read or crash on memory of its choosing",
	  { { TINE_OPENSSL(3, 0, 0, 0), TINE_OPENSSL(3, 0, 8, 0) },
	    { 1, TINE_OPENSSL(1, 1, 1, LETTER('t')) } } },
	{ TINE_LIBRARY_OPENSSL,
	  "CVE-2022-3602",
	  "a name in a certificate can overrun a buffer of the client",
	  { { TINE_OPENSSL(3, 0, 0, 0), TINE_OPENSSL(3, 0, 7, 0) } } },
	{ TINE_LIBRARY_OPENSSL,
	  "CVE-2022-0778",
	  "a certificate can make the client loop for ever",
	  { { TINE_OPENSSL(3, 0, 0, 0), TINE_OPENSSL(3, 0, 2, 0) },
	    { 1, TINE_OPENSSL(1, 1, 1, LETTER('n')) } } },
};

const struct tine_flaw *tine_flaw_next(enum tine_library_kind kind, int version, unsigned *from)
{
	while (version && *from < sizeof(flaws) / sizeof(flaws[0])) {
		const struct tine_flaw *flaw = &flaws[(*from)++];

		for (int i = 0; flaw->kind == kind && flaw->versions[i].fixed; i++)
			if (version >= flaw->versions[i].first && version < flaw->versions[i].fixed)
				return flaw;
	}
	return NULL;
}

bool tine_flaw_is_unsupported(enum tine_library_kind kind, int version)
{
	if (!version)
		return false;
	/* PostgreSQL 13 ended in November 2025, OpenSSL 1.1.1 in September 2023. */
	return kind == TINE_LIBRARY_LIBPQ ? version < PG(14, 0)
					  : version < TINE_OPENSSL(3, 0, 0, 0);
}
