/* SPDX-License-Identifier: PostgreSQL */
/*
 * Reading /proc; see proc.h. A machine can have ten thousand processes with a hundred thousand
 * sockets: per process there is one stat, one link of its namespace and one directory of links.
 *
 * Owns the arrays of struct tine_procs. Locks: none. Fork: nothing to do.
 */
#include "doctor/proc.h"

#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/exit.h"

static void closedirp(DIR **directory)
{
	if (*directory)
		closedir(*directory);
}

/* Room for one more; sizes double. */
static void *grow(void *array, size_t count, size_t size)
{
	if (count >= 16 && (count & (count - 1)) != 0)
		return array;
	if (count > 0 && count < 16)
		return array;
	array = reallocarray(array, count ? 2 * count : 16, size);
	if (!array)
		errx(TINE_EXIT_SYSTEM, "doctor: out of memory");
	return array;
}

/* ---- one process ---------------------------------------------------------------------------- */

/* The name in parentheses may hold anything, so the fields are counted from its end. */
static bool parse_stat(char *text, struct tine_process *process)
{
	unsigned long long start, stack = 0;
	char *open = strchr(text, '('), *close = strrchr(text, ')');
	char state;

	if (!open || !close || close < open)
		return false;
	*close = '\0';
	snprintf(process->name, sizeof(process->name), "%s", open + 1);
	if (sscanf(close + 1,
		   " %c %d %d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %d %*d %llu "
		   "%*u %*d %*u %*u %*u %llu",
		   &state, &process->parent, &process->group, &process->threads, &start,
		   &stack) < 5)
		return false;
	process->start_ticks = start;
	process->stack = stack;
	return state != 'Z' && state != 'X';
}

static bool read_stat(int directory, struct tine_process *process)
{
	cleanup_(tine_closep) int fd = openat(directory, "stat", O_RDONLY | O_CLOEXEC);
	char text[1024];
	ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (length <= 0)
		return false;
	text[length] = '\0';
	return parse_stat(text, process);
}

/* "socket:[123]" or "net:[123]" */
static bool parse_link(int directory, const char *path, const char *kind, uint64_t *ret_inode)
{
	char target[64], *end;
	ssize_t length = readlinkat(directory, path, target, sizeof(target) - 1);
	size_t prefix = strlen(kind);

	if (length < (ssize_t)prefix)
		return false;
	target[length] = '\0';
	if (strncmp(target, kind, prefix) != 0)
		return false;
	*ret_inode = strtoull(target + prefix, &end, 10);
	return *end == ']';
}

/* Returns false when the descriptors may not be listed. */
static bool read_descriptors(struct tine_procs *procs, int directory, uint32_t index)
{
	int fd = openat(directory, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_(closedirp) DIR *entries = fd < 0 ? NULL : fdopendir(fd);

	if (!entries) {
		int error = errno;

		if (fd >= 0)
			close(fd);
		return error != EACCES && error != EPERM;
	}
	for (struct dirent *entry; (entry = readdir(entries)) != NULL;) {
		uint64_t inode;

		if (entry->d_name[0] == '.' || !parse_link(fd, entry->d_name, "socket:[", &inode))
			continue;
		procs->holds = grow(procs->holds, procs->holds_count, sizeof(*procs->holds));
		procs->holds[procs->holds_count++] =
			(struct tine_hold){ inode, index, (int)strtol(entry->d_name, NULL, 10) };
	}
	return true;
}

static void read_process(struct tine_procs *procs, int proc, const char *name)
{
	cleanup_(tine_closep) int directory =
		openat(proc, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct tine_process process = { .pid = (pid_t)strtol(name, NULL, 10) };

	if (directory < 0 || !read_stat(directory, &process))
		return;
	/* Kernel threads: children of kthreadd. */
	if (process.pid == 2 && process.parent == 0 && strcmp(process.name, "kthreadd") == 0)
		return;
	parse_link(directory, "ns/net", "net:[", &process.netns);
	process.readable = read_descriptors(procs, directory, (uint32_t)procs->count);
	procs->items = grow(procs->items, procs->count, sizeof(*procs->items));
	procs->items[procs->count++] = process;
}

/* ---- all processes -------------------------------------------------------------------------- */

static int by_inode(const void *left, const void *right)
{
	const struct tine_hold *a = left, *b = right;

	if (a->inode != b->inode)
		return a->inode < b->inode ? -1 : 1;
	if (a->process != b->process)
		return a->process < b->process ? -1 : 1;
	return a->fd - b->fd;
}

static int by_pid(const void *left, const void *right)
{
	const struct tine_process *a = left, *b = right;

	return a->pid < b->pid ? -1 : a->pid > b->pid;
}

struct name {
	char text[16];
	pid_t pid;
};

static int by_number(const void *left, const void *right)
{
	const struct name *a = left, *b = right;

	return a->pid < b->pid ? -1 : a->pid > b->pid;
}

/* The names of all processes, lowest first. */
static struct name *list(const char *root, size_t *ret_count)
{
	cleanup_(closedirp) DIR *entries = opendir(root);
	struct name *names = NULL;

	*ret_count = 0;
	if (!entries)
		return NULL;
	names = grow(names, 0, sizeof(*names));
	for (struct dirent *entry; (entry = readdir(entries)) != NULL;) {
		size_t length = strspn(entry->d_name, "0123456789");

		if (!length || entry->d_name[length] || length >= sizeof(names->text))
			continue;
		names = grow(names, *ret_count, sizeof(*names));
		strcpy(names[*ret_count].text, entry->d_name);
		names[*ret_count].pid = (pid_t)strtol(entry->d_name, NULL, 10);
		++*ret_count;
	}
	qsort(names, *ret_count, sizeof(*names), by_number);
	return names;
}

static void count_unreadable(struct tine_procs *procs)
{
	for (size_t i = 0; i < procs->count; i++)
		procs->unreadable += !procs->items[i].readable && procs->items[i].parent != 2;
}

static uint64_t ticks_now(long ticks_per_second)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * (uint64_t)ticks_per_second +
	       (uint64_t)now.tv_nsec * (uint64_t)ticks_per_second / 1000000000;
}

double tine_procs_elapsed_s(const struct tine_procs *procs)
{
	return (double)(ticks_now(procs->ticks_per_second) - procs->now_ticks) /
	       (double)procs->ticks_per_second;
}

int tine_procs_read(struct tine_procs *procs, const char *root)
{
	cleanup_(tine_closep) int proc = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct name *names;
	size_t count;

	memset(procs, 0, sizeof(*procs));
	if (proc < 0)
		return -errno;
	snprintf(procs->root, sizeof(procs->root), "%s", root);
	procs->ticks_per_second = sysconf(_SC_CLK_TCK);
	procs->now_ticks = ticks_now(procs->ticks_per_second);
	names = list(root, &count);
	if (!names)
		return -errno;
	for (size_t i = 0; i < count; i++)
		read_process(procs, proc, names[i].text);
	free(names);
	if (procs->holds_count)
		qsort(procs->holds, procs->holds_count, sizeof(*procs->holds), by_inode);
	count_unreadable(procs);
	return 0;
}

void tine_procs_free(struct tine_procs *procs)
{
	free(procs->items);
	free(procs->holds);
}

struct tine_process *tine_procs_find(const struct tine_procs *procs, pid_t pid)
{
	struct tine_process key = { .pid = pid };

	return procs->count ? bsearch(&key, procs->items, procs->count, sizeof(key), by_pid) : NULL;
}

/* ---- the tree ------------------------------------------------------------------------------- */

bool tine_procs_is_ancestor(const struct tine_procs *procs, const struct tine_process *ancestor,
			    const struct tine_process *process)
{
	/* Parents read at different times could form a ring. */
	for (size_t steps = 0; process && steps < procs->count; steps++) {
		if (process->parent == ancestor->pid)
			return true;
		process = process->parent ? tine_procs_find(procs, process->parent) : NULL;
	}
	return false;
}

/* Children may have lower pids than their parents, so this goes on until nothing changes. */
int tine_procs_mark(struct tine_procs *procs, pid_t pid)
{
	struct tine_process *root = pid ? tine_procs_find(procs, pid) : NULL;
	bool changed = true;

	if (pid && !root)
		return -ESRCH;
	if (root)
		root->in_tree = true;
	for (size_t i = 0; i < procs->count && !pid; i++)
		procs->items[i].in_tree = true;
	while (pid && changed) {
		changed = false;
		for (size_t i = 0; i < procs->count; i++) {
			struct tine_process *process = &procs->items[i], *parent;

			parent = process->in_tree ? NULL : tine_procs_find(procs, process->parent);
			if (parent && parent->in_tree)
				process->in_tree = changed = true;
		}
	}
	return 0;
}

/* ---- questions ------------------------------------------------------------------------------ */

const struct tine_hold *tine_procs_holds(const struct tine_procs *procs, uint64_t inode,
					 size_t *ret_count)
{
	size_t low = 0, high = procs->holds_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (procs->holds[middle].inode < inode)
			low = middle + 1;
		else
			high = middle;
	}
	for (high = low; high < procs->holds_count && procs->holds[high].inode == inode;)
		high++;
	*ret_count = high - low;
	return *ret_count ? &procs->holds[low] : NULL;
}

double tine_process_age_s(const struct tine_procs *procs, const struct tine_process *process)
{
	if (process->start_ticks > procs->now_ticks)
		return 0;
	return (double)(procs->now_ticks - process->start_ticks) / (double)procs->ticks_per_second;
}

static int open_directory(const struct tine_procs *procs, const struct tine_process *process)
{
	char path[sizeof(procs->root) + 32];
	int fd;

	snprintf(path, sizeof(path), "%s/%d", procs->root, process->pid);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

bool tine_process_is_same(const struct tine_procs *procs, const struct tine_process *process)
{
	cleanup_(tine_closep) int directory = open_directory(procs, process);
	struct tine_process now = { .pid = process->pid };

	return directory >= 0 && read_stat(directory, &now) &&
	       now.start_ticks == process->start_ticks;
}

bool tine_process_holds(const struct tine_procs *procs, const struct tine_process *process, int fd,
			uint64_t inode)
{
	cleanup_(tine_closep) int directory = open_directory(procs, process);
	char path[32];
	uint64_t now;

	snprintf(path, sizeof(path), "fd/%d", fd);
	return directory >= 0 && parse_link(directory, path, "socket:[", &now) && now == inode;
}

int tine_process_open(const struct tine_procs *procs, const struct tine_process *process,
		      const char *name)
{
	cleanup_(tine_closep) int directory = open_directory(procs, process);
	struct tine_process now = { .pid = process->pid };
	int fd;

	if (directory < 0)
		return directory;
	/* Through the directory that was opened: it stays that of this process. */
	if (!read_stat(directory, &now) || now.start_ticks != process->start_ticks)
		return -ESRCH;
	/* Not waiting, should somebody have put a pipe there. */
	fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

ssize_t tine_process_read(const struct tine_procs *procs, const struct tine_process *process,
			  const char *name, size_t limit, char **ret_text)
{
	cleanup_(tine_closep) int fd = tine_process_open(procs, process, name);
	size_t size = 16384, length = 0;
	ssize_t got = 0;
	char *text;

	*ret_text = NULL;
	if (fd < 0)
		return fd;
	text = malloc(size + 1);
	while (text && length < limit && (got = read(fd, text + length, size - length)) > 0) {
		length += (size_t)got;
		if (length == size) {
			char *larger = realloc(text, 2 * size + 1);

			if (!larger)
				free(text);
			text = larger;
			size *= 2;
		}
	}
	if (!text)
		errx(TINE_EXIT_SYSTEM, "doctor: out of memory");
	if (got < 0 && length == 0) {
		got = -errno;
		free(text);
		return got;
	}
	text[length] = '\0';
	*ret_text = text;
	return (ssize_t)length;
}
