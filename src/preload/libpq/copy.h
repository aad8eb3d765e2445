/* SPDX-License-Identifier: PostgreSQL */
/*
 * The copies of libpq in this process, and how each one's callers are led to our wrappers.
 *
 * A wheel brings its own libpq, renamed and opened RTLD_LOCAL, so there may be several, and only
 * the loader knows which of them a caller is bound to. So the loader is left to bind: what is
 * changed is the address that it finds in the symbol table of this copy, in memory. Each binding
 * that it makes from then on, for whatever caller and in whatever way (lazily, at once, by dlsym(),
 * with RTLD_DEEPBIND), is to the wrapper that belongs to this copy. Bindings made before are found
 * by their value, which is exact as well: the address of a function of this copy.
 *
 * Invariants
 *  - A copy's own calls never reach a wrapper: its slots hold its own addresses. So a wrapper is
 *    entered by the program only, and what it calls is real.
 *  - A wrapper knows its copy: there is one stub per function and copy (stubs.c). A PGconn that a
 *    copy has made is used with the functions of this copy alone.
 *  - A libpq that cannot be wrapped as a whole is not wrapped at all.
 *
 * Why not LD_AUDIT, interposition or the callers' tables alone: docs/design.md.
 *
 * Owns the table of copies. Threads: written in a look, and one thread looks at a time (bind.h);
 * what a wrapper reads was written before anybody could reach it. Fork: nothing to do, the child
 * has the same libraries. A copy that was unloaded gives its place to the next one, with another
 * generation.
 */
#ifndef TINE_PRELOAD_LIBPQ_COPY_H
#define TINE_PRELOAD_LIBPQ_COPY_H

#include <libpq-events.h>
#include <libpq-fe.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>

#include "preload/linkage.h"

#define TINE_COPIES 4 /* the system's libpq and those of a few wheels; others are only guarded */
#define TINE_COPY_NAME 64

/* Real addresses, by name: copy->real.PQexec. NULL when this libpq has no such function. */
struct tine_real {
/* NOLINTNEXTLINE(bugprone-macro-parentheses): a list of parameters has its own */
#define CALLED(type, name, parameters) type(*(name)) parameters;
#include "preload/libpq/functions.inc"
};

struct tine_copy {
	struct tine_real real;
	uintptr_t start, end; /* of its segments */
	/* Of its calls of recv(), SSL_read() and SSL_write(); NULL: there are none. */
	void **recv_slot, **tls_read_slot, **tls_write_slot;
	unsigned number;      /* its index, and that of its stubs */
	unsigned generation;  /* which library it is that has this place */
	bool loaded;
	bool seen;                 /* in this look */
	char name[TINE_COPY_NAME]; /* of its file, without the folder */
};

extern struct tine_copy tine_copies[TINE_COPIES];

/** A look at the loaded libraries begins. */
void tine_copy_before_look(void);

/** Wrap a libpq that has been found; once for each copy and look. @return is it wrapped? */
bool tine_copy_found(const struct dl_phdr_info *library, const struct tine_linkage *linkage);

/** The look is over: find the bindings that were made before a new copy was wrapped. */
void tine_copy_after_look(void);

/** A program may unload what uses libpq, as PHP does with its extensions, while connections of that
 *  libpq are parked: let it stay. @return false: it cannot be had to */
bool tine_copy_keep_loaded(const struct tine_copy *copy);

/** Does this address lie in the copy? */
static inline bool tine_copy_has(const struct tine_copy *copy, const void *address)
{
	return (uintptr_t)address >= copy->start && (uintptr_t)address < copy->end;
}

#endif
