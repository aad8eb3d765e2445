/* SPDX-License-Identifier: PostgreSQL */
#include "fork/origin.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/hot.h"

static volatile uint32_t never_wiped = 1;

struct tine_origin tine_origin TINE_HOT = { .word = &never_wiped };

int tine_origin_init(void)
{
	size_t size = (size_t)sysconf(_SC_PAGESIZE);
	void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	tine_origin.pid = getpid();
	if (page == MAP_FAILED)
		return -errno;
	/* User-mode emulators accept any advice: one that takes an impossible one cannot be
	 * believed. */
	if (madvise(page, size, -1) == 0 || madvise(page, size, MADV_WIPEONFORK) < 0) {
		munmap(page, size);
		return -ENOSYS;
	}
	tine_origin.word = page;
	*tine_origin.word = 1;
	return 0;
}

void tine_origin_adopt(void)
{
	tine_origin.parent = tine_origin.pid;
	tine_origin.pid = getpid();
	*tine_origin.word = 1;
}

bool tine_origin_is_borrowed(void)
{
	return getpid() != tine_origin.pid;
}
