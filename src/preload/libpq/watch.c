/* SPDX-License-Identifier: PostgreSQL */
#include "preload/libpq/watch.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "preload/fdtable.h"

static bool is_epoll(const char *number)
{
	char path[64], link[64];
	ssize_t length;

	snprintf(path, sizeof(path), "/proc/self/fd/%.20s", number);
	length = readlink(path, link, sizeof(link));
	return length == (ssize_t)strlen("anon_inode:[eventpoll]") &&
	       memcmp(link, "anon_inode:[eventpoll]", (size_t)length) == 0;
}

/* Not by sscanf() or strtoull(): newer glibc has other names for them than other libcs. */
static uint64_t read_number(const char *digits, unsigned base)
{
	uint64_t number = 0;

	for (digits += strspn(digits, " \t"); *digits; digits++) {
		unsigned digit =
			*digits >= 'a' ? (unsigned)(*digits - 'a' + 10) : (unsigned)(*digits - '0');

		if (digit >= base)
			break;
		number = number * base + digit;
	}
	return number;
}

static bool read_field(const char *line, const char *name, unsigned base, uint64_t *ret)
{
	const char *at = strstr(line, name);

	*ret = at ? read_number(at + strlen(name), base) : 0;
	return at;
}

/* "tfd:        5 events:       19 data:                5  pos:0 ino:61af sdev:7" */
static bool read_line(const char *line, int fd, ino_t inode, struct tine_watch *ret)
{
	uint64_t found_fd = 0, found_inode = 0, events = 0;
	bool good = read_field(line, "tfd:", 10, &found_fd) &&
		    read_field(line, "events:", 16, &events) &&
		    read_field(line, "data:", 16, &ret->data) &&
		    read_field(line, "ino:", 16, &found_inode);

	ret->events = (uint32_t)events;
	return good && found_fd == (uint64_t)fd && found_inode == inode;
}

static bool is_watched_by(const char *number, int fd, ino_t inode, struct tine_watch *ret)
{
	char path[64], line[256];
	bool found = false;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%.20s", number);
	file = fopen(path, "re");
	while (file && !found && fgets(line, sizeof(line), file))
		found = read_line(line, fd, inode, ret);
	if (file)
		fclose(file);
	ret->epoll = (int)read_number(number, 10);
	return found;
}

int tine_watch_find(int fd, ino_t inode, struct tine_watch *ret)
{
	DIR *directory = opendir("/proc/self/fd");
	const struct dirent *entry;
	int count = 0;

	while (directory && count < TINE_WATCHES && (entry = readdir(directory)))
		if (entry->d_name[0] != '.' && is_epoll(entry->d_name))
			count += is_watched_by(entry->d_name, fd, inode, &ret[count]);
	if (directory)
		closedir(directory);
	return count;
}

bool tine_watch_is_on(int fd, ino_t inode)
{
	struct tine_watch watches[TINE_WATCHES];

	return tine_fd_watched && tine_watch_find(fd, inode, watches) > 0;
}

void tine_watch_again(int fd, const struct tine_watch *watches, int count)
{
	for (int i = 0; i < count; i++) {
		struct epoll_event event = { .events = watches[i].events,
					     .data.u64 = watches[i].data };

		epoll_ctl(watches[i].epoll, EPOLL_CTL_ADD, fd, &event);
	}
}
