/* SPDX-License-Identifier: PostgreSQL */
/*
 * Scope-bound clean-up: a variable marked cleanup_(fn) is given to fn on every way out of its
 * scope.
 */
#ifndef TINE_BASE_CLEANUP_H
#define TINE_BASE_CLEANUP_H

#include <unistd.h>

#define cleanup_(fn) __attribute__((cleanup(fn)))

static inline void tine_closep(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

#endif
