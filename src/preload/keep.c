/* SPDX-License-Identifier: PostgreSQL */
#include "preload/keep.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <unistd.h>

#include "fork/sever.h"
#include "preload/ahead.h"
#include "preload/fdtable.h"

/* No descriptor has it: nothing is kept, and the hooks look all the same. */
#define NO_NUMBER INT_MAX

__thread int tine_keep_fd = -1;

static __thread struct {
	uintptr_t start, end;
	bool is_cut;
	bool is_lost; /* the number could not be kept, and is somebody else's by now */
	bool was_asked;
} keep;

static bool is_for(const void *caller)
{
	return (uintptr_t)caller >= keep.start && (uintptr_t)caller < keep.end;
}

void tine_keep_begin(int fd, uintptr_t start, uintptr_t end)
{
	keep.start = start;
	keep.end = end;
	keep.is_cut = keep.is_lost = false;
	tine_keep_fd = fd;
}

bool tine_keep_sever(int fd)
{
	int saved_errno = errno;
	struct tine_dead_end end = TINE_DEAD_END_INIT;
	struct tine_fd_entry *entry = tine_fd_make(fd);
	bool done = tine_dead_end_open(&end) == 0 && tine_sever(&end, fd) == 0;

	if (done && entry)
		entry->word = (uint64_t)end.inode << TINE_FD_INODE_SHIFT | TINE_FD_SEVERED |
			      TINE_FD_LOOK_SEND | TINE_FD_LIBPQ;
	tine_dead_end_close(&end);
	errno = saved_errno;
	return done;
}

void tine_keep_cut(void)
{
	keep.is_cut = true;
	if (!keep.is_lost)
		tine_keep_sever(tine_keep_fd);
}

void tine_keep_end(bool is_used)
{
	int fd = tine_keep_fd;
	struct tine_fd_entry *entry = tine_fd_find(fd);

	tine_keep_fd = -1;
	if (is_used || keep.is_lost)
		return;
	if (entry)
		entry->word = TINE_FD_UNKNOWN;
	close(fd);
}

void tine_keep_refuse(uintptr_t start, uintptr_t end)
{
	keep.start = start;
	keep.end = end;
	keep.is_cut = true;
	keep.is_lost = keep.was_asked = false;
	tine_keep_fd = NO_NUMBER;
}

bool tine_keep_refused(void)
{
	tine_keep_fd = -1;
	return keep.was_asked;
}

bool tine_keep_close(int fd, const void *caller)
{
	if (fd != tine_keep_fd || !is_for(caller) || keep.is_lost)
		return false;
	tine_ahead_forget(fd);
	keep.is_lost = !tine_keep_sever(fd);
	return !keep.is_lost;
}

bool tine_keep_allows(const void *caller)
{
	if (!keep.is_cut || !is_for(caller))
		return true;
	keep.was_asked = true;
	return false;
}

int tine_keep_socket(int fd, const void *caller)
{
	int flags = fcntl(fd, F_GETFD);

	if (!is_for(caller) || keep.is_lost || flags < 0 ||
	    dup3(fd, tine_keep_fd, flags & FD_CLOEXEC ? O_CLOEXEC : 0) < 0)
		return fd;
	close(fd);
	return tine_keep_fd;
}
