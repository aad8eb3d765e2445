/* SPDX-License-Identifier: PostgreSQL */
#include "preload/fdtable.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include "base/hot.h"

struct tine_fd_entry *_Atomic tine_fd_leaves[TINE_FD_LEAVES];
_Atomic int tine_fd_leaves_end;
_Atomic bool tine_fd_watched;
struct tine_fd_entry *_Atomic tine_fd_first_leaf TINE_HOT;

static void note_end(int end)
{
	int seen = atomic_load(&tine_fd_leaves_end);

	while (seen < end && !atomic_compare_exchange_weak(&tine_fd_leaves_end, &seen, end))
		;
}

bool tine_fd_holds(int fd, uint64_t word)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode) &&
	       st.st_ino == word >> TINE_FD_INODE_SHIFT;
}

struct tine_fd_entry *tine_fd_make(int fd)
{
	const size_t leaf_bytes = sizeof(struct tine_fd_entry) * TINE_FD_LEAF;
	struct tine_fd_entry *entry = tine_fd_find(fd), *none = NULL;
	void *leaf;

	if (entry || (unsigned)fd >= (unsigned)TINE_FD_LEAF * TINE_FD_LEAVES)
		return entry;
	/* Not malloc(): hooks run in signal handlers too. */
	leaf = mmap(NULL, leaf_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (leaf == MAP_FAILED)
		return NULL;
	note_end(fd / TINE_FD_LEAF + 1);
	if (!atomic_compare_exchange_strong(&tine_fd_leaves[fd / TINE_FD_LEAF], &none, leaf))
		munmap(leaf, leaf_bytes);
	atomic_store(&tine_fd_first_leaf, tine_fd_leaves[0]);
	return tine_fd_find(fd);
}
