/* SPDX-License-Identifier: PostgreSQL */
/*
 * Looking up a name within a time. getaddrinfo() has no limit of its own that could be chosen, so
 * it runs in a thread that can be left behind.
 *
 * Locks: none. Fork: nothing to do.
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "doctor/bounded.h"
#include "doctor/session.h"
#include "pool/error.h"

#define ADDRESSES_MAX 32 /* of one name; what a server of names may say is without limit */

struct lookup {
	char *name;
	int rc;
	struct addrinfo *found;
};

static void lookup_free(struct lookup *lookup)
{
	if (lookup && lookup->found)
		freeaddrinfo(lookup->found);
	if (lookup)
		free(lookup->name);
	free(lookup);
}

static void lookup_run(void *arg)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct lookup *lookup = arg;

	lookup->rc = getaddrinfo(lookup->name, NULL, &hints, &lookup->found);
}

static bool is_known(char **addresses, int count, const char *address)
{
	for (int i = 0; i < count; i++)
		if (strcmp(addresses[i], address) == 0)
			return true;
	return false;
}

static int copy_addresses(const struct addrinfo *found, char ***ret_addresses, tine_error *error)
{
	char text[NI_MAXHOST], **addresses = calloc(ADDRESSES_MAX, sizeof(*addresses));
	int count = 0;

	for (; addresses && found && count < ADDRESSES_MAX; found = found->ai_next) {
		if (getnameinfo(found->ai_addr, found->ai_addrlen, text, sizeof(text), NULL, 0,
				NI_NUMERICHOST) != 0 ||
		    is_known(addresses, count, text))
			continue;
		addresses[count] = strdup(text);
		count += addresses[count] != NULL;
	}
	*ret_addresses = addresses;
	if (count == 0) {
		free(addresses);
		*ret_addresses = NULL;
		return tine_error_set(error, TINE_E_CONNECT, "the name has no address");
	}
	return count;
}

int tine_session_resolve(const struct tine_dsn_host *host, int timeout_ms, char ***ret_addresses,
			 tine_error *error)
{
	struct lookup *lookup;
	bool has_started;
	int count;

	*ret_addresses = NULL;
	if (host->is_socket)
		return 0;
	lookup = calloc(1, sizeof(*lookup));
	if (lookup)
		lookup->name = strdup(*host->hostaddr ? host->hostaddr : host->host);
	if (!lookup || !lookup->name) {
		lookup_free(lookup);
		return tine_error_set(error, TINE_E_NOMEM, "no memory to look up a name");
	}
	if (!tine_bounded_call(lookup_run, lookup, timeout_ms, &has_started)) {
		if (has_started)
			return tine_error_set(error, TINE_E_CONNECT_TIMEOUT,
					      "the servers of names did not answer within %.1f s",
					      timeout_ms / 1e3);
		lookup_free(lookup);
		return tine_error_set(error, TINE_E_SYSTEM, "no thread to look up a name");
	}
	count = lookup->rc == 0
			? copy_addresses(lookup->found, ret_addresses, error)
			: tine_error_set(error, TINE_E_CONNECT, "%s", gai_strerror(lookup->rc));
	lookup_free(lookup);
	return count;
}
