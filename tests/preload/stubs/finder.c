/* SPDX-License-Identifier: PostgreSQL */
/* Opens a library that only this library's own RUNPATH leads to. */
#include <dlfcn.h>
#include <stddef.h>

int finder_finds(void);

int finder_finds(void)
{
	return dlopen("libonly-there.so", RTLD_NOW) != NULL;
}
