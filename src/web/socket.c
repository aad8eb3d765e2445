/* SPDX-License-Identifier: PostgreSQL */
/*
 * Replacing a stale file of a unix socket. Invariant: nobody's live socket loses its name. Between
 * the look that nobody listens and the bind, another tine-web may do the same and have bound; and
 * one that has bound and does not listen yet looks like one that is dead. So all of it, from the
 * bind to the listen, is done by one at a time, who has the lock of the directory.
 */
#include "web/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"

#define BACKLOG 64
#define LOCK_TRIES 20
#define LOCK_APART_MS 100

/* ---- unix ----------------------------------------------------------------------------------- */

/* @return descriptor, or -errno. The lock goes with it. */
static int lock_directory(const char *path)
{
	const char *slash = strrchr(path, '/');
	struct timespec apart = { 0, LOCK_APART_MS * 1000000L };
	char directory[108];
	int fd;

	snprintf(directory, sizeof(directory), "%.*s", slash ? (int)(slash - path) + 1 : 1,
		 slash ? path : ".");
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	for (int i = 0; i < LOCK_TRIES; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return fd;
		nanosleep(&apart, NULL);
	}
	close(fd);
	return -EWOULDBLOCK;
}

/* @return whether the name is free now; errno says why not */
static bool remove_stale(const struct tine_address *address)
{
	cleanup_(tine_closep) int fd =
		socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	const char *path = address->at.unix_domain.sun_path;
	struct stat st;

	if (fd < 0)
		return false;
	if (lstat(path, &st) < 0)
		return errno == ENOENT;
	if (!S_ISSOCK(st.st_mode)) {
		errno = EEXIST;
		return false;
	}
	/* Anything but a refusal may be somebody who is busy, or not ours to ask. */
	if (connect(fd, &address->at.any, address->length) == 0 || errno != ECONNREFUSED) {
		errno = EADDRINUSE;
		return false;
	}
	return unlink(path) == 0;
}

/* Nobody else may ever connect, not even before a chmod. */
static int bind_private(int fd, const struct tine_address *address)
{
	mode_t mask = umask(0177);
	int rc = bind(fd, &address->at.any, address->length) < 0 ? -errno : 0;

	umask(mask);
	return rc;
}

/* Whoever cannot have the lock binds where there is no file, and replaces none. */
static int bind_unix(int fd, const struct tine_address *address)
{
	cleanup_(tine_closep) int directory = lock_directory(address->at.unix_domain.sun_path);
	int rc = bind_private(fd, address);

	if (rc == -EADDRINUSE) {
		if (directory < 0)
			return directory;
		if (!remove_stale(address))
			return -errno;
		rc = bind_private(fd, address);
	}
	/* Before the lock is given up, so that the next one sees that somebody listens. */
	if (rc == 0 && listen(fd, BACKLOG) < 0)
		rc = -errno;
	return rc;
}

static const char *why_not(int rc)
{
	if (rc == -EADDRINUSE)
		return "somebody listens there already";
	if (rc == -EEXIST)
		return "there is a file of that name, which is no socket";
	if (rc == -EWOULDBLOCK)
		return "the directory is locked by another program";
	return strerror(-rc);
}

/* ---- all ------------------------------------------------------------------------------------ */

static int bind_to(int fd, const struct tine_address *address)
{
	int one = 1;

	if (address->is_unix)
		return bind_unix(fd, address);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (address->at.any.sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	return bind(fd, &address->at.any, address->length) < 0 ? -errno : 0;
}

static void note_file(struct tine_socket *listener, const struct tine_address *address)
{
	struct stat st;

	*listener->path = '\0';
	if (!address->is_unix || lstat(address->at.unix_domain.sun_path, &st) < 0)
		return;
	snprintf(listener->path, sizeof(listener->path), "%s", address->at.unix_domain.sun_path);
	listener->device = st.st_dev;
	listener->inode = st.st_ino;
}

int tine_socket_open(const struct tine_address *address, struct tine_socket *ret, char *error,
		     size_t error_size)
{
	int fd = socket(address->at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int rc = fd < 0 ? -errno : bind_to(fd, address);

	if (rc == 0 && listen(fd, BACKLOG) < 0)
		rc = -errno;
	if (rc < 0) {
		if (fd >= 0)
			close(fd);
		snprintf(error, error_size, "%s", why_not(rc));
		return rc;
	}
	ret->fd = fd;
	note_file(ret, address);
	return 0;
}

const char *tine_socket_name(const struct tine_socket *listener, char *text, size_t size)
{
	struct tine_address address;
	socklen_t length = sizeof(address.at);
	char host[INET6_ADDRSTRLEN] = "?";

	if (*listener->path) {
		snprintf(text, size, "unix:%s", listener->path);
		return text;
	}
	address.at.ip4.sin_port = 0;
	address.at.any.sa_family = AF_UNSPEC;
	getsockname(listener->fd, &address.at.any, &length);
	if (address.at.any.sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &address.at.ip6.sin6_addr, host, sizeof(host));
		snprintf(text, size, "http://[%s]:%d/", host, ntohs(address.at.ip6.sin6_port));
	} else {
		inet_ntop(AF_INET, &address.at.ip4.sin_addr, host, sizeof(host));
		snprintf(text, size, "http://%s:%d/", host, ntohs(address.at.ip4.sin_port));
	}
	return text;
}

void tine_socket_remove(const struct tine_socket *listener)
{
	struct stat st;

	if (*listener->path && lstat(listener->path, &st) == 0 && S_ISSOCK(st.st_mode) &&
	    st.st_dev == listener->device && st.st_ino == listener->inode)
		unlink(listener->path);
}
