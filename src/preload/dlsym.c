/* SPDX-License-Identifier: PostgreSQL */
/*
 * The interposed dlsym(): a library that has just been opened is looked through (bind.h) before an
 * address in it is handed out, since ctypes and other foreign function interfaces call nothing else
 * in between. Then it goes on in the real one.
 *
 * As with dlopen.c the call of the real one has to become a jump: RTLD_NEXT and RTLD_DEFAULT are
 * relative to the caller. The real one is the next definition behind ours in the loader's order; it
 * is found in the loader's list, since dlsym() cannot be asked for itself and sanitizers' runtimes
 * call it before anything else works.
 */
#include <dlfcn.h>
#include <stddef.h>
#include <sys/auxv.h>

#include "preload/bind.h"
#include "preload/linkage.h"

static void *(*_Atomic real_dlsym)(void *, const char *);

/* A program that the loader has started says in its dynamic section where the list begins. */
static const struct link_map *first_library(void)
{
	const ElfW(Phdr) *headers = (const ElfW(Phdr) *)getauxval(AT_PHDR);
	unsigned long count = getauxval(AT_PHNUM);
	ElfW(Addr) base = 0;
	const ElfW(Dyn) *entry = NULL;

	for (unsigned long i = 0; headers && i < count; i++)
		if (headers[i].p_type == PT_PHDR)
			base = (ElfW(Addr))headers - headers[i].p_vaddr;
	for (unsigned long i = 0; headers && i < count; i++)
		if (headers[i].p_type == PT_DYNAMIC)
			entry = (const ElfW(Dyn) *)(base + headers[i].p_vaddr);
	for (; entry && entry->d_tag != DT_NULL; entry++)
		if (entry->d_tag == DT_DEBUG && entry->d_un.d_ptr)
			return ((const struct r_debug *)entry->d_un.d_ptr)->r_map;
	return NULL;
}

static void *find_in(const struct link_map *library)
{
	struct tine_linkage linkage;
	const ElfW(Sym) * symbol;

	if (!library->l_ld || library->l_ld == _DYNAMIC)
		return NULL;
	tine_linkage_read(library->l_addr, library->l_ld, &linkage);
	symbol = linkage.names ? tine_linkage_find(&linkage, "dlsym") : NULL;
	return symbol ? (void *)(library->l_addr + symbol->st_value) : NULL;
}

static void *none(void *handle, const char *name)
{
	(void)handle;
	(void)name;
	return NULL;
}

/* Behind us first; a loader may also have put its libc before us. */
static void find_real(void)
{
	const struct link_map *first = first_library(), *at = first;
	void *found = NULL;

	while (at && at->l_ld != _DYNAMIC)
		at = at->l_next;
	for (; at && !found; at = at->l_next)
		found = find_in(at);
	for (at = first; at && !found; at = at->l_next)
		found = find_in(at);
	real_dlsym = found ? (void *(*)(void *, const char *))found : none;
}

/* Not inlined: its frame must be gone when dlsym() jumps. */
__attribute__((noinline)) static void note(void)
{
	if (tine_bind_pending)
		tine_bind_new_libraries();
	if (!real_dlsym)
		find_real();
}

__attribute__((visibility("default"))) void *hook_dlsym(void *handle,
							const char *name) __asm__("dlsym");

void *hook_dlsym(void *handle, const char *name)
{
	note();
	return real_dlsym(handle, name);
}
