/* SPDX-License-Identifier: PostgreSQL */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <sodium.h>

#define STEP_BYTES 16384

char *file_read_fd(int fd, size_t *ret_length)
{
	size_t size = 0, used = 0;
	char *data = NULL;

	for (;;) {
		ssize_t count;

		if (size - used < STEP_BYTES) {
			char *grown = malloc(size += 2 * STEP_BYTES);

			if (!grown)
				break;
			/* It may be a password: no copy is left behind. */
			if (data) {
				memcpy(grown, data, used);
				sodium_memzero(data, used);
			}
			free(data);
			data = grown;
		}
		count = read(fd, data + used, STEP_BYTES);
		if (count == 0) {
			data[used] = '\0';
			if (ret_length)
				*ret_length = used;
			return data;
		}
		if (count < 0 && errno != EINTR)
			break;
		used += count > 0 ? (size_t)count : 0;
	}
	free(data);
	return NULL;
}

char *file_read(const char *directory, const char *name, size_t *ret_length, char *error,
		size_t error_size)
{
	char path[4096];
	char *data = NULL;
	int fd, length = snprintf(path, sizeof(path), "%s%s%s", directory ? directory : "",
				  directory ? "/" : "", name);

	if (length < 0 || (size_t)length >= sizeof(path)) {
		snprintf(error, error_size, "the path of %s is too long", name);
		return NULL;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		data = file_read_fd(fd, ret_length);
		close(fd);
	}
	if (!data)
		snprintf(error, error_size, "%s: %s", path, strerrordesc_np(errno));
	return data;
}

int file_temporary(void)
{
	const char *directory = getenv("TMPDIR");
	int fd = open(directory && *directory ? directory : "/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC,
		      0600);

	return fd >= 0 ? fd : memfd_create("records", MFD_CLOEXEC);
}

int file_write(int fd, const char *data, size_t length)
{
	while (length > 0) {
		ssize_t count = write(fd, data, length);

		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0)
			return -1;
		data += count;
		length -= (size_t)count;
	}
	return 0;
}
