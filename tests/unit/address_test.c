/* SPDX-License-Identifier: PostgreSQL */
/*
 * The addresses of hosts. getaddrinfo() is this program's own: it knows two names.
 */
#include "pool/address.h"

#include <dlfcn.h>
#include <netdb.h>
#include <sys/socket.h>

#include "support/conninfo.h"

static int lookups;

typedef int (*getaddrinfo_fn)(const char *, const char *, const struct addrinfo *,
			      struct addrinfo **);

static int numeric(const char *address, struct addrinfo **ret)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM };
	void *real = dlsym(RTLD_NEXT, "getaddrinfo");

	return ((getaddrinfo_fn)real)(address, NULL, &hints, ret);
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
		struct addrinfo **ret)
{
	CHECK(service == NULL);
	if (hints->ai_flags & AI_NUMERICHOST)
		return numeric(node, ret);
	CHECK_INT(hints->ai_family, ==, AF_UNSPEC);
	CHECK_INT(hints->ai_socktype, ==, SOCK_STREAM);
	lookups++;
	if (strcmp(node, "two.example") == 0) {
		int rc = numeric("2001:db8::1", ret);

		return rc ? rc : numeric("192.0.2.1", &(*ret)->ai_next);
	}
	if (strcmp(node, "one.example") == 0)
		return numeric("192.0.2.7", ret);
	return numeric(node, ret);
}

/* ---- addresses ------------------------------------------------------------------------------ */

static struct tine_address *addresses;
static int address_count;

static int list(const char *conninfo)
{
	CHECK_INT(make(conninfo), ==, 0);
	free(addresses);
	addresses = NULL;
	return tine_address_list(&info, &addresses, &address_count, &error);
}

static void check_address(int index, const char *host, const char *hostaddr, const char *port)
{
	CHECK_INT(index, <, address_count);
	CHECK_STR(addresses[index].host, host);
	CHECK_STR(addresses[index].hostaddr, hostaddr);
	CHECK_STR(addresses[index].port, port);
}

TEST(what_is_no_name_is_not_looked_up)
{
	begin();
	CHECK_INT(list("host=/tmp,@abstract,one.example port=1,2,3 hostaddr=,,192.0.2.9"), ==, 0);
	CHECK_INT(address_count, ==, 3);
	check_address(0, "/tmp", "", "1");
	check_address(1, "@abstract", "", "2");
	check_address(2, "one.example", "192.0.2.9", "3");
	CHECK_INT(list("host=''"), ==, 0);
	CHECK_INT(address_count, ==, 1);
	check_address(0, "", "", "5432");
	CHECK_INT(lookups, ==, 0);
}

TEST(each_address_of_a_name_is_tried)
{
	begin();
	CHECK_INT(list("host=two.example,192.0.2.3,one.example port=1,2,3"), ==, 0);
	CHECK_INT(address_count, ==, 4);
	check_address(0, "two.example", "2001:db8::1", "1");
	check_address(1, "two.example", "192.0.2.1", "1");
	check_address(2, "192.0.2.3", "192.0.2.3", "2");
	check_address(3, "one.example", "192.0.2.7", "3");
}

TEST(a_name_that_is_not_known_is_left_out)
{
	begin();
	CHECK_INT(list("host=none.example,one.example port=1,2"), ==, 0);
	CHECK_INT(address_count, ==, 1);
	check_address(0, "one.example", "192.0.2.7", "2");
	CHECK_INT(list("host=none.example"), ==, TINE_E_CONNECT);
	CHECK_CONTAINS(error.text, "the host 'none.example' cannot be resolved: ");
	CHECK_CONTAINS(error.text, gai_strerror(EAI_NONAME));
	CHECK(!addresses);
	CHECK_INT(tine_address_list(&info, &addresses, &address_count, NULL), ==, TINE_E_CONNECT);
}

TEST(addresses_are_shuffled_when_asked)
{
	int first[4] = { 0 };

	begin();
	CHECK_INT(list("host=/a,/b,/c,/d"), ==, 0);
	info.shuffle = true;
	for (int i = 0; i < 400; i++) {
		int seen = 0;

		free(addresses);
		CHECK_INT(tine_address_list(&info, &addresses, &address_count, &error), ==, 0);
		CHECK_INT(address_count, ==, 4);
		for (int at = 0; at < 4; at++)
			seen |= 1 << (addresses[at].host[1] - 'a');
		CHECK_INT(seen, ==, 15);
		first[addresses[0].host[1] - 'a']++;
	}
	/* Expected 100 each; below 40 once in a billion runs. */
	for (int i = 0; i < 4; i++)
		CHECK_INT(first[i], >, 40);
}

TEST(params_are_those_of_the_address)
{
	const char *keywords[TINE_CONNINFO_MAX], *values[TINE_CONNINFO_MAX];
	int count;

	begin();
	CHECK_INT(list("host=two.example port=7 user=u"), ==, 0);
	count = tine_conninfo_params(&info, &addresses[1], keywords, values);
	CHECK_STR(keywords[count - 3], "host");
	CHECK_STR(values[count - 3], "two.example");
	CHECK_STR(keywords[count - 2], "hostaddr");
	CHECK_STR(values[count - 2], "192.0.2.1");
	CHECK_STR(keywords[count - 1], "port");
	CHECK_STR(values[count - 1], "7");
	CHECK(!keywords[count] && !values[count]);
	CHECK_INT(count, ==, info.count + 3);
	CHECK_INT(count, <, TINE_CONNINFO_MAX - 4);
}

CHECK_TABLE(T(what_is_no_name_is_not_looked_up), T(each_address_of_a_name_is_tried),
	    T(a_name_that_is_not_known_is_left_out), T(addresses_are_shuffled_when_asked),
	    T(params_are_those_of_the_address))
