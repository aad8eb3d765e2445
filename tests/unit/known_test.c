/* SPDX-License-Identifier: PostgreSQL */
#include "preload/known.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/un.h>

#include "support/check.h"

static bool known_tcp(const char *host, uint16_t port)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

	if (inet_pton(AF_INET, host, &v4.sin_addr) == 1)
		return tine_known_address((struct sockaddr *)&v4, sizeof(v4));
	CHECK_INT(inet_pton(AF_INET6, host, &v6.sin6_addr), ==, 1);
	return tine_known_address((struct sockaddr *)&v6, sizeof(v6));
}

/* length of the path as given, without a NUL: the kernel need not add one */
static bool known_unix(const char *path, size_t length)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	memcpy(address.sun_path, path, length);
	return tine_known_address((struct sockaddr *)&address,
				  (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length));
}

#define KNOWN_UNIX(path) known_unix(path, sizeof(path) - 1)

TEST(reads_ports_from_the_environment)
{
	setenv("PGPORT", "5433,5434", 1);
	setenv("DATABASE_URL", "postgres://u:p@h:47021/x", 1);
	setenv("REDIS_URL", "redis://h:6379", 1);
	tine_known_init("7000,7001");
	CHECK(known_tcp("10.0.0.1", 5432) && known_tcp("::1", 6432));
	CHECK(known_tcp("127.0.0.1", 5433) && known_tcp("::1", 5434));
	CHECK(known_tcp("127.0.0.1", 47021) && known_tcp("::1", 7001));
	CHECK(!known_tcp("127.0.0.1", 6379) && !known_tcp("::1", 7002));
}

TEST(knows_unix_sockets_by_name)
{
	tine_known_init(NULL);
	CHECK(KNOWN_UNIX("/var/run/postgresql/.s.PGSQL.5432"));
	CHECK(KNOWN_UNIX("/var/run/postgresql/.s.PGSQL.47021\0"));
	CHECK(KNOWN_UNIX(".s.PGSQL.1"));
	CHECK(KNOWN_UNIX("\0/tmp/.s.PGSQL.5432"));
	CHECK(KNOWN_UNIX("\0.s.PGSQL.5432"));
	CHECK(!KNOWN_UNIX("/tmp/.s.PGSQL."));
	CHECK(!KNOWN_UNIX("/tmp/.s.PGSQL.5432/other"));
	CHECK(!KNOWN_UNIX("/run/redis.sock"));
	CHECK(!KNOWN_UNIX(""));
	CHECK(!KNOWN_UNIX("\0"));
}

TEST(learns_exact_addresses)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(40000) };

	tine_known_init(NULL);
	address.sin_addr.s_addr = inet_addr("10.0.0.1");
	tine_known_learn((struct sockaddr *)&address, sizeof(address));
	CHECK(known_tcp("10.0.0.1", 40000));
	CHECK(!known_tcp("10.0.0.2", 40000));
	CHECK(!known_tcp("10.0.0.1", 40001));
	/* Full: nothing is lost, nothing is overwritten. */
	for (int i = 0; i < 200; i++) {
		address.sin_port = htons((uint16_t)(41000 + i));
		tine_known_learn((struct sockaddr *)&address, sizeof(address));
	}
	CHECK(known_tcp("10.0.0.1", 40000) && known_tcp("10.0.0.1", 41062));
	CHECK(!known_tcp("10.0.0.1", 41063));
}

CHECK_TABLE(T(reads_ports_from_the_environment), T(knows_unix_sockets_by_name),
	    T(learns_exact_addresses))
