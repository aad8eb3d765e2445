/* SPDX-License-Identifier: PostgreSQL */
#include "prefork/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "pool/error.h"

#define ERROR_BYTES 256

/* ---- handed over ---------------------------------------------------------------------------- */

static void name_by_address(int fd, char name[TINE_LISTEN_NAME_BYTES])
{
	struct sockaddr_storage address = { 0 };
	socklen_t length = sizeof(address);
	char host[64], port[8];

	if (getsockname(fd, (struct sockaddr *)&address, &length) < 0 ||
	    getnameinfo((struct sockaddr *)&address, length, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV) != 0 ||
	    address.ss_family == AF_UNIX) {
		snprintf(name, TINE_LISTEN_NAME_BYTES, "descriptor %d", fd);
		return;
	}
	snprintf(name, TINE_LISTEN_NAME_BYTES, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}

static int check_handed(int fd, tine_error *error)
{
	int listens = 0;
	socklen_t length = sizeof(listens);

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length) < 0)
		return tine_error_set_errno(error, TINE_E_INVALID, errno,
					    "LISTEN_FDS: descriptor %d is no socket", fd);
	if (!listens)
		return tine_error_set(error, TINE_E_INVALID,
				      "LISTEN_FDS: the socket at descriptor %d does not listen",
				      fd);
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ||
	    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
		return tine_error_set_errno(error, TINE_E_SYSTEM, errno,
					    "LISTEN_FDS: descriptor %d", fd);
	return 0;
}

static int take_handed(struct tine_listeners *listeners, int count, tine_error *error)
{
	const char *names = secure_getenv("LISTEN_FDNAMES");

	for (int i = 0; i < count; i++) {
		int rc = check_handed(TINE_LISTEN_FIRST_FD + i, error);

		if (rc < 0)
			return rc;
	}
	for (int i = 0; i < count; i++) {
		struct tine_listener *listener = &listeners->items[i];

		*listener = (struct tine_listener){ .fd = TINE_LISTEN_FIRST_FD + i };
		tine_listen_name(names, i, listener->name);
		if (!listener->name[0])
			name_by_address(listener->fd, listener->name);
	}
	listeners->count = count;
	return 0;
}

/* ---- opened here ---------------------------------------------------------------------------- */

static int fail(tine_error *error, const char *what)
{
	return tine_error_set_errno(error, TINE_E_SYSTEM, errno, "cannot listen on %s", what);
}

static int add(struct tine_listeners *listeners, int fd, const char *path)
{
	struct tine_listener *listener = &listeners->items[listeners->count++];

	*listener = (struct tine_listener){ .fd = fd, .made = true };
	if (!path)
		name_by_address(fd, listener->name);
	else
		snprintf(listener->name, sizeof(listener->name), "unix:%.100s", path);
	if (path && *path != '@')
		snprintf(listener->path, sizeof(listener->path), "%s", path);
	return 0;
}

/* A file that a former master left behind is in the way; one that somebody listens on is not ours
 * to remove, nor is anything else than a socket. */
static void remove_stale(const struct sockaddr_un *address, socklen_t length)
{
	struct stat st;
	int fd;

	if (lstat(address->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	if (connect(fd, (const struct sockaddr *)address, length) < 0 && errno == ECONNREFUSED)
		unlink(address->sun_path);
	close(fd);
}

static int open_unix(struct tine_listeners *listeners, const char *path, int backlog,
		     tine_error *error)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t bytes = strlen(path);
	socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	memcpy(address.sun_path, path, bytes);
	if (*path == '@') {
		address.sun_path[0] = '\0';
	} else {
		length++;
		remove_stale(&address, length);
	}
	if (fd >= 0 && bind(fd, (const struct sockaddr *)&address, length) == 0 &&
	    listen(fd, backlog) == 0)
		return add(listeners, fd, path);
	fail(error, path);
	if (fd >= 0)
		close(fd);
	return TINE_E_SYSTEM;
}

static int open_info(struct tine_listeners *listeners, const struct addrinfo *info, int backlog)
{
	int one = 1;
	int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	/* So that [::]:80 and 0.0.0.0:80 can stand side by side, as ":80" opens them. */
	if (info->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (bind(fd, info->ai_addr, info->ai_addrlen) < 0 || listen(fd, backlog) < 0) {
		int saved_errno = errno;

		close(fd);
		return -saved_errno;
	}
	return add(listeners, fd, NULL);
}

static int open_all(struct tine_listeners *listeners, const struct addrinfo *first, int backlog)
{
	int opened = 0, rc = 0;

	for (const struct addrinfo *info = first; info && rc == 0; info = info->ai_next) {
		if (listeners->count == TINE_LISTEN_MAX)
			return -E2BIG;
		rc = open_info(listeners, info, backlog);
		/* A machine without IPv6 has no address of that family. */
		if (rc == -EAFNOSUPPORT || rc == -EADDRNOTAVAIL)
			rc = info->ai_next || opened ? 0 : rc;
		else if (rc == 0)
			opened++;
	}
	return rc;
}

static int open_tcp(struct tine_listeners *listeners, const struct tine_listen_address *address,
		    int backlog, tine_error *error)
{
	struct addrinfo hints = { .ai_flags = AI_PASSIVE | AI_NUMERICSERV,
				  .ai_socktype = SOCK_STREAM };
	const char *host = address->host[0] ? address->host : NULL;
	struct addrinfo *first;
	int rc = getaddrinfo(host, address->port, &hints, &first);

	if (rc != 0)
		return tine_error_set(error, TINE_E_SYSTEM, "cannot listen on %s:%s: %s",
				      address->host, address->port, gai_strerror(rc));
	rc = open_all(listeners, first, backlog);
	freeaddrinfo(first);
	if (rc == 0)
		return 0;
	return tine_error_set_errno(error, TINE_E_SYSTEM, -rc, "cannot listen on %s:%s",
				    address->host, address->port);
}

static int open_list(struct tine_listeners *listeners, const char *list, int backlog,
		     tine_error *error)
{
	struct tine_listen_address address;
	char text[ERROR_BYTES];
	int rc;

	while ((rc = tine_listen_next(&list, &address, text, sizeof(text))) > 0) {
		if (listeners->count == TINE_LISTEN_MAX)
			return tine_error_set(error, TINE_E_INVALID, "listen: more than %d sockets",
					      TINE_LISTEN_MAX);
		rc = address.is_unix ? open_unix(listeners, address.host, backlog, error)
				     : open_tcp(listeners, &address, backlog, error);
		if (rc < 0)
			return rc;
	}
	return rc < 0 ? tine_error_set(error, TINE_E_INVALID, "%s", text) : 0;
}

int tine_listeners_open(struct tine_listeners *listeners, const char *list, int backlog,
			tine_error *error)
{
	char text[ERROR_BYTES];
	int rc, handed = tine_listen_handed_over(secure_getenv("LISTEN_PID"),
						 secure_getenv("LISTEN_FDS"), getpid(), text,
						 sizeof(text));

	listeners->count = 0;
	if (handed < 0)
		return tine_error_set(error, TINE_E_INVALID, "%s", text);
	if (handed > 0)
		return take_handed(listeners, handed, error);
	rc = list ? open_list(listeners, list, backlog, error) : 0;
	if (rc < 0)
		tine_listeners_close(listeners, true);
	return rc;
}

void tine_listeners_close(struct tine_listeners *listeners, bool with_files)
{
	for (int i = 0; i < listeners->count; i++) {
		const struct tine_listener *listener = &listeners->items[i];

		if (with_files && listener->made && listener->path[0])
			unlink(listener->path);
		close(listener->fd);
	}
	listeners->count = 0;
}
