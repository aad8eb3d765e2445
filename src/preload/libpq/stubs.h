/* SPDX-License-Identifier: PostgreSQL */
/*
 * The functions that callers of libpq are bound to: for each function of functions.inc one stub per
 * copy of libpq, since a call says nothing about which copy it is meant for. A stub goes on in
 * tine_wrap_NAME (wrap.h) with its copy.
 *
 * Constant data. Threads, fork: no state.
 */
#ifndef TINE_PRELOAD_LIBPQ_STUBS_H
#define TINE_PRELOAD_LIBPQ_STUBS_H

#include <stddef.h>

#include "preload/libpq/copy.h"

struct tine_stub {
	const char *name;
	size_t real; /* offset of the real address in struct tine_real */
	void *stubs[TINE_COPIES];
};

extern const struct tine_stub tine_stubs[];
extern const size_t tine_stubs_count;

#endif
