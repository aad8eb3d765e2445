/* SPDX-License-Identifier: PostgreSQL */
#include "base/line.h"

#include <fcntl.h>

#include "support/check.h"

static char directory[] = "/tmp/tine-line-XXXXXX";
static char path[64];

static void make_directory(void)
{
	CHECK(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/log", directory);
}

static void write_line(const struct tine_sink *sink, const char *words)
{
	char buf[TINE_LINE_MAX];
	struct tine_text text;

	tine_text_init(&text, buf, sizeof(buf));
	tine_text_add(&text, words);
	tine_sink_write(sink, &text);
}

static const char *content(const char *file)
{
	static char buf[256];
	int fd = open(file, O_RDONLY);
	ssize_t length;

	CHECK_INT(fd, >=, 0);
	length = read(fd, buf, sizeof(buf) - 1);
	CHECK_INT(length, >=, 0);
	buf[length] = '\0';
	close(fd);
	return buf;
}

static void clean(void)
{
	unlink(path);
	CHECK_INT(rmdir(directory), ==, 0);
}

TEST(appends_to_a_private_file)
{
	struct tine_sink sink;
	struct stat st;

	make_directory();
	umask(0);
	tine_sink_init(&sink, path);
	write_line(&sink, "one");
	write_line(&sink, "two");
	CHECK_STR(content(path), "one\ntwo\n");
	CHECK_INT(stat(path, &st), ==, 0);
	CHECK_INT(st.st_mode & 0777, ==, 0600);
	clean();
}

TEST(survives_the_removal_of_the_file)
{
	struct tine_sink sink;

	make_directory();
	tine_sink_init(&sink, path);
	write_line(&sink, "one");
	CHECK_INT(unlink(path), ==, 0);
	write_line(&sink, "two");
	CHECK_STR(content(path), "two\n");
	clean();
}

TEST(falls_back_to_standard_error)
{
	struct tine_sink sink;
	int fd;

	make_directory();
	fd = open(path, O_RDWR | O_CREAT, 0600);
	dup2(fd, STDERR_FILENO);
	tine_sink_init(&sink, "/nonexistent/log");
	write_line(&sink, "here");
	CHECK_STR(content(path), "here\n");
	clean();
}

TEST(waits_for_nobody)
{
	struct tine_sink sink;
	int ends[2];
	char got[8] = "";

	make_directory();
	CHECK_INT(mkfifo(path, 0600), ==, 0);
	CHECK_INT(pipe(ends), ==, 0);
	dup2(ends[1], STDERR_FILENO);
	tine_sink_init(&sink, path);
	write_line(&sink, "fifo");
	CHECK_INT(read(ends[0], got, sizeof(got)), ==, 5);
	clean();
}

TEST(never_writes_into_a_strangers_file)
{
	struct tine_sink sink;
	int fd;

	make_directory();
	tine_sink_init(&sink, NULL);
	/* What a daemon does: close 2, open its data, which then is 2. */
	close(STDERR_FILENO);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	CHECK_INT(dup2(fd, STDERR_FILENO), ==, STDERR_FILENO);
	errno = EXDEV;
	write_line(&sink, "no");
	CHECK_INT(errno, ==, EXDEV);
	CHECK_STR(content(path), "");
	clean();
}

TEST(follows_a_redirection_to_a_log_or_pipe)
{
	struct tine_sink sink;
	char got[8] = "";
	int ends[2];

	make_directory();
	tine_sink_init(&sink, "-");
	CHECK_INT(dup2(open(path, O_WRONLY | O_CREAT | O_APPEND, 0600), 2), ==, 2);
	write_line(&sink, "log");
	CHECK_STR(content(path), "log\n");
	CHECK_INT(pipe(ends), ==, 0);
	dup2(ends[1], 2);
	write_line(&sink, "pipe");
	CHECK_INT(read(ends[0], got, sizeof(got)), ==, 5);
	clean();
}

CHECK_TABLE(T(appends_to_a_private_file), T(survives_the_removal_of_the_file),
	    T(falls_back_to_standard_error), T(waits_for_nobody),
	    T(never_writes_into_a_strangers_file), T(follows_a_redirection_to_a_log_or_pipe))
