/* SPDX-License-Identifier: PostgreSQL */
#include "preload/libpq/copy.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "preload/bind.h"
#include "preload/libpq/level.h"
#include "preload/libpq/stubs.h"

struct tine_copy tine_copies[TINE_COPIES];

/* Wrapped in this look, so that bindings from before have to be found; and how many were. */
static bool news;
static unsigned rebound;

/* What we call, and must not miss. */
static const struct needed {
	const char *name;
	size_t real;
	bool may_be_missing;
} needed[] = {
#define CALLED(type, name, parameters) { #name, offsetof(struct tine_real, name), false },
#define CALLED_IF(type, name, parameters) { #name, offsetof(struct tine_real, name), true },
#define WRAPPED(type, name, parameters, arguments)
#include "preload/libpq/functions.inc"
	{ "PQconnectdbParams", offsetof(struct tine_real, PQconnectdbParams), false },
	{ "PQresetStart", offsetof(struct tine_real, PQresetStart), false },
	{ "PQresetPoll", offsetof(struct tine_real, PQresetPoll), false },
	{ "PQsendQuery", offsetof(struct tine_real, PQsendQuery), false },
	{ "PQgetResult", offsetof(struct tine_real, PQgetResult), false },
	{ "PQfinish", offsetof(struct tine_real, PQfinish), false },
};

static void **real_at(struct tine_copy *copy, size_t offset)
{
	return (void **)((char *)&copy->real + offset);
}

static const struct tine_stub *find_stub(const char *name)
{
	for (size_t i = 0; i < tine_stubs_count; i++)
		if (strcmp(tine_stubs[i].name, name) == 0)
			return &tine_stubs[i];
	return NULL;
}

static bool is_ours(const char *name)
{
	return strncmp(name, "PQ", 2) == 0 || strncmp(name, "lo_", 3) == 0;
}

/* Not what is found by calling a resolver (IFUNC). */
static bool is_function(const ElfW(Sym) * symbol)
{
	return symbol->st_shndx != SHN_UNDEF && ELF64_ST_TYPE(symbol->st_info) == STT_FUNC;
}

/* ---- which library is it -------------------------------------------------------------------- */

/* Is this address a stub of the function, and whose? -1 when not. */
static int stub_number(const struct tine_stub *stub, const void *address)
{
	for (int i = 0; i < TINE_COPIES; i++)
		if (stub->stubs[i] == address)
			return i;
	return -1;
}

/* The copy whose stub stands in this symbol table: the library was wrapped in an earlier look. */
static struct tine_copy *wrapped_before(const struct tine_linkage *linkage,
					const ElfW(Sym) * symbol)
{
	const struct tine_stub *stub = find_stub("PQconnectStart");
	int number = stub_number(stub, (void *)(linkage->base + symbol->st_value));

	return number < 0 ? NULL : &tine_copies[number];
}

static void note_range(const struct dl_phdr_info *library, struct tine_copy *copy)
{
	copy->start = UINTPTR_MAX;
	copy->end = 0;
	for (unsigned i = 0; i < library->dlpi_phnum; i++) {
		const ElfW(Phdr) *header = &library->dlpi_phdr[i];
		uintptr_t start = library->dlpi_addr + header->p_vaddr;

		if (header->p_type != PT_LOAD)
			continue;
		if (start < copy->start)
			copy->start = start;
		if (start + header->p_memsz > copy->end)
			copy->end = start + header->p_memsz;
	}
}

/* One that is where this library is now has been unloaded. */
static struct tine_copy *free_place(uintptr_t start)
{
	for (unsigned i = 0; i < TINE_COPIES; i++)
		if (tine_copies[i].loaded && tine_copy_has(&tine_copies[i], (void *)start))
			tine_copies[i].loaded = false;
	for (unsigned i = 0; i < TINE_COPIES; i++)
		if (!tine_copies[i].loaded)
			return &tine_copies[i];
	return NULL;
}

static void note_name(struct tine_copy *copy, const char *path)
{
	const char *slash = strrchr(path, '/');

	path = slash ? slash + 1 : path;
	strncpy(copy->name, path, sizeof(copy->name) - 1);
}

/* ---- its real addresses --------------------------------------------------------------------- */

static void read_one(struct tine_copy *copy, const char *name, void *address)
{
	const struct tine_stub *stub = find_stub(name);

	if (stub)
		*real_at(copy, stub->real) = address;
	for (size_t i = 0; !stub && i < sizeof(needed) / sizeof(needed[0]); i++)
		if (strcmp(needed[i].name, name) == 0)
			*real_at(copy, needed[i].real) = address;
}

/* Returns false when one is missing that cannot be done without. */
static bool read_real(struct tine_copy *copy, const struct tine_linkage *linkage)
{
	for (size_t i = 0; i < linkage->symbols_count; i++) {
		const ElfW(Sym) *symbol = &linkage->symbols[i];
		const char *name = linkage->names + symbol->st_name;

		if (is_function(symbol) && is_ours(name))
			read_one(copy, name, (void *)(linkage->base + symbol->st_value));
	}
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		if (!needed[i].may_be_missing && !*real_at(copy, needed[i].real))
			return false;
	return true;
}

/* ---- its own calls -------------------------------------------------------------------------- */

/* Where a slot of libpq's for one of its own functions may lead so that we lead it home: into a
 * copy of libpq (this one's lazy stub too), or to a wrapper. A program that defines such a function
 * itself, in front of libpq, is left in peace. */
static bool may_lead_home(const struct tine_stub *stub, void *value)
{
	for (unsigned i = 0; i < TINE_COPIES; i++)
		if (tine_copies[i].loaded && tine_copy_has(&tine_copies[i], value))
			return true;
	return stub_number(stub, value) >= 0;
}

static void note_slot(struct tine_copy *copy, const char *name, void **slot)
{
	if (strcmp(name, "recv") == 0)
		copy->recv_slot = slot;
	else if (strcmp(name, "SSL_read") == 0)
		copy->tls_read_slot = slot;
	else if (strcmp(name, "SSL_write") == 0)
		copy->tls_write_slot = slot;
}

static void own_slot(const struct dl_phdr_info *library, const char *name, void **slot,
		     void *context)
{
	struct tine_copy *copy = context;
	const struct tine_stub *stub = is_ours(name) ? find_stub(name) : NULL;
	void *real = stub ? *real_at(copy, stub->real) : NULL;

	note_slot(copy, name, slot);
	if (real && *slot != real && may_lead_home(stub, *slot))
		tine_linkage_write(library, slot, real, tine_bind_may_protect());
}

/* ---- its symbol table ----------------------------------------------------------------------- */

static int protection_at(const struct dl_phdr_info *library, uintptr_t at)
{
	for (unsigned i = 0; i < library->dlpi_phnum; i++) {
		const ElfW(Phdr) *header = &library->dlpi_phdr[i];
		uintptr_t start = library->dlpi_addr + header->p_vaddr;

		if (header->p_type == PT_LOAD && at >= start && at < start + header->p_memsz)
			return (header->p_flags & PF_R ? PROT_READ : 0) |
			       (header->p_flags & PF_W ? PROT_WRITE : 0) |
			       (header->p_flags & PF_X ? PROT_EXEC : 0);
	}
	return PROT_NONE;
}

static void write_symbols(const struct tine_copy *copy, const struct tine_linkage *linkage)
{
	for (size_t i = 0; i < linkage->symbols_count; i++) {
		ElfW(Sym) *symbol = (ElfW(Sym) *)&linkage->symbols[i];
		const char *name = linkage->names + symbol->st_name;
		const struct tine_stub *stub =
			is_function(symbol) && is_ours(name) ? find_stub(name) : NULL;

		if (stub)
			*(volatile ElfW(Addr) *)&symbol->st_value =
				(ElfW(Addr))stub->stubs[copy->number] - linkage->base;
	}
}

static bool wrap_symbols(const struct dl_phdr_info *library, const struct tine_copy *copy,
			 const struct tine_linkage *linkage)
{
	uintptr_t page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t first = (uintptr_t)linkage->symbols;
	uintptr_t end = (uintptr_t)&linkage->symbols[linkage->symbols_count];
	int protection = protection_at(library, first);

	first -= first % page_bytes;
	if (protection == PROT_NONE ||
	    mprotect((void *)first, end - first, protection | PROT_WRITE) < 0)
		return false;
	write_symbols(copy, linkage);
	if (!(protection & PROT_WRITE))
		mprotect((void *)first, end - first, protection);
	return true;
}

/* ---- bindings from before ------------------------------------------------------------------- */

static void old_slot(const struct dl_phdr_info *library, const char *name, void **slot,
		     void *context)
{
	void *value = *slot;

	(void)name;
	(void)context;
	for (unsigned i = 0; i < TINE_COPIES; i++) {
		struct tine_copy *copy = &tine_copies[i];

		if (!copy->loaded || !tine_copy_has(copy, value))
			continue;
		for (size_t j = 0; j < tine_stubs_count; j++)
			if (*real_at(copy, tine_stubs[j].real) == value)
				rebound += tine_linkage_write(library, slot, tine_stubs[j].stubs[i],
							      tine_bind_may_protect());
	}
}

static int rebind(struct dl_phdr_info *library, size_t size, void *unused)
{
	struct tine_linkage linkage;

	(void)size;
	(void)unused;
	if (!tine_bind_is_libpq(library->dlpi_name) && tine_linkage_of(library, &linkage))
		tine_linkage_slots(library, &linkage, old_slot, NULL);
	return 0;
}

/* ---- a look --------------------------------------------------------------------------------- */

void tine_copy_before_look(void)
{
	for (unsigned i = 0; i < TINE_COPIES; i++)
		tine_copies[i].seen = false;
	news = false;
	rebound = 0;
}

static bool wrap_new(const struct dl_phdr_info *library, const struct tine_linkage *linkage)
{
	struct tine_copy *copy = free_place(library->dlpi_addr);
	unsigned generation;

	if (!copy) {
		tine_level_say_unwrapped(library->dlpi_name, "there are too many");
		return false;
	}
	generation = copy->generation + 1;
	*copy = (struct tine_copy){ .number = (unsigned)(copy - tine_copies),
				    .generation = generation };
	note_range(library, copy);
	note_name(copy, library->dlpi_name);
	if (!read_real(copy, linkage)) {
		tine_level_say_unwrapped(library->dlpi_name, "it lacks functions");
		return false;
	}
	copy->loaded = copy->seen = true;
	tine_linkage_slots(library, linkage, own_slot, copy);
	if (wrap_symbols(library, copy, linkage)) {
		news = true;
		return true;
	}
	tine_level_say_unwrapped(library->dlpi_name, strerror(errno));
	copy->loaded = false;
	return false;
}

bool tine_copy_found(const struct dl_phdr_info *library, const struct tine_linkage *linkage)
{
	const ElfW(Sym) *symbol = tine_linkage_find(linkage, "PQconnectStart");
	struct tine_copy *copy = symbol ? wrapped_before(linkage, symbol) : NULL;

	if (!copy)
		return symbol && wrap_new(library, linkage);
	copy->seen = true;
	/* The loader may have bound it to itself after it was wrapped: it was seen while another
	 * thread was opening it. */
	tine_linkage_slots(library, linkage, own_slot, copy);
	return true;
}

void tine_copy_after_look(void)
{
	for (unsigned i = 0; i < TINE_COPIES; i++)
		if (!tine_copies[i].seen)
			tine_copies[i].loaded = false;
	if (!news)
		return;
	dl_iterate_phdr(rebind, NULL);
	tine_level_say_wrapped(rebound);
}

bool tine_copy_keep_loaded(const struct tine_copy *copy)
{
	static _Atomic unsigned kept;
	unsigned bit = 1U << copy->number;
	Dl_info info;

	if (atomic_load(&kept) & bit)
		return true;
	if (!dladdr((void *)copy->real.PQfinish, &info) ||
	    !dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE))
		return false;
	atomic_fetch_or(&kept, bit);
	return true;
}
