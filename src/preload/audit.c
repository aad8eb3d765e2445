/* SPDX-License-Identifier: PostgreSQL */
/*
 * The auditor, libtine-audit.so: sends those calls to the hooks that preloading does not reach.
 *
 * A library opened with RTLD_DEEPBIND (PHP opens every extension so, and the flag covers libpq too)
 * binds connect() and send() to libc although the preload library stands first. The dynamic loader
 * tells an auditor of every binding and takes its word for the address; this one answers with the
 * hook of the same name in libtine-preload.so and does nothing else.
 *
 * It lives in a namespace of its own and is built without any library: no libc is loaded for it,
 * there is nothing to initialise, and it holds no lock and no memory but four words. The loader
 * calls it with its own lock held. Interface: rtld-audit(7).
 *
 * Left alone: what the loader already bound to a hook (the preload library is not audited as a
 * definition); dlsym(), since libraries that wrap the same functions find the next one by it and a
 * hook there would call them in a circle; and namespaces made by dlmopen(), which have a libc of
 * their own.
 */
#include <link.h>
#include <stddef.h>

#define EXPORT __attribute__((visibility("default")))

/* Of the preload library; set while it is the only thread's turn to start the program. */
static const ElfW(Sym) * symbols;
static unsigned symbols_count;
static const char *names;
static ElfW(Addr) base;

static int equal(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

static const char *file_name(const char *path)
{
	const char *name = path;

	for (; *path; path++)
		if (*path == '/')
			name = path + 1;
	return name;
}

static void remember_hooks(const struct link_map *map)
{
	base = map->l_addr;
	for (const ElfW(Dyn) *entry = map->l_ld; entry->d_tag != DT_NULL; entry++) {
		if (entry->d_tag == DT_SYMTAB)
			symbols = (const ElfW(Sym) *)entry->d_un.d_ptr;
		if (entry->d_tag == DT_STRTAB)
			names = (const char *)entry->d_un.d_ptr;
		if (entry->d_tag == DT_HASH) /* nbucket, nchain; nchain is the number of symbols */
			symbols_count = ((const ElfW(Word) *)entry->d_un.d_ptr)[1];
	}
}

static ElfW(Addr) find_hook(const char *name)
{
	for (unsigned i = 1; i < symbols_count; i++)
		if (symbols[i].st_shndx != SHN_UNDEF && equal(names + symbols[i].st_name, name))
			return base + symbols[i].st_value;
	return 0;
}

EXPORT unsigned la_version(unsigned version)
{
	return version < LAV_CURRENT ? version : LAV_CURRENT;
}

EXPORT unsigned la_objopen(struct link_map *map, Lmid_t namespace, uintptr_t *cookie)
{
	const char *name = file_name(map->l_name);

	(void)cookie;
	if (namespace != LM_ID_BASE)
		return 0;
	if (equal(name, "libtine-preload.so")) {
		remember_hooks(map);
		return 0;
	}
	if (equal(name, "libc.so.6"))
		return LA_FLG_BINDTO;
	return LA_FLG_BINDFROM;
}

EXPORT uintptr_t la_symbind64(ElfW(Sym) * symbol, unsigned index, uintptr_t *referer,
			      uintptr_t *definer, unsigned *flags, const char *name)
{
	ElfW(Addr) hook;

	(void)index;
	(void)referer;
	(void)definer;
	if (*flags & LA_SYMB_DLSYM)
		return symbol->st_value;
	hook = find_hook(name);
	*flags |= LA_SYMB_NOPLTENTER | LA_SYMB_NOPLTEXIT;
	return hook ? hook : symbol->st_value;
}
