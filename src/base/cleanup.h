/* SPDX-License-Identifier: PostgreSQL */
/*
 * Scope-bound clean-up: a variable marked cleanup_(fn) is given to fn on every way out of its
 * scope. take_ptr() and take_fd() hand the ownership over to the caller instead.
 */
#ifndef TINE_BASE_CLEANUP_H
#define TINE_BASE_CLEANUP_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define cleanup_(fn) __attribute__((cleanup(fn)))

static inline void tine_freep(void *p)
{
	free(*(void **)p);
}

static inline void tine_closep(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void tine_fclosep(FILE **f)
{
	if (*f)
		fclose(*f);
}

static inline int take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

#endif
