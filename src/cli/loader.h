/* SPDX-License-Identifier: PostgreSQL */
/*
 * Questions to dynamic loaders.
 */
#ifndef TINE_CLI_LOADER_H
#define TINE_CLI_LOADER_H

#include <stdbool.h>
#include <stddef.h>

#include "cli/elf.h"

/** The facts of this program: the loader it names is one that loads our library. @return 0 or
 * -errno */
int tine_loader_own(struct tine_elf *ret_elf);

/** Is a library whose file name begins so in LD_PRELOAD already? */
bool tine_loader_preloads(const char *name);

/** Let a loader list what it would load for a program with our library preloaded. Runs the loader
 * only
 *  ("ld.so --list"), never the program.
 *  @param ret_detail  the loader's own words when it would not load the library
 *  @return true when the library is in the list, or when the loader cannot be asked: then the
 *          program will say more itself */
bool tine_loader_accepts(const char *loader, const char *program, const char *library,
			 char *ret_detail, size_t detail_size);

#endif
