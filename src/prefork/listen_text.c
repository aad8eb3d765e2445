/* SPDX-License-Identifier: PostgreSQL */
#include "prefork/listen_text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#define UNIX_PREFIX "unix:"
#define SHOWN_BYTES 80

int tine_listen_number(const char *text, int64_t most, int64_t *ret_number)
{
	int64_t number = 0;

	if (!*text)
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		if (__builtin_mul_overflow(number, 10, &number) ||
		    __builtin_add_overflow(number, *text - '0', &number) || number > most)
			return -EINVAL;
	}
	*ret_number = number;
	return 0;
}

static int refuse(char *error, size_t error_size, const char *text, size_t length, const char *why)
{
	snprintf(error, error_size, "listen: '%.*s' %s",
		 (int)(length < SHOWN_BYTES ? length : SHOWN_BYTES), text, why);
	return -EINVAL;
}

static bool has_blank_or_control(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)text[i] <= ' ' || text[i] == 0x7f)
			return true;
	return false;
}

static int read_unix(const char *text, size_t length, struct tine_listen_address *address,
		     char *error, size_t error_size)
{
	size_t prefix = strlen(UNIX_PREFIX), path = length - prefix;

	if (path < 2 || path >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return refuse(error, error_size, text, length, "has a path of a wrong length");
	address->is_unix = true;
	memcpy(address->host, text + prefix, path);
	address->host[path] = '\0';
	return 0;
}

/* "HOST:PORT", "[IPV6]:PORT", ":PORT". @return the length of the host with its brackets, or 0 */
static const char *find_port(const char *text, size_t length)
{
	const char *colon = memrchr(text, ':', length);

	if (!colon)
		return NULL;
	if (*text == '[')
		return colon > text + 1 && colon[-1] == ']' ? colon : NULL;
	return memchr(text, ':', length) == colon ? colon : NULL;
}

static int read_tcp(const char *text, size_t length, struct tine_listen_address *address,
		    char *error, size_t error_size)
{
	const char *colon = find_port(text, length), *host = text;
	size_t host_length, port_length;
	int64_t number;

	if (!colon)
		return refuse(error, error_size, text, length,
			      "is none of HOST:PORT, [IPV6]:PORT, :PORT, unix:PATH");
	host_length = (size_t)(colon - text);
	port_length = length - host_length - 1;
	if (*text == '[') {
		host++;
		host_length -= 2;
	}
	if (port_length < 1 || port_length > 5 || host_length >= sizeof(address->host))
		return refuse(error, error_size, text, length, "has no port from 0 to 65535");
	memcpy(address->port, colon + 1, port_length);
	address->port[port_length] = '\0';
	if (tine_listen_number(address->port, 65535, &number) < 0)
		return refuse(error, error_size, text, length, "has no port from 0 to 65535");
	memcpy(address->host, host, host_length);
	address->host[host_length] = '\0';
	return 0;
}

int tine_listen_next(const char **list, struct tine_listen_address *ret_address, char *error,
		     size_t error_size)
{
	struct tine_listen_address address = { 0 };
	const char *text = *list + strspn(*list, ", ");
	size_t length = strcspn(text, ",");
	int rc;

	*list = text + length;
	while (length && text[length - 1] == ' ')
		length--;
	if (!length)
		return 0;
	if (has_blank_or_control(text, length))
		return refuse(error, error_size, text, length, "has a blank in it");
	if (length > strlen(UNIX_PREFIX) && strncmp(text, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0)
		rc = read_unix(text, length, &address, error, error_size);
	else
		rc = read_tcp(text, length, &address, error, error_size);
	if (rc < 0)
		return rc;
	*ret_address = address;
	return 1;
}

int tine_listen_handed_over(const char *pid, const char *fds, int64_t own_pid, char *error,
			    size_t error_size)
{
	int64_t whose, count;

	if (!pid || !fds || !*pid)
		return 0;
	if (tine_listen_number(pid, INT32_MAX, &whose) < 0) {
		snprintf(error, error_size, "LISTEN_PID: '%.80s' is not the number of a process",
			 pid);
		return -EINVAL;
	}
	if (whose != own_pid)
		return 0;
	if (tine_listen_number(fds, TINE_LISTEN_MAX, &count) < 0) {
		snprintf(error, error_size, "LISTEN_FDS: '%.80s' is not a number from 0 to %d", fds,
			 TINE_LISTEN_MAX);
		return -EINVAL;
	}
	return (int)count;
}

static bool is_name(const char *text, size_t length)
{
	if (length == 0 || length >= TINE_LISTEN_NAME_BYTES)
		return false;
	for (size_t i = 0; i < length; i++)
		if (text[i] < ' ' || text[i] > '~')
			return false;
	return true;
}

void tine_listen_name(const char *names, int index, char name[TINE_LISTEN_NAME_BYTES])
{
	size_t length;

	name[0] = '\0';
	for (; names && index > 0; index--) {
		names = strchr(names, ':');
		names = names ? names + 1 : NULL;
	}
	if (!names)
		return;
	length = strcspn(names, ":");
	if (!is_name(names, length))
		return;
	memcpy(name, names, length);
	name[length] = '\0';
}
