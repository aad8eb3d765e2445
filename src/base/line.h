/* SPDX-License-Identifier: PostgreSQL */
/*
 * Log lines. A line goes out in one write(2), so lines of many processes never interleave (POSIX
 * promises it for O_APPEND files and, up to PIPE_BUF bytes, for pipes).
 *
 * The standard error of a long-lived process cannot be trusted: a daemon closes descriptor 2, and
 * the next file it opens, perhaps its own data, gets that number. So a sink remembers what
 * descriptor 2 was when it was set up and writes to another thing only if that can do no harm.
 *
 * Fork: a sink is plain data and stays valid in the child. Locks: none. Async-signal-safe.
 */
#ifndef TINE_BASE_LINE_H
#define TINE_BASE_LINE_H

#include <limits.h>
#include <sys/stat.h>

#include "base/text.h"

#define TINE_LINE_MAX 1024 /* below PIPE_BUF (4096 on Linux) */

struct tine_sink {
	char path[PATH_MAX]; /* "" = standard error */
	dev_t stderr_dev;
	ino_t stderr_ino;
	bool stderr_known;
	bool is_elsewhere; /* the path means another file by now: what is kept, or none */
	int kept_fd;       /* -1 = none */
	dev_t kept_dev;
	ino_t kept_ino;
};

/** Set a sink up. @param path NULL, "" or "-" for standard error, else a file that is appended to
 * and, when missing, created with mode 0600. The file is opened anew for each line: a daemon that
 * closes all its descriptors, or a log rotation, costs no line. */
void tine_sink_init(struct tine_sink *sink, const char *path);

/** Open a log as tine_sink_write() does, without waiting for anybody; to see beforehand whether it
 *  can be. @return a descriptor of the caller's, or -errno */
int tine_sink_open(const char *path);

/** Keep the file open from now on, for a process that cannot open it later: as another user, or
 *  with another root directory. Who closes all descriptors, and opens something else under this
 *  number, gets no line there: the file is compared. */
void tine_sink_keep(struct tine_sink *sink);

/** Write text and a newline. When the file cannot be opened, nor was kept, the line goes to
 * standard error.
 * Failures are silent: a log line is never worth disturbing the program. errno is kept. */
void tine_sink_write(const struct tine_sink *sink, const struct tine_text *text);

#endif
