/* SPDX-License-Identifier: PostgreSQL */
/*
 * The interposed dlopen(): notes that libraries may come (bind.h) and goes on in the real one.
 *
 * It must not be seen on the stack: the real dlopen() takes the object that its return address lies
 * in for the caller, whose RUNPATH and $ORIGIN it searches. So the call is the function's last act
 * and has to become a jump; this file is always built with -O2 -foptimize-sibling-calls and without
 * instrumentation, and a test opens a library that only the caller's RUNPATH finds.
 */
#include <dlfcn.h>
#include <stddef.h>

#include "preload/bind.h"

static void *(*_Atomic real_dlopen)(const char *, int);

/* Not inlined: its frame must be gone when dlopen() jumps. */
__attribute__((noinline)) static void note(void)
{
	if (tine_bind_pending)
		tine_bind_new_libraries();
	/* Before the note is made: our own dlsym() would take it for done. */
	if (!real_dlopen)
		real_dlopen = dlsym(RTLD_NEXT, "dlopen");
	tine_bind_will_load();
}

__attribute__((visibility("default"))) void *hook_dlopen(const char *file,
							 int mode) __asm__("dlopen");

void *hook_dlopen(const char *file, int mode)
{
	note();
	return real_dlopen(file, mode);
}
