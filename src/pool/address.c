/* SPDX-License-Identifier: PostgreSQL */
/*
 * The list of addresses. Owns nothing; what it allocates is one array, the caller's.
 *
 * Locks: libc's, inside getaddrinfo(). Fork: nothing to do.
 */
#include "pool/address.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "pool/error.h"

struct list {
	struct tine_address *items;
	int count, room;
};

static int add(struct list *list, const struct tine_host *host, const char *hostaddr,
	       tine_error *error)
{
	if (list->count == list->room) {
		int room = list->room ? 2 * list->room : 4;
		struct tine_address *items = realloc(list->items, (size_t)room * sizeof(items[0]));

		if (!items)
			return tine_error_set(error, TINE_E_NOMEM, "no memory for addresses");
		list->items = items;
		list->room = room;
	}
	list->items[list->count] = (struct tine_address){ .host = host->host, .port = host->port };
	snprintf(list->items[list->count].hostaddr, TINE_HOSTADDR_BYTES, "%s", hostaddr);
	list->count++;
	return 0;
}

/* As libpq does: the directory of a socket, or a name in the abstract namespace. */
static bool is_socket(const char *host)
{
	return *host == '/' || *host == '@';
}

static int resolve(const char *name, int flags, struct addrinfo **ret)
{
	struct addrinfo hints = {
		.ai_flags = flags,
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
	};

	return getaddrinfo(name, NULL, &hints, ret);
}

static int unresolved(tine_error *error, const char *host, int code)
{
	if (code == EAI_MEMORY)
		return tine_error_set(error, TINE_E_NOMEM, "no memory for addresses");
	if (code == EAI_SYSTEM)
		return tine_error_set_errno(error, TINE_E_CONNECT, errno,
					    "the host '%.200s' cannot be resolved", host);
	return tine_error_set(error, TINE_E_CONNECT, "the host '%.200s' cannot be resolved: %s",
			      host, gai_strerror(code));
}

static int add_found(struct list *list, const struct tine_host *host, const struct addrinfo *found,
		     tine_error *error)
{
	char text[TINE_HOSTADDR_BYTES];
	int rc = 0;

	for (; found && rc == 0; found = found->ai_next) {
		int code = getnameinfo(found->ai_addr, found->ai_addrlen, text, sizeof(text), NULL,
				       0, NI_NUMERICHOST);

		rc = code == 0 ? add(list, host, text, error) : unresolved(error, host->host, code);
	}
	return rc;
}

static int add_host(struct list *list, const struct tine_host *host, tine_error *error)
{
	struct addrinfo *found;
	int code, rc;

	if (*host->hostaddr)
		return add(list, host, host->hostaddr, error);
	if (!*host->host || is_socket(host->host))
		return add(list, host, "", error);
	/* An address in place of a name is not looked up: getaddrinfo() sees that by itself. */
	code = resolve(host->host, 0, &found);
	if (code != 0)
		return unresolved(error, host->host, code);
	rc = add_found(list, host, found, error);
	freeaddrinfo(found);
	return rc;
}

static void shuffle(struct tine_address *items, int count)
{
	for (int i = count - 1; i > 0; i--) {
		struct tine_address kept = items[i];
		uint32_t number = 0;
		int other;

		if (getrandom(&number, sizeof(number), GRND_NONBLOCK) < 0)
			return;
		other = (int)(number % (uint32_t)(i + 1));
		items[i] = items[other];
		items[other] = kept;
	}
}

int tine_address_list(const struct tine_conninfo *info, struct tine_address **ret, int *ret_count,
		      tine_error *error)
{
	struct list list = { 0 };
	tine_error last = { 0 };
	int rc = 0;

	for (int i = 0; i < info->host_count && rc != TINE_E_NOMEM; i++)
		rc = add_host(&list, &info->hosts[i], &last);
	if (rc == TINE_E_NOMEM || list.count == 0) {
		free(list.items);
		return tine_error_copy(error, &last);
	}
	if (info->shuffle)
		shuffle(list.items, list.count);
	*ret = list.items;
	*ret_count = list.count;
	return 0;
}
