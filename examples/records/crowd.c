/* SPDX-License-Identifier: PostgreSQL */
#include "crowd.h"

#include <stddef.h>
#include <sys/mman.h>

int crowd_make(struct crowd *crowd)
{
	void *memory = mmap(NULL, CROWD_WORKERS * sizeof(*crowd->sizes), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return -1;
	crowd->sizes = memory;
	return 0;
}

static void set(const struct crowd *crowd, int worker, unsigned size)
{
	if (worker < CROWD_WORKERS &&
	    atomic_load_explicit(&crowd->sizes[worker], memory_order_relaxed) != size)
		atomic_store_explicit(&crowd->sizes[worker], size, memory_order_relaxed);
}

void crowd_tell(const struct crowd *crowd, int worker, unsigned connections)
{
	set(crowd, worker, connections + 1);
}

void crowd_leave(const struct crowd *crowd, int worker)
{
	set(crowd, worker, 0);
}

bool crowd_others_have_fewer(const struct crowd *crowd, int worker, unsigned connections)
{
	if (worker >= CROWD_WORKERS)
		return false;
	for (int other = 0; other < CROWD_WORKERS; other++) {
		unsigned size = atomic_load_explicit(&crowd->sizes[other], memory_order_relaxed);

		if (size != 0 && size < connections)
			return true;
	}
	return false;
}
