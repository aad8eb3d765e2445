/* SPDX-License-Identifier: PostgreSQL */
#include "preload/linkage.h"

#include <sys/mman.h>
#include <unistd.h>

/* glibc has added the base to these pointers in place; other loaders leave them as in the file. */
static const void *absolute(ElfW(Addr) base, ElfW(Addr) pointer)
{
	return (const void *)(pointer < base ? base + pointer : pointer);
}

/* The table says only where each chain begins; the last symbol is the end of the last chain. */
static size_t count_gnu(const uint32_t *table)
{
	uint32_t buckets = table[0], first = table[1], last = 0;
	const uint32_t *bucket = table + 4 + table[2] * (sizeof(ElfW(Addr)) / sizeof(uint32_t));
	const uint32_t *chain = bucket + buckets;

	for (uint32_t i = 0; i < buckets; i++)
		if (bucket[i] > last)
			last = bucket[i];
	if (last < first)
		return first;
	while (!(chain[last - first] & 1))
		last++;
	return last + 1;
}

static void read_entry(const ElfW(Dyn) * entry, const void *address, struct tine_linkage *linkage)
{
	switch (entry->d_tag) {
	case DT_SYMTAB:
		linkage->symbols = address;
		break;
	case DT_STRTAB:
		linkage->names = address;
		break;
	case DT_HASH:
		linkage->symbols_count = ((const uint32_t *)address)[1];
		break;
	case DT_GNU_HASH:
		linkage->symbols_count = count_gnu(address);
		break;
	case DT_JMPREL:
		linkage->jumps = address;
		break;
	case DT_RELA:
		linkage->data = address;
		break;
	case DT_PLTRELSZ:
		linkage->jumps_count = entry->d_un.d_val / sizeof(*linkage->jumps);
		break;
	case DT_RELASZ:
		linkage->data_count = entry->d_un.d_val / sizeof(*linkage->data);
		break;
	case DT_RELACOUNT:
		linkage->relative_count = entry->d_un.d_val;
		break;
	default:
		break;
	}
}

void tine_linkage_read(ElfW(Addr) base, const ElfW(Dyn) * dynamic, struct tine_linkage *linkage)
{
	*linkage = (struct tine_linkage){ .base = base };
	for (const ElfW(Dyn) *entry = dynamic; entry->d_tag != DT_NULL; entry++)
		read_entry(entry, absolute(base, entry->d_un.d_ptr), linkage);
	if (!linkage->jumps)
		linkage->jumps_count = 0;
	if (!linkage->data)
		linkage->data_count = 0;
}

bool tine_linkage_of(const struct dl_phdr_info *library, struct tine_linkage *linkage)
{
	*linkage = (struct tine_linkage){ 0 };
	for (unsigned i = 0; i < library->dlpi_phnum; i++)
		if (library->dlpi_phdr[i].p_type == PT_DYNAMIC)
			tine_linkage_read(library->dlpi_addr,
					  (const ElfW(Dyn) *)(library->dlpi_addr +
							      library->dlpi_phdr[i].p_vaddr),
					  linkage);
	return linkage->symbols && linkage->names;
}

/* Not strcmp(): a sanitizer has one of its own, which is not ready when its dlsym() comes here. */
static bool same(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

const ElfW(Sym) * tine_linkage_find(const struct tine_linkage *linkage, const char *name)
{
	for (size_t i = 0; linkage->symbols && i < linkage->symbols_count; i++) {
		const ElfW(Sym) *symbol = &linkage->symbols[i];

		if (symbol->st_shndx != SHN_UNDEF && ELF64_ST_TYPE(symbol->st_info) == STT_FUNC &&
		    same(linkage->names + symbol->st_name, name))
			return symbol;
	}
	return NULL;
}

static void visit_table(const struct dl_phdr_info *library, const struct tine_linkage *linkage,
			const ElfW(Rela) * table, size_t count, tine_linkage_visit *visit,
			void *context)
{
	for (size_t i = 0; i < count; i++) {
		uint32_t type = ELF64_R_TYPE(table[i].r_info);
		const ElfW(Sym) *symbol = &linkage->symbols[ELF64_R_SYM(table[i].r_info)];

		if (type != TINE_RELOCATION_JUMP && type != TINE_RELOCATION_DATA &&
		    type != TINE_RELOCATION_WORD)
			continue;
		if (table[i].r_offset % sizeof(void *) == 0)
			visit(library, linkage->names + symbol->st_name,
			      (void **)(linkage->base + table[i].r_offset), context);
	}
}

void tine_linkage_slots(const struct dl_phdr_info *library, const struct tine_linkage *linkage,
			tine_linkage_visit *visit, void *context)
{
	visit_table(library, linkage, linkage->jumps, linkage->jumps_count, visit, context);
	/* The first ones, as a rule nearly all, are of no symbol. */
	if (linkage->relative_count < linkage->data_count)
		visit_table(library, linkage, linkage->data + linkage->relative_count,
			    linkage->data_count - linkage->relative_count, visit, context);
}

static bool covers(const struct dl_phdr_info *library, const ElfW(Phdr) * header, uintptr_t at)
{
	uintptr_t start = library->dlpi_addr + header->p_vaddr;

	return at >= start && at < start + header->p_memsz;
}

bool tine_linkage_write(const struct dl_phdr_info *library, void **slot, void *value, bool protect)
{
	uintptr_t page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE), at = (uintptr_t)slot;
	void *page = (void *)(at - at % page_bytes);
	bool read_only = false, writable = false;

	for (unsigned i = 0; i < library->dlpi_phnum; i++) {
		const ElfW(Phdr) *header = &library->dlpi_phdr[i];

		if (!covers(library, header, at))
			continue;
		read_only |= header->p_type == PT_GNU_RELRO;
		writable |= header->p_type == PT_LOAD && (header->p_flags & PF_W);
	}
	if (!writable || (read_only && mprotect(page, page_bytes, PROT_READ | PROT_WRITE) < 0))
		return false;
	*(void *volatile *)slot = value;
	if (read_only && protect)
		mprotect(page, page_bytes, PROT_READ);
	return true;
}
