/* SPDX-License-Identifier: PostgreSQL */
/*
 * Reading sockets from /proc/PID/net/tcp, tcp6 and unix, for namespaces that may not be entered.
 * Lines that cannot be read are left out.
 *
 * Owns nothing but what it appends. Locks: none. Fork: nothing to do.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doctor/sockets.h"

static FILE *open_at(int net, const char *name)
{
	int fd = openat(net, name, O_RDONLY | O_CLOEXEC);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "r");

	if (fd >= 0 && !file)
		close(fd);
	return file;
}

/* "0100007F:1538": words of an address in this machine's order, and a port in plain hex. */
static bool parse_endpoint(const char *text, struct tine_endpoint *ret_endpoint)
{
	uint32_t words[4] = { 0 };
	unsigned port;
	size_t digits = strspn(text, "0123456789ABCDEFabcdef");

	if ((digits != 8 && digits != 32) || sscanf(text + digits, ":%x", &port) != 1)
		return false;
	for (size_t i = 0; i < digits / 8; i++)
		if (sscanf(text + 8 * i, "%8x", &words[i]) != 1)
			return false;
	tine_endpoint_set(ret_endpoint, digits == 8 ? AF_INET : AF_INET6, words, (uint16_t)port);
	return true;
}

static void parse_tcp(struct tine_sockets *sockets, uint64_t netns, sa_family_t family,
		      const char *line)
{
	struct tine_socket socket = { .netns = netns, .family = family };
	char local[64], remote[64];
	unsigned state, user;
	unsigned long long inode;

	if (sscanf(line, " %*d: %63s %63s %x %*s %*s %*s %u %*d %llu", local, remote, &state, &user,
		   &inode) != 5 ||
	    !inode || !parse_endpoint(local, &socket.local) ||
	    !parse_endpoint(remote, &socket.remote))
		return;
	if (state != TCP_ESTABLISHED && state != TCP_SYN_SENT && state != TCP_CLOSE_WAIT &&
	    state != TCP_LISTEN)
		return;
	socket.inode = inode;
	socket.state = (uint8_t)state;
	socket.user = user;
	*tine_sockets_append(sockets) = socket;
}

static void parse_unix(struct tine_sockets *sockets, uint64_t netns, const char *line)
{
	struct tine_socket *socket;
	unsigned long long inode;
	int name = 0;

	if (sscanf(line, "%*x: %*x %*x %*x %*x %*x %llu %n", &inode, &name) != 1)
		return;
	socket = tine_sockets_append(sockets);
	socket->inode = inode;
	socket->netns = netns;
	socket->family = AF_UNIX;
	socket->state = TCP_ESTABLISHED;
	if (name && line[name] && line[name] != '\n')
		socket->name = strndup(line + name, strcspn(line + name, "\n"));
}

static int parse_file(struct tine_sockets *sockets, uint64_t netns, int net, const char *name,
		      sa_family_t family)
{
	FILE *file = open_at(net, name);
	char *line = NULL;
	size_t size = 0;

	if (!file)
		return -errno;
	while (getline(&line, &size, file) > 0) {
		if (family == AF_UNIX)
			parse_unix(sockets, netns, line);
		else
			parse_tcp(sockets, netns, family, line);
	}
	free(line);
	fclose(file);
	return 0;
}

int tine_sockets_parse(struct tine_sockets *sockets, uint64_t netns, int net)
{
	int rc = parse_file(sockets, netns, net, "tcp", AF_INET);

	if (rc < 0)
		return rc;
	/* A machine can be without either of these. */
	parse_file(sockets, netns, net, "tcp6", AF_INET6);
	parse_file(sockets, netns, net, "unix", AF_UNIX);
	return 0;
}
