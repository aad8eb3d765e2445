/* SPDX-License-Identifier: PostgreSQL */
#include "preload/scan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/ports.h"
#include "fork/sever.h"
#include "preload/fdtable.h"
#include "preload/known.h"

#define OPEN_DIRECTORY (O_RDONLY | O_DIRECTORY | O_CLOEXEC)

struct scan {
	struct tine_dead_end end;
	struct tine_report *report;
	bool listeners_known;
};

/* Ports this process listens on: a connection at such a local port was accepted, not made. */
static struct tine_ports listeners;

/* Looks at one number; returns whether it is open. */
typedef bool visit_fn(struct scan *scan, int fd);

/* ---- every open descriptor ------------------------------------------------------------------ */

/* The cheap way knows how many are open (Linux 6.2 and later tell as the size of the directory) and
 * tries the numbers from 0 on until it has met them all. It gives up when the numbers are sparse.
 * Returns the first number not tried, or -1 when all have been met. */
static int walk_numbers(struct scan *scan, visit_fn *visit)
{
	struct stat st;
	long met = 0, limit;
	int fd;

	if (stat("/proc/self/fd", &st) < 0 || st.st_size <= 0)
		return 0;
	limit = st.st_size * 4 + 64;
	for (fd = 0; fd < limit; fd++) {
		met += visit(scan, fd);
		if (met >= st.st_size)
			return -1;
	}
	return fd;
}

static void visit_name(struct scan *scan, visit_fn *visit, const char *name, int first,
		       int directory)
{
	int fd = 0;

	for (; *name >= '0' && *name <= '9'; name++)
		fd = fd * 10 + (*name - '0');
	if (!*name && fd >= first && fd != directory)
		visit(scan, fd);
}

/* The way that always works, at 1 to 3 µs a descriptor. Returns false when there is no /proc. */
static bool walk_directory(struct scan *scan, visit_fn *visit, int first)
{
	static char names[32768];
	int directory = open("/proc/self/fd", OPEN_DIRECTORY);
	long bytes;

	if (directory < 0)
		return false;
	while ((bytes = syscall(SYS_getdents64, directory, names, sizeof(names))) > 0) {
		for (long at = 0; at < bytes;) {
			struct dirent64 *entry = (struct dirent64 *)(names + at);

			if (entry->d_name[0] != '.')
				visit_name(scan, visit, entry->d_name, first, directory);
			at += entry->d_reclen;
		}
	}
	close(directory);
	return true;
}

static void walk(struct scan *scan, visit_fn *visit)
{
	int first = walk_numbers(scan, visit);
	struct rlimit limit;

	if (first < 0 || walk_directory(scan, visit, first))
		return;
	/* No /proc (a chroot), or no descriptor left to open it with. */
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		for (int fd = first; (rlim_t)fd < limit.rlim_cur; fd++)
			visit(scan, fd);
}

/* ---- one descriptor ------------------------------------------------------------------------- */

static void sever(struct scan *scan, int fd, uint64_t word)
{
	struct sockaddr_storage peer = { 0 };
	socklen_t length = sizeof(peer);
	struct tine_fd_entry *entry;
	int rc = 0;

	if (getpeername(fd, (struct sockaddr *)&peer, &length) < 0)
		length = 0;
	if (scan->end.fd < 0)
		rc = tine_dead_end_open(&scan->end);
	if (rc == 0)
		rc = tine_sever(&scan->end, fd);
	if (rc < 0) {
		tine_report_failed(scan->report, -rc);
		return;
	}
	entry = tine_fd_make(fd);
	if (entry)
		entry->word = (uint64_t)scan->end.inode << TINE_FD_INODE_SHIFT | TINE_FD_SEVERED |
			      TINE_FD_LOOK_SEND | (word & TINE_FD_LIBPQ);
	tine_report_add(scan->report, &peer, length < sizeof(peer) ? length : sizeof(peer), word);
}

/* The local TCP port of a socket, 0 when it is not TCP's, -1 when the kernel does not say. */
static int local_port(int fd)
{
	struct sockaddr_storage local = { 0 };
	socklen_t length = sizeof(local);

	if (getsockname(fd, (struct sockaddr *)&local, &length) < 0)
		return -1;
	if (local.ss_family == AF_INET)
		return ntohs(((struct sockaddr_in *)&local)->sin_port);
	if (local.ss_family == AF_INET6)
		return ntohs(((struct sockaddr_in6 *)&local)->sin6_port);
	return 0;
}

static bool note_listener(struct scan *scan, int fd)
{
	socklen_t length = sizeof(int);
	int accepting = 0, port;

	(void)scan;
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepting, &length) < 0)
		return errno != EBADF;
	port = accepting ? local_port(fd) : 0;
	if (port > 0)
		tine_ports_add(&listeners, (uint16_t)port);
	return true;
}

/* Was this TCP connection accepted by a listening socket of this process? */
static bool was_accepted(struct scan *scan, int fd)
{
	int port = local_port(fd);

	if (port <= 0)
		return port < 0; /* in doubt nothing is touched */
	if (!scan->listeners_known) {
		memset(&listeners, 0, sizeof(listeners));
		walk(scan, note_listener);
		scan->listeners_known = true;
	}
	return tine_ports_has(&listeners, (uint16_t)port);
}

static bool is_stream(int fd)
{
	int type = 0;
	socklen_t length = sizeof(type);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_STREAM;
}

/* A number of which the hooks know nothing: judge it by its peer. */
static bool probe(struct scan *scan, int fd)
{
	struct sockaddr_storage peer = { 0 };
	socklen_t length = sizeof(peer);

	if ((tine_fd_word(fd) & TINE_FD_STATE_MASK) != TINE_FD_UNKNOWN || fd == scan->end.fd)
		return fd != scan->end.fd;
	if (getpeername(fd, (struct sockaddr *)&peer, &length) < 0)
		return errno != EBADF;
	if (tine_known_address((struct sockaddr *)&peer, length) && is_stream(fd) &&
	    !was_accepted(scan, fd))
		sever(scan, fd, 0);
	return true;
}

/* A number of which the hooks know: the entry holds only while the inode is the same. */
static void check_entry(struct scan *scan, int fd, struct tine_fd_entry *entry)
{
	uint64_t word = entry->word, state = word & TINE_FD_STATE_MASK;

	if (state != TINE_FD_CONNECTED && state != TINE_FD_POSTGRES)
		return;
	if (!tine_fd_holds(fd, word))
		entry->word = TINE_FD_UNKNOWN;
	else if (!is_stream(fd)) /* a datagram socket can be "connected" to any port */
		entry->word = TINE_FD_OTHER;
	else if (state == TINE_FD_POSTGRES || (word & TINE_FD_NAMED))
		sever(scan, fd, word);
	else
		entry->word = word | TINE_FD_INHERITED;
}

void tine_scan_sever(struct tine_report *report)
{
	struct scan scan = { .end = TINE_DEAD_END_INIT, .report = report };

	for (int leaf = 0; leaf < tine_fd_leaves_end; leaf++) {
		struct tine_fd_entry *entries = tine_fd_leaves[leaf];

		for (int i = 0; entries && i < TINE_FD_LEAF; i++)
			check_entry(&scan, leaf * TINE_FD_LEAF + i, &entries[i]);
	}
	walk(&scan, probe);
	tine_dead_end_close(&scan.end);
}

void tine_scan_sever_one(int fd, struct tine_report *report)
{
	struct scan scan = { .end = TINE_DEAD_END_INIT, .report = report };

	sever(&scan, fd, tine_fd_word(fd));
	tine_dead_end_close(&scan.end);
}
