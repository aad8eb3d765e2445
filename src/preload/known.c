/* SPDX-License-Identifier: PostgreSQL */
#include "preload/known.h"

#include <netinet/in.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/ports.h"

#define LEARNED_MAX 64
#define UNIX_NAME ".s.PGSQL."

static struct tine_ports ports;

static struct learned {
	struct sockaddr_storage address;
	socklen_t length;
	atomic_bool ready;
} learned[LEARNED_MAX];
static atomic_uint learned_count;

void tine_known_init(const char *extra_ports)
{
	tine_ports_add(&ports, 5432);
	tine_ports_add(&ports, 6432);
	if (extra_ports)
		tine_ports_add_list(&ports, extra_ports);
	for (char **variable = environ; variable && *variable; variable++) {
		const char *value = strchr(*variable, '=');

		if (!value)
			continue;
		if (strncmp(*variable, "PGPORT=", 7) == 0)
			tine_ports_add_list(&ports, value + 1);
		else
			tine_ports_add_urls(&ports, value + 1);
	}
}

/* ".s.PGSQL.<number>" as the last part of the path; an abstract name starts with a NUL instead. */
static bool unix_is_postgres(const struct sockaddr_un *address, socklen_t length)
{
	const char *path = address->sun_path, *end, *name;
	size_t bytes = length - offsetof(struct sockaddr_un, sun_path);

	if (bytes > sizeof(address->sun_path))
		bytes = sizeof(address->sun_path);
	if (bytes && !*path) {
		path++;
		bytes--;
	}
	end = path + strnlen(path, bytes);
	name = memrchr(path, '/', (size_t)(end - path));
	name = name ? name + 1 : path;
	return (size_t)(end - name) > strlen(UNIX_NAME) &&
	       !strncmp(name, UNIX_NAME, strlen(UNIX_NAME));
}

static bool is_learned(const struct sockaddr *address, socklen_t length)
{
	unsigned count = atomic_load_explicit(&learned_count, memory_order_acquire);

	for (unsigned i = 0; i < count && i < LEARNED_MAX; i++)
		if (atomic_load_explicit(&learned[i].ready, memory_order_acquire) &&
		    learned[i].length == length && !memcmp(&learned[i].address, address, length))
			return true;
	return false;
}

bool tine_known_address(const struct sockaddr *address, socklen_t length)
{
	if (length < sizeof(sa_family_t))
		return false;
	switch (address->sa_family) {
	case AF_UNIX:
		if (length <= offsetof(struct sockaddr_un, sun_path))
			return false;
		if (unix_is_postgres((const struct sockaddr_un *)address, length))
			return true;
		break;
	case AF_INET:
		if (length >= sizeof(struct sockaddr_in) &&
		    tine_ports_has(&ports, ntohs(((const struct sockaddr_in *)address)->sin_port)))
			return true;
		break;
	case AF_INET6:
		if (length >= sizeof(struct sockaddr_in6) &&
		    tine_ports_has(&ports,
				   ntohs(((const struct sockaddr_in6 *)address)->sin6_port)))
			return true;
		break;
	default:
		break;
	}
	return is_learned(address, length);
}

void tine_known_learn(const struct sockaddr *address, socklen_t length)
{
	unsigned slot;

	if (length <= sizeof(sa_family_t) || length > sizeof(learned[0].address) ||
	    tine_known_address(address, length))
		return;
	if (atomic_load_explicit(&learned_count, memory_order_relaxed) >= LEARNED_MAX)
		return;
	slot = atomic_fetch_add(&learned_count, 1);
	if (slot >= LEARNED_MAX)
		return;
	memcpy(&learned[slot].address, address, length);
	learned[slot].length = length;
	atomic_store_explicit(&learned[slot].ready, true, memory_order_release);
}
