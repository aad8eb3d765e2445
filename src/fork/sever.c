/* SPDX-License-Identifier: PostgreSQL */
#include "fork/sever.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* A table that is full at the soft limit usually has room below the hard one. */
static bool raise_limit(struct tine_dead_end *end)
{
	struct rlimit raised;

	if (getrlimit(RLIMIT_NOFILE, &end->limit) < 0 || end->limit.rlim_cur == end->limit.rlim_max)
		return false;
	raised =
		(struct rlimit){ .rlim_cur = end->limit.rlim_max, .rlim_max = end->limit.rlim_max };
	return end->limit_raised = setrlimit(RLIMIT_NOFILE, &raised) == 0;
}

int tine_dead_end_open(struct tine_dead_end *end)
{
	struct stat st;
	int pair[2];
	int rc = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair);

	if (rc < 0 && errno == EMFILE && raise_limit(end))
		rc = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair);
	if (rc < 0) {
		rc = -errno;
		tine_dead_end_close(end);
		return rc;
	}
	close(pair[1]);
	end->fd = pair[0];
	end->inode = fstat(end->fd, &st) == 0 ? st.st_ino : 0;
	return 0;
}

void tine_dead_end_close(struct tine_dead_end *end)
{
	if (end->fd >= 0)
		close(end->fd);
	if (end->limit_raised)
		setrlimit(RLIMIT_NOFILE, &end->limit);
	*end = (struct tine_dead_end)TINE_DEAD_END_INIT;
}

int tine_sever(const struct tine_dead_end *end, int fd)
{
	int flags = fcntl(fd, F_GETFD);

	if (flags < 0 || dup3(end->fd, fd, flags & FD_CLOEXEC ? O_CLOEXEC : 0) < 0)
		return -errno;
	return 0;
}
