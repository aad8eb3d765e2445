/* SPDX-License-Identifier: PostgreSQL */
#include "preload/bind.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/hot.h"
#include "preload/guard.h"
#include "preload/linkage.h"
#include "preload/tls.h"

__thread bool tine_bind_pending;
atomic_int tine_bind_loading TINE_HOT;

/* A thread is in a look. */
static atomic_bool looking;
#define LOOK_PATIENCE_MS 200

/* Bounds of the linker section of hooks.c; empty in programs that are linked without it. */
extern const struct tine_hook __start_tine_hooks[] __attribute__((weak, visibility("hidden")));
extern const struct tine_hook __stop_tine_hooks[] __attribute__((weak, visibility("hidden")));

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

static void *find_function(const char *name, void **slot, bool is_followed)
{
	void *hook;

	if (strcmp(name, "SSL_read") == 0)
		return is_followed ? NULL : tine_tls_wrap_read(slot);
	hook = find_hook(name);
	return !hook && tine_guard_level ? tine_guard_level->hook_of_libpq(name) : hook;
}

bool tine_bind_leads(const char *name, void *const *slot)
{
	return slot && *slot == find_hook(name) && *slot;
}

static void bind_slot(const struct dl_phdr_info *library, const char *name, void **slot,
		      void *context)
{
	const bool *is_followed = context;
	void *hook = find_function(name, slot, *is_followed);

	if (hook && *slot != hook)
		tine_linkage_write(library, slot, hook, tine_bind_may_protect());
}

static int visit(struct dl_phdr_info *library, size_t size, void *unused)
{
	struct tine_linkage linkage;
	bool is_followed;

	(void)size;
	(void)unused;
	if (!tine_bind_is_libpq(library->dlpi_name) || !tine_linkage_of(library, &linkage))
		return 0;
	is_followed = tine_guard_level && tine_guard_level->libpq_found(library, &linkage);
	tine_linkage_slots(library, &linkage, bind_slot, &is_followed);
	return 0;
}

void tine_bind_will_load(void)
{
	if (!tine_bind_pending)
		atomic_fetch_add(&tine_bind_loading, 1);
	tine_bind_pending = true;
}

bool tine_bind_may_protect(void)
{
	return atomic_load(&tine_bind_loading) <= 0;
}

/* Not a mutex: who waits may be in a constructor, inside the dlopen() whose lock the other one
 * wants to call dlsym(). So it does not wait for ever, and looks at its next hooked call. */
static bool begin_look(void)
{
	for (int tries = 0; atomic_exchange(&looking, true); tries++) {
		if (tries == LOOK_PATIENCE_MS)
			return false;
		tine_clock_nap();
	}
	return true;
}

void tine_bind_in_child(void)
{
	atomic_store(&looking, false);
	atomic_store(&tine_bind_loading, tine_bind_pending);
}

static void look(void)
{
	if (tine_bind_pending)
		atomic_fetch_sub(&tine_bind_loading, 1);
	tine_bind_pending = false;
	if (tine_guard_level)
		tine_guard_level->before_look();
	dl_iterate_phdr(visit, NULL);
	if (tine_guard_level)
		tine_guard_level->after_look();
}

void tine_bind_new_libraries(void)
{
	int saved_errno = errno;

	if (begin_look()) {
		look();
		atomic_store(&looking, false);
	}
	errno = saved_errno;
}
