/* SPDX-License-Identifier: PostgreSQL */
#include "base/line.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define KEPT_FROM 100

void tine_sink_init(struct tine_sink *sink, const char *path)
{
	struct stat st;

	sink->path[0] = '\0';
	sink->kept_fd = -1;
	sink->is_elsewhere = false;
	if (path && strcmp(path, "-") != 0 && strlen(path) < sizeof(sink->path))
		strcpy(sink->path, path);
	sink->stderr_known = fstat(STDERR_FILENO, &st) == 0;
	if (sink->stderr_known) {
		sink->stderr_dev = st.st_dev;
		sink->stderr_ino = st.st_ino;
	}
}

/* A stranger at descriptor 2 is written to only when that cannot damage anything: a terminal or
 * other device, a pipe, or a file that somebody opened as a log (O_APPEND). */
static bool stderr_is_harmless(const struct tine_sink *sink)
{
	struct stat st;
	int flags;

	if (fstat(STDERR_FILENO, &st) < 0)
		return false;
	if (sink->stderr_known && st.st_dev == sink->stderr_dev && st.st_ino == sink->stderr_ino)
		return true;
	if (S_ISCHR(st.st_mode) || S_ISFIFO(st.st_mode))
		return true;
	flags = fcntl(STDERR_FILENO, F_GETFL);
	return S_ISREG(st.st_mode) && flags >= 0 && (flags & O_APPEND);
}

static bool write_line(int fd, const struct tine_text *text)
{
	ssize_t bytes = (ssize_t)text->length + 1, written;

	/* in the place of the NUL, for one write */
	text->buf[text->length] = '\n';
	written = write(fd, text->buf, (size_t)bytes);
	text->buf[text->length] = '\0';
	return written == bytes;
}

int tine_sink_open(const char *path)
{
	/* O_NONBLOCK: a pipe that nobody reads must not hold the program up. */
	int fd =
		open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);

	return fd < 0 ? -errno : fd;
}

static bool has_kept(const struct tine_sink *sink)
{
	struct stat st;

	return sink->kept_fd >= 0 && fstat(sink->kept_fd, &st) == 0 &&
	       st.st_dev == sink->kept_dev && st.st_ino == sink->kept_ino;
}

void tine_sink_keep(struct tine_sink *sink)
{
	struct stat st;
	int fd;

	if (!sink->path[0] || has_kept(sink))
		return;
	fd = tine_sink_open(sink->path);
	if (fd < 0)
		return;
	/* Not one of the low numbers that programs count on. */
	sink->kept_fd = fcntl(fd, F_DUPFD_CLOEXEC, KEPT_FROM);
	close(fd);
	if (sink->kept_fd >= 0 && fstat(sink->kept_fd, &st) == 0) {
		sink->kept_dev = st.st_dev;
		sink->kept_ino = st.st_ino;
	}
}

static bool write_to_file(const struct tine_sink *sink, const struct tine_text *text)
{
	int fd = sink->is_elsewhere ? -1 : tine_sink_open(sink->path);
	bool written;

	if (fd < 0)
		return has_kept(sink) && write_line(sink->kept_fd, text);
	written = write_line(fd, text);
	close(fd);
	return written;
}

void tine_sink_write(const struct tine_sink *sink, const struct tine_text *text)
{
	int saved_errno = errno;
	bool written = sink->path[0] && write_to_file(sink, text);

	if (!written && stderr_is_harmless(sink))
		write_line(STDERR_FILENO, text);
	errno = saved_errno;
}
