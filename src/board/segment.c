/* SPDX-License-Identifier: PostgreSQL */
#include "board/segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "board/process.h"
#include "board/word.h"

#define SUFFIX ".board"
/* Who is about to enlist in a board is not on it yet. */
#define YOUNG_NS ((int64_t)TINE_NS_PER_S)
/* Making one takes milliseconds. */
#define DRAFT_LONGEST_S 60
#define PIECE_BYTES 65536

/* ---- the directory -------------------------------------------------------------------------- */

void tine_segment_directory(uid_t user, char ret_path[PATH_MAX])
{
	const char *named = secure_getenv("TINE_BOARD_DIRECTORY");

	if (named && *named)
		snprintf(ret_path, PATH_MAX, "%s", named);
	else
		snprintf(ret_path, PATH_MAX, "%s/tine-%u",
			 access("/dev/shm", W_OK | X_OK) == 0 ? "/dev/shm" : "/tmp",
			 (unsigned)user);
}

int tine_segment_make_directory(char ret_path[PATH_MAX])
{
	struct stat st;

	tine_segment_directory(geteuid(), ret_path);
	if (mkdir(ret_path, 0700) < 0 && errno != EEXIST)
		return -errno;
	if (lstat(ret_path, &st) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & 077) ? 0 : -EPERM;
}

void tine_segment_each(const char *directory, bool (*fn)(const char *path, void *arg), void *arg)
{
	DIR *dir = opendir(directory);
	struct dirent *entry;
	bool more = true;

	if (!dir)
		return;
	while (more && (entry = readdir(dir))) {
		size_t length = strlen(entry->d_name);
		char path[PATH_MAX];

		if (*entry->d_name == '.' || length <= strlen(SUFFIX) ||
		    strcmp(entry->d_name + length - strlen(SUFFIX), SUFFIX) != 0)
			continue;
		if (snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name) < PATH_MAX)
			more = fn(path, arg);
	}
	closedir(dir);
}

/* Who was killed while making a board leaves a file of its size. */
static void collect_drafts(const char *directory)
{
	DIR *dir = opendir(directory);
	struct dirent *entry;
	struct stat st;

	if (!dir)
		return;
	while ((entry = readdir(dir)))
		if (strstr(entry->d_name, SUFFIX ".") &&
		    fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode) && st.st_mtime < time(NULL) - DRAFT_LONGEST_S)
			unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
}

/* ---- mapping -------------------------------------------------------------------------------- */

static int check_file(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || (st.st_mode & 077) || st.st_uid != geteuid())
		return -EPERM;
	/* A file that is too short would be SIGBUS later. */
	return st.st_size == (off_t)sizeof(struct tine_board_layout) ? 0 : -EPROTO;
}

/* @return NULL with errno */
static struct tine_board_layout *map_file(int fd)
{
	struct tine_board_layout *map =
		mmap(NULL, sizeof(*map), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return map == MAP_FAILED ? NULL : map;
}

int tine_segment_map(const char *path, struct tine_board_layout **ret)
{
	cleanup_(tine_closep) int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	int rc;

	*ret = NULL;
	if (fd < 0)
		return -errno;
	rc = check_file(fd);
	if (rc < 0)
		return rc;
	*ret = map_file(fd);
	if (!*ret)
		return -errno;
	if ((*ret)->magic == TINE_BOARD_MAGIC && (*ret)->layout == TINE_BOARD_LAYOUT &&
	    (*ret)->size_bytes == sizeof(struct tine_board_layout))
		return 0;
	tine_segment_unmap(*ret);
	*ret = NULL;
	return -EPROTO;
}

void tine_segment_unmap(const struct tine_board_layout *map)
{
	munmap((void *)map, sizeof(*map));
}

/* ---- copying -------------------------------------------------------------------------------- */

static int read_all(int fd, void *to, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t length = pread(fd, (char *)to + done, size - done, (off_t)done);

		if (length < 0)
			return -errno;
		if (length == 0)
			return -EILSEQ;
		done += (size_t)length;
	}
	return 0;
}

/* The head of every layout, by which the others are told from what is no board. */
static int check_head(int fd, uint32_t *ret_layout)
{
	struct {
		uint64_t magic;
		uint32_t layout, size_bytes;
	} head;
	int rc = read_all(fd, &head, sizeof(head));

	if (rc < 0)
		return rc;
	if (head.magic != TINE_BOARD_MAGIC)
		return -EILSEQ;
	*ret_layout = head.layout;
	if (head.layout != TINE_BOARD_LAYOUT)
		return -EPROTO;
	return head.size_bytes == sizeof(struct tine_board_layout) ? 0 : -EILSEQ;
}

static int copy_file(int fd, struct tine_board_layout **ret)
{
	struct tine_board_layout *copy = aligned_alloc(64, sizeof(*copy));
	int rc;

	if (!copy)
		return -ENOMEM;
	rc = read_all(fd, copy, sizeof(*copy));
	if (rc < 0)
		free(copy);
	else
		*ret = copy;
	return rc;
}

int tine_segment_copy(const char *path, struct tine_board_layout **ret, uid_t *ret_owner,
		      uint32_t *ret_layout)
{
	cleanup_(tine_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;
	int rc;

	*ret_layout = 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || (st.st_mode & 077))
		return -EPERM;
	*ret_owner = st.st_uid;
	rc = check_head(fd, ret_layout);
	return rc < 0 ? rc : copy_file(fd, ret);
}

/* ---- making --------------------------------------------------------------------------------- */

static void fill(struct tine_board_layout *map, const char *name, uint64_t inode)
{
	map->magic = TINE_BOARD_MAGIC;
	map->layout = TINE_BOARD_LAYOUT;
	map->size_bytes = sizeof(*map);
	map->boot = tine_process_boot();
	map->inode = inode;
	map->pid_namespace = tine_process_namespace();
	map->made_ns = tine_clock_ns();
	map->fair_share = UINT32_MAX;
	if (name)
		snprintf(map->name, sizeof(map->name), "%s", name);
}

/* In pieces, since a signal interrupts it, and would again and again. */
static int allocate(int fd, size_t size)
{
	for (size_t at = 0; at < size;) {
		size_t piece = size - at < PIECE_BYTES ? size - at : PIECE_BYTES;
		int rc = posix_fallocate(fd, (off_t)at, (off_t)piece);

		if (rc == 0)
			at += piece;
		else if (rc != EINTR)
			return -rc;
	}
	return 0;
}

/* Under another name until it is whole. All of it is allocated, so that a full file system is an
 * error now and not a signal later. */
static int make_as(const char *draft, const char *path, const char *name,
		   struct tine_board_layout **ret)
{
	cleanup_(tine_closep) int fd =
		open(draft, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct stat st = { 0 };
	int rc;

	if (fd < 0)
		return -errno;
	rc = allocate(fd, sizeof(struct tine_board_layout));
	if (rc == 0 && (fchmod(fd, 0600) < 0 || fstat(fd, &st) < 0))
		rc = -errno;
	*ret = rc == 0 ? map_file(fd) : NULL;
	if (rc == 0 && !*ret)
		rc = -errno;
	if (*ret) {
		fill(*ret, name, st.st_ino);
		if (link(draft, path) < 0) {
			rc = -errno;
			tine_segment_unmap(*ret);
		}
	}
	unlink(draft);
	return rc;
}

uint64_t tine_segment_name(void)
{
	uint64_t random;

	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
		random = (uint64_t)tine_clock_ns() ^ (uint64_t)getpid() << 32;
	return random;
}

int tine_segment_make(const char *path, const char *name, struct tine_board_layout **ret)
{
	char draft[PATH_MAX];

	if (snprintf(draft, sizeof(draft), "%s.%016llx", path,
		     (unsigned long long)tine_segment_name()) >= PATH_MAX)
		return -ENAMETOOLONG;
	return make_as(draft, path, name, ret);
}

/* ---- the end -------------------------------------------------------------------------------- */

static bool is_alive(const struct tine_board_layout *map, int place, uint64_t own_namespace)
{
	const struct tine_board_member *member = &map->members[place];
	uint64_t word = atomic_load(&member->word);

	if (tine_place_state(word) == TINE_PLACE_FREE)
		return false;
	/* Another pid namespace's processes cannot be told from here. */
	if (tine_place_state(word) == TINE_PLACE_CLAIMED
		    ? atomic_load(&map->mixed)
		    : atomic_load(&member->pid_namespace) != own_namespace)
		return true;
	return !tine_process_is_dead(tine_place_pid(word), tine_place_start(word));
}

/* Who cannot tell either of the two must not take a board for an old one. */
bool tine_segment_is_of_other_boot(const struct tine_board_layout *map)
{
	uint64_t boot = tine_process_boot();

	return boot && map->boot && map->boot != boot;
}

bool tine_segment_is_dead(const struct tine_board_layout *map)
{
	uint64_t own_namespace = tine_process_namespace();

	if (tine_segment_is_of_other_boot(map))
		return true;
	if (!own_namespace || atomic_load(&map->pid_namespace) != own_namespace)
		return false;
	for (int i = 0; i < TINE_BOARD_MEMBERS; i++)
		if (is_alive(map, i, own_namespace))
			return false;
	return true;
}

/* One at a time removes boards of a directory: between its look at a name and the removal nobody
 * else frees the name for a new board. A lock of the kernel, which goes with its process; it is
 * never waited for. */
static int lock_directory_of(const char *path)
{
	char directory[PATH_MAX];
	const char *slash = strrchr(path, '/');
	int fd;

	snprintf(directory, sizeof(directory), "%.*s", slash ? (int)(slash - path) : 1,
		 slash ? path : ".");
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Explicitly: a child that was forked meanwhile has the descriptor too. */
static void unlockp(const int *fd)
{
	if (*fd < 0)
		return;
	flock(*fd, LOCK_UN);
	close(*fd);
}

/* Who enlists looks at "dead" afterwards, we set it before we look again: one of us sees the
 * other. */
bool tine_segment_remove_if_dead(const char *path, struct tine_board_layout *map)
{
	cleanup_(unlockp) int lock = -1;
	struct stat st;

	/* Who died in here may have left a board marked as dead that is not. */
	if (!tine_segment_is_dead(map) && !atomic_load(&map->dead))
		return false;
	lock = lock_directory_of(path);
	if (lock < 0 || stat(path, &st) < 0 || st.st_ino != map->inode)
		return false;
	atomic_store(&map->dead, 1);
	if (!tine_segment_is_dead(map)) {
		atomic_store(&map->dead, 0);
		return false;
	}
	return unlink(path) == 0;
}

static bool collect_one(const char *path, void *unused)
{
	struct tine_board_layout *map;

	(void)unused;
	tine_segment_map(path, &map);
	if (!map)
		return true;
	if (tine_segment_is_of_other_boot(map) ||
	    tine_clock_ns() - atomic_load(&map->made_ns) > YOUNG_NS)
		tine_segment_remove_if_dead(path, map);
	tine_segment_unmap(map);
	return true;
}

void tine_segment_collect(const char *directory)
{
	tine_segment_each(directory, collect_one, NULL);
	collect_drafts(directory);
}
