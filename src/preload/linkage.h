/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a loaded library says of its symbols and relocations, and the writing of its slots.
 *
 * Read from memory: nothing is opened. Only 64-bit machines with explicit addends have slots here
 * (x86-64, aarch64); on others no relocation is of a known type and nothing is ever written.
 *
 * Locks: none. Slots are to be written inside a callback of dl_iterate_phdr(), whose lock keeps two
 * threads from writing at the same time and a library from being unloaded meanwhile. Fork: no
 * state. Built without instrumentation, since it works before a sanitizer's runtime does.
 */
#ifndef TINE_PRELOAD_LINKAGE_H
#define TINE_PRELOAD_LINKAGE_H

#include <elf.h>
#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__)
#define TINE_RELOCATION_JUMP R_X86_64_JUMP_SLOT
#define TINE_RELOCATION_DATA R_X86_64_GLOB_DAT
#define TINE_RELOCATION_WORD R_X86_64_64
#elif defined(__aarch64__)
#define TINE_RELOCATION_JUMP R_AARCH64_JUMP_SLOT
#define TINE_RELOCATION_DATA R_AARCH64_GLOB_DAT
#define TINE_RELOCATION_WORD R_AARCH64_ABS64
#else
#define TINE_RELOCATION_JUMP UINT32_MAX
#define TINE_RELOCATION_DATA UINT32_MAX
#define TINE_RELOCATION_WORD UINT32_MAX
#endif

struct tine_linkage {
	ElfW(Addr) base;
	const ElfW(Sym) * symbols;
	size_t symbols_count;
	const char *names;
	const ElfW(Rela) * jumps, *data;
	size_t jumps_count, data_count, relative_count; /* of data the first are relative */
};

/** Read a dynamic section. What it does not say is zero. */
void tine_linkage_read(ElfW(Addr) base, const ElfW(Dyn) * dynamic, struct tine_linkage *linkage);

/** Read the dynamic section of a library that dl_iterate_phdr() shows.
 *  @return false when it has no symbols */
bool tine_linkage_of(const struct dl_phdr_info *library, struct tine_linkage *linkage);

/** The definition of a function in this library alone. @return NULL when it defines none */
const ElfW(Sym) * tine_linkage_find(const struct tine_linkage *linkage, const char *name);

/** Calls visit for every relocation of the library that puts the address of a symbol into a slot.
 */
typedef void tine_linkage_visit(const struct dl_phdr_info *library, const char *name, void **slot,
				void *context);
void tine_linkage_slots(const struct dl_phdr_info *library, const struct tine_linkage *linkage,
			tine_linkage_visit *visit, void *context);

/** Write a slot, which may be on a page that the loader has made read-only (RELRO).
 *  @param protect  make such a page read-only again. Not while another thread may be inside
 *                  dlopen(): the loader may have more to write there, and protects it itself
 *  @return false when the page cannot be written to */
bool tine_linkage_write(const struct dl_phdr_info *library, void **slot, void *value, bool protect);

#endif
