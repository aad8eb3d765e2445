/* SPDX-License-Identifier: PostgreSQL */
#include "prefork/listen_text.h"

#include "support/check.h"

static char error[256];

static int handed(const char *pid, const char *fds)
{
	error[0] = '\0';
	return tine_listen_handed_over(pid, fds, 4711, error, sizeof(error));
}

TEST(sockets_that_are_handed_over)
{
	CHECK_INT(handed(NULL, NULL), ==, 0);
	CHECK_INT(handed("4711", NULL), ==, 0);
	CHECK_INT(handed(NULL, "1"), ==, 0);
	CHECK_INT(handed("", "1"), ==, 0);
	CHECK_INT(handed("4711", "0"), ==, 0);
	CHECK_INT(handed("4711", "1"), ==, 1);
	CHECK_INT(handed("4711", "32"), ==, 32);
	CHECK_INT(handed("4712", "1"), ==, 0);
	/* of another process, whatever it says */
	CHECK_INT(handed("4712", "rubbish"), ==, 0);
	CHECK_STR(error, "");
}

TEST(hostile_variables_are_refused_by_name)
{
	static const char *const counts[] = {
		"",    "-1", "+1",  "33",         "1 ",
		"0x1", "1.", "1e3", "2147483648", "99999999999999999999",
		"1\n", "one"
	};
	static const char *const pids[] = {
		"-4711", "4711 ", " 4711", "4711x", "9223372036854775808", "0x1267"
	};

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		CHECK_INT(handed("4711", counts[i]), ==, -EINVAL);
		CHECK_CONTAINS(error, "LISTEN_FDS: '");
		CHECK_CONTAINS(error, "is not a number from 0 to 32");
	}
	for (size_t i = 0; i < sizeof(pids) / sizeof(pids[0]); i++) {
		CHECK_INT(handed(pids[i], "1"), ==, -EINVAL);
		CHECK_CONTAINS(error, "LISTEN_PID: '");
	}
}

TEST(names_of_sockets_that_are_handed_over)
{
	char name[TINE_LISTEN_NAME_BYTES], longer[200];

	tine_listen_name("web:admin", 0, name);
	CHECK_STR(name, "web");
	tine_listen_name("web:admin", 1, name);
	CHECK_STR(name, "admin");
	tine_listen_name("web:admin", 2, name);
	CHECK_STR(name, "");
	tine_listen_name("web::admin", 1, name);
	CHECK_STR(name, "");
	tine_listen_name(NULL, 0, name);
	CHECK_STR(name, "");
	tine_listen_name("a\033[2Jb", 0, name);
	CHECK_STR(name, "");
	memset(longer, 'x', sizeof(longer));
	longer[199] = '\0';
	tine_listen_name(longer, 0, name);
	CHECK_STR(name, "");
}

static struct tine_listen_address address;

/* @return the number of addresses, or -EINVAL */
static int read_all(const char *list)
{
	int count = 0, rc;

	error[0] = '\0';
	while ((rc = tine_listen_next(&list, &address, error, sizeof(error))) > 0)
		count++;
	return rc < 0 ? rc : count;
}

TEST(addresses)
{
	static const struct {
		const char *text, *host, *port;
		bool is_unix;
	} good[] = {
		{ "127.0.0.1:8000", "127.0.0.1", "8000", false },
		{ "localhost:http", NULL, NULL, false },
		{ ":80", "", "80", false },
		{ "[::1]:65535", "::1", "65535", false },
		{ "[::]:0", "::", "0", false },
		{ " db.example.org:1 ", "db.example.org", "1", false },
		{ "unix:/run/app.sock", "/run/app.sock", "", true },
		{ "unix:@app", "@app", "", true },
		{ "unix:80", "80", "", true },
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		CHECK_INT(read_all(good[i].text), ==, good[i].host ? 1 : -EINVAL);
		if (!good[i].host)
			continue;
		CHECK_STR(address.host, good[i].host);
		CHECK_STR(address.port, good[i].port);
		CHECK_INT(address.is_unix, ==, good[i].is_unix);
	}
	CHECK_INT(read_all(""), ==, 0);
	CHECK_INT(read_all(" , ,"), ==, 0);
	CHECK_INT(read_all(":1,:2, :3 ,unix:/a"), ==, 4);
}

TEST(addresses_that_are_none)
{
	static const char *const bad[] = {
		"8000",   "127.0.0.1:", "::1:80",     "[::1]",         "[::1]80", "[::1",
		":65536", ":-1",        ":080000",    "host:80:90",    "a b:80",  "unix:",
		"unix:x", "host:80\n",  "\033[2J:80", "127.0.0.1:8O00"
	};
	char longer[300];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		CHECK_INT(read_all(bad[i]), ==, -EINVAL);
		CHECK_CONTAINS(error, "listen: '");
	}
	memset(longer, 'x', sizeof(longer));
	memcpy(longer, "unix:/", 6);
	longer[299] = '\0';
	CHECK_INT(read_all(longer), ==, -EINVAL);
	memcpy(longer + 297, ":1", 2);
	longer[0] = 'y';
	CHECK_INT(read_all(longer), ==, -EINVAL);
}

CHECK_TABLE(T(sockets_that_are_handed_over), T(hostile_variables_are_refused_by_name),
	    T(names_of_sockets_that_are_handed_over), T(addresses), T(addresses_that_are_none))
