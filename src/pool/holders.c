/* SPDX-License-Identifier: PostgreSQL */
#include "pool/holders.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "pool/error.h"

#define SHOWN 3

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* "app(handle_request+0x2f)", or without a symbol "app+0x1a2f", for addr2line. */
static void name_site(const void *site, char *buf, size_t size)
{
	Dl_info info;

	if (!dladdr(site, &info) || !info.dli_fname)
		snprintf(buf, size, "%p", site);
	else if (info.dli_sname)
		snprintf(buf, size, "%s(%s+0x%zx)", base_name(info.dli_fname), info.dli_sname,
			 (size_t)((const char *)site - (const char *)info.dli_saddr));
	else
		snprintf(buf, size, "%s+0x%zx", base_name(info.dli_fname),
			 (size_t)((const char *)site - (const char *)info.dli_fbase));
}

static void describe(const struct tine_slot *slot, int64_t now_ns, char *buf, size_t size)
{
	char site[128];
	double seconds = (double)(now_ns - atomic_load(&slot->taken_ns)) / TINE_NS_PER_S;

	name_site(atomic_load(&slot->site), site, sizeof(site));
	if (atomic_load(&slot->told) & TINE_TOLD_LABEL)
		snprintf(buf, size, "'%s' from %s for %.1f s", slot->label, site, seconds);
	else
		snprintf(buf, size, "%s for %.1f s", site, seconds);
}

/* The one that holds longest, of those that began after the given time. */
static const struct tine_slot *next_holder(const struct tine_pool *pool, int64_t after_ns,
					   const struct tine_slot *after)
{
	const struct tine_slot *found = NULL;
	int64_t found_ns = TINE_NEVER_NS;

	for (int i = 0; i < pool->slot_count; i++) {
		const struct tine_slot *slot = pool->slots[i];
		int64_t taken_ns;

		if (!slot || atomic_load(&slot->state) != TINE_SLOT_BUSY ||
		    !atomic_load(&slot->ticket))
			continue;
		taken_ns = atomic_load(&slot->taken_ns);
		/* Those of one instant go by their address, so that each comes once. */
		if (taken_ns < after_ns || (taken_ns == after_ns && slot <= after) ||
		    taken_ns > found_ns || (taken_ns == found_ns && found && slot > found))
			continue;
		found = slot;
		found_ns = taken_ns;
	}
	return found;
}

void tine_holders_explain(const struct tine_pool *pool, uint64_t waited_ms, tine_error *error)
{
	int64_t now_ns = tine_clock_ns(), after_ns = 0;
	const struct tine_slot *slot = NULL;
	char holders[400] = "", one[200];
	size_t length = 0;

	for (int i = 0; i < SHOWN; i++) {
		slot = next_holder(pool, after_ns, slot);
		if (!slot)
			break;
		after_ns = atomic_load(&slot->taken_ns);
		describe(slot, now_ns, one, sizeof(one));
		length += (size_t)snprintf(holders + length, sizeof(holders) - length, "%s%s",
					   i ? "; " : "; held longest: ", one);
		if (length >= sizeof(holders))
			break;
	}
	if (!waited_ms && !holders[0]) {
		tine_error_set(error, TINE_E_TIMEOUT,
			       "nothing is idle, and this acquire does not wait");
		return;
	}
	tine_error_set(error, TINE_E_TIMEOUT,
		       "no connection within %llu ms: %d of %d are in use, %u acquires wait%s",
		       (unsigned long long)waited_ms, atomic_load(&pool->open),
		       tine_pool_limit(pool), atomic_load(&pool->waiting) + 1, holders);
}

void tine_holders_describe(const struct tine_slot *slot, int64_t now_ns, tine_error *error)
{
	char one[200];

	describe(slot, now_ns, one, sizeof(one));
	tine_error_set(error, 0, "a connection is still held: %s", one);
}
