/* SPDX-License-Identifier: PostgreSQL */
/*
 * Documents in a directory, one file each. A file is written under another name first, so that one
 * that is there is whole; and the directory with it, so that one that was stored is there after a
 * power cut.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "storage.h"

static int fail(struct storage_error *error, const char *what)
{
	snprintf(error->text, sizeof(error->text), "%s: %s", what, strerrordesc_np(errno));
	return STORAGE_FAILED;
}

static int refuse(struct storage_error *error)
{
	errno = EINVAL;
	return fail(error, "the key of a document");
}

static int copy(int from, int to, int64_t size_bytes)
{
	char piece[65536];
	int64_t at = 0;

	while (at < size_bytes) {
		ssize_t count = pread(from, piece, sizeof(piece), at);

		if (count < 0 && errno == EINTR)
			continue;
		if (count == 0)
			errno = EIO;
		if (count <= 0 || file_write(to, piece, (size_t)count) < 0)
			return -1;
		at += count;
	}
	return fsync(to);
}

static int put(struct storage *storage, const char *key, int fd, int64_t size_bytes,
	       const char *sha256, struct storage_error *error)
{
	char part[STORAGE_KEY_BYTES + 5];
	int to, rc;

	(void)sha256;
	if (!storage_is_key(key))
		return refuse(error);
	snprintf(part, sizeof(part), "%s.part", key);
	to = openat(storage->directory, part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
		    0600);
	if (to < 0)
		return fail(error, "a document cannot be made");
	rc = copy(fd, to, size_bytes);
	if (rc < 0)
		fail(error, "a document cannot be written");
	close(to);
	if (rc == 0 && renameat(storage->directory, part, storage->directory, key) < 0)
		rc = fail(error, "a document cannot be put in its place");
	if (rc < 0)
		unlinkat(storage->directory, part, 0);
	if (rc == 0 && fsync(storage->directory) < 0) {
		rc = fail(error, "the directory of documents cannot be written");
		unlinkat(storage->directory, key, 0);
	}
	return rc < 0 ? STORAGE_FAILED : STORAGE_OK;
}

static int get(struct storage *storage, const char *key, int *ret_fd, int64_t *ret_size_bytes,
	       struct storage_error *error)
{
	struct stat info;
	int fd;

	if (!storage_is_key(key))
		return refuse(error);
	fd = openat(storage->directory, key, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? STORAGE_ABSENT
				       : fail(error, "a document cannot be opened");
	if (fstat(fd, &info) < 0) {
		close(fd);
		return fail(error, "a document cannot be looked at");
	}
	*ret_fd = fd;
	*ret_size_bytes = info.st_size;
	return STORAGE_OK;
}

static int remove_file(struct storage *storage, const char *key, struct storage_error *error)
{
	if (!storage_is_key(key))
		return refuse(error);
	if (unlinkat(storage->directory, key, 0) == 0)
		return STORAGE_OK;
	return errno == ENOENT ? STORAGE_ABSENT : fail(error, "a document cannot be deleted");
}

static int exists(struct storage *storage, const char *key, struct storage_error *error)
{
	struct stat info;

	if (!storage_is_key(key))
		return refuse(error);
	if (fstatat(storage->directory, key, &info, AT_SYMLINK_NOFOLLOW) == 0)
		return STORAGE_OK;
	return errno == ENOENT ? STORAGE_ABSENT : fail(error, "a document cannot be looked at");
}

int storage_local_open(struct storage *storage, char *error, size_t error_size)
{
	const char *path = storage->config->files;

	if (mkdir(path, 0700) == 0 || errno == EEXIST)
		storage->directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (storage->directory < 0) {
		snprintf(error, error_size, "RECORDS_FILES: %s: %s", path, strerrordesc_np(errno));
		return -1;
	}
	storage->put = put;
	storage->get = get;
	storage->remove = remove_file;
	storage->exists = exists;
	return 0;
}
