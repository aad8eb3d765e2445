/* SPDX-License-Identifier: PostgreSQL */
#include "preload/bind.h"

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "preload/tls.h"

#if defined(__x86_64__)
#define RELOCATION_JUMP R_X86_64_JUMP_SLOT
#define RELOCATION_DATA R_X86_64_GLOB_DAT
#elif defined(__aarch64__)
#define RELOCATION_JUMP R_AARCH64_JUMP_SLOT
#define RELOCATION_DATA R_AARCH64_GLOB_DAT
#else
/* Other machines: no relocation is of these types, and a libpq that binds past us is recognised by
 * its address only. */
#define RELOCATION_JUMP UINT32_MAX
#define RELOCATION_DATA UINT32_MAX
#endif

__thread bool tine_bind_pending;

/* Bounds of the linker section of hooks.c; empty in programs that are linked without it. */
extern const struct tine_hook __start_tine_hooks[] __attribute__((weak, visibility("hidden")));
extern const struct tine_hook __stop_tine_hooks[] __attribute__((weak, visibility("hidden")));

struct linkage {
	const ElfW(Sym) * symbols;
	const char *names;
	const ElfW(Rela) * jumps, *data;
	size_t jumps_bytes, data_bytes;
};

bool tine_bind_is_libpq(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;

	return strncmp(name, "libpq.", 6) == 0 || strncmp(name, "libpq-", 6) == 0;
}

static void *find_hook(const char *name)
{
	/* cppcheck-suppress comparePointers ; bounds of one section */
	for (const struct tine_hook *hook = __start_tine_hooks; hook < __stop_tine_hooks; hook++)
		if (strcmp(hook->name, name) == 0)
			return hook->function;
	return NULL;
}

static void *find_function(const char *name, void **slot)
{
	return strcmp(name, "SSL_read") == 0 ? tine_tls_wrap_read(slot) : find_hook(name);
}

/* glibc has added the base to these pointers in place; other loaders leave them as in the file. */
static const void *absolute(const struct dl_phdr_info *library, ElfW(Addr) pointer)
{
	return (const void *)(pointer < library->dlpi_addr ? library->dlpi_addr + pointer
							   : pointer);
}

static void read_dynamic(const struct dl_phdr_info *library, const ElfW(Dyn) * entry,
			 struct linkage *linkage)
{
	for (; entry->d_tag != DT_NULL; entry++) {
		const void *address = absolute(library, entry->d_un.d_ptr);

		switch (entry->d_tag) {
		case DT_SYMTAB:
			linkage->symbols = address;
			break;
		case DT_STRTAB:
			linkage->names = address;
			break;
		case DT_JMPREL:
			linkage->jumps = address;
			break;
		case DT_RELA:
			linkage->data = address;
			break;
		case DT_PLTRELSZ:
			linkage->jumps_bytes = entry->d_un.d_val;
			break;
		case DT_RELASZ:
			linkage->data_bytes = entry->d_un.d_val;
			break;
		default:
			break;
		}
	}
}

/* Write a slot that may be on a page the loader has made read-only (RELRO). */
static void write_slot(const struct dl_phdr_info *library, void **slot, void *function)
{
	uintptr_t page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE), at = (uintptr_t)slot;
	void *page = (void *)(at - at % page_bytes);
	bool read_only = false;

	for (unsigned i = 0; i < library->dlpi_phnum; i++) {
		const ElfW(Phdr) *header = &library->dlpi_phdr[i];
		uintptr_t start = library->dlpi_addr + header->p_vaddr;

		if (header->p_type == PT_GNU_RELRO && at >= start && at < start + header->p_memsz)
			read_only = true;
	}
	if (read_only && mprotect(page, page_bytes, PROT_READ | PROT_WRITE) < 0)
		return;
	*(void *volatile *)slot = function;
	if (read_only)
		mprotect(page, page_bytes, PROT_READ);
}

static void patch(const struct dl_phdr_info *library, const struct linkage *linkage,
		  const ElfW(Rela) * relocations, size_t bytes)
{
	for (size_t i = 0; relocations && i < bytes / sizeof(*relocations); i++) {
		const ElfW(Rela) *relocation = &relocations[i];
		uint32_t type = ELF64_R_TYPE(relocation->r_info);
		const ElfW(Sym) *symbol = &linkage->symbols[ELF64_R_SYM(relocation->r_info)];
		void **slot = (void **)(library->dlpi_addr + relocation->r_offset), *hook;

		if (type != RELOCATION_JUMP && type != RELOCATION_DATA)
			continue;
		hook = find_function(linkage->names + symbol->st_name, slot);
		if (hook && *slot != hook)
			write_slot(library, slot, hook);
	}
}

static int visit(struct dl_phdr_info *library, size_t size, void *unused)
{
	struct linkage linkage = { 0 };

	(void)size;
	(void)unused;
	if (!tine_bind_is_libpq(library->dlpi_name))
		return 0;
	for (unsigned i = 0; i < library->dlpi_phnum; i++)
		if (library->dlpi_phdr[i].p_type == PT_DYNAMIC)
			read_dynamic(library,
				     (const ElfW(Dyn) *)(library->dlpi_addr +
							 library->dlpi_phdr[i].p_vaddr),
				     &linkage);
	if (linkage.symbols && linkage.names) {
		patch(library, &linkage, linkage.jumps, linkage.jumps_bytes);
		patch(library, &linkage, linkage.data, linkage.data_bytes);
	}
	return 0;
}

void tine_bind_new_libraries(void)
{
	int saved_errno = errno;

	tine_bind_pending = false;
	dl_iterate_phdr(visit, NULL);
	errno = saved_errno;
}
