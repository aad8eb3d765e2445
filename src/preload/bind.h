/* SPDX-License-Identifier: PostgreSQL */
/*
 * Reach a libpq that preloading does not: one opened with RTLD_DEEPBIND.
 *
 * PHP opens every extension so, and the flag covers libpq too: its connect() and send() are bound
 * to libc although this library stands first. So dlopen() is interposed (dlopen.c) to learn that
 * there may be new libraries, and at the thread's next hooked call, or dlopen(), the procedure
 * linkage of each libpq that has come is looked through: what does not lead to a hook is made to.
 *
 * Only libraries named libpq are touched: they are the ones whose bytes matter. Why not LD_AUDIT,
 * which sees every binding: docs/design.md.
 *
 * Owns the linkage slots it has written; the loader never writes them again. Threads: one looks at
 * a time, from the first library to the last, since what is not seen in a look counts as unloaded;
 * dl_iterate_phdr() takes the loader's lock for the walk only. Another one waits 200 ms at most,
 * and else looks at its next hooked call. Fork: a child begins without a look. Not
 * async-signal-safe, but only called in a thread that has just been in dlopen().
 */
#ifndef TINE_PRELOAD_BIND_H
#define TINE_PRELOAD_BIND_H

#include <stdatomic.h>
#include <stdbool.h>

/* Set by tine_bind_will_load() in the thread that is in our dlopen(). */
extern __thread bool tine_bind_pending;

/* Threads that have entered dlopen() and not been seen since. */
extern atomic_int tine_bind_loading;

/* What every hook asks: is it for this thread to look? */
static inline bool tine_bind_is_due(void)
{
	return __builtin_expect(
		       atomic_load_explicit(&tine_bind_loading, memory_order_relaxed) != 0, 0) &&
	       tine_bind_pending;
}

/* The hooks, by name; filled by hooks.c through a linker section. */
struct tine_hook {
	const char *name;
	void *function;
};

/** Look through the libraries that have come, show each libpq to the level above (guard.h), and
 *  lead its SSL_read to tls.c if the level does not follow it; clears tine_bind_pending. errno is
 *  kept. */
void tine_bind_new_libraries(void);

/** dlopen() is about to be called in this thread. */
void tine_bind_will_load(void);

/** May a page that the loader protects be made read-only again? Not while another thread may be
 *  inside dlopen(). One that called dlopen() and nothing hooked since counts as inside. */
bool tine_bind_may_protect(void);

/** Does this slot of a library lead to our hook of that name? */
bool tine_bind_leads(const char *name, void *const *slot);

/** In a forked child: other threads, which may have been in dlopen(), are not there any more. */
void tine_bind_in_child(void);

/** Is this the file name of a libpq: libpq.so.5, or a wheel's renamed copy libpq-9b38f5e3.so.5.17?
 */
bool tine_bind_is_libpq(const char *path);

#endif
