/* SPDX-License-Identifier: PostgreSQL */
#include "base/ports.h"

#include "support/check.h"

/* The ports of a set as text, in order. */
static const char *list(const struct tine_ports *set)
{
	static char buf[256];
	size_t used = 0;

	buf[0] = '\0';
	for (int port = 0; port <= 65535; port++)
		if (tine_ports_has(set, (uint16_t)port))
			used += (size_t)snprintf(buf + used, sizeof(buf) - used, "%s%d",
						 used ? "," : "", port);
	return buf;
}

static const char *of_list(const char *text)
{
	struct tine_ports set = { 0 };

	return tine_ports_add_list(&set, text) < 0 ? "error" : list(&set);
}

static const char *of_urls(const char *text)
{
	struct tine_ports set = { 0 };

	tine_ports_add_urls(&set, text);
	return list(&set);
}

TEST(reads_lists)
{
	CHECK_STR(of_list("5432"), "5432");
	CHECK_STR(of_list("1,65535,47021"), "1,47021,65535");
	CHECK_INT(tine_ports_add_list(NULL, "5432,5433"), ==, 0);
}

TEST(refuses_wrong_lists)
{
	static const char *const wrong[] = {
		"",       "0",   "65536",     "5432,", ",5432",
		"5432;1", "abc", "5432 5433", "-1",    "99999999999999999999",
		"5432x"
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		CHECK_STR(of_list(wrong[i]), "error");
}

TEST(reads_urls_of_every_kind)
{
	CHECK_STR(of_urls("postgres://u:p@db.example:47021/app"), "47021");
	CHECK_STR(of_urls("postgresql://db/app"), "5432");
	CHECK_STR(of_urls("postgresql+psycopg2://u@h:1111/x?sslmode=require"), "1111");
	CHECK_STR(of_urls("postgresql+asyncpg://u@h:1112"), "1112");
	CHECK_STR(of_urls("jdbc:postgresql://h:1113/x"), "1113");
	CHECK_STR(of_urls("POSTGRES://H:1114/x"), "1114");
	CHECK_STR(of_urls("postgres://[::1]:1115/x"), "1115");
	CHECK_STR(of_urls("postgres://[2001:db8::1]/x"), "5432");
	CHECK_STR(of_urls("postgres://a:1116,b:1117,c/x"), "1116,1117,5432");
	CHECK_STR(of_urls("postgres://user:p%40ss@h:1118/x"), "1118");
	CHECK_STR(of_urls("postgres://user:p@ss@h:1119/x"), "1119");
	CHECK_STR(of_urls("postgres:///x?host=/run&port=1120"), "1120,5432");
	CHECK_STR(of_urls("postgres://h/x?a=b&port=1121,1122&c=d"), "1121,1122,5432");
}

TEST(finds_urls_inside_other_text)
{
	CHECK_STR(of_urls("{\"a\":\"postgres://h:2001/x\",\"b\":'postgresql://h:2002'}"),
		  "2001,2002");
	CHECK_STR(of_urls("redis://h:6379 postgres://h:2003 http://h:80"), "2003");
	CHECK_STR(of_urls("postgres"), "");
	CHECK_STR(of_urls("http://postgres:8080/"), "");
	CHECK_STR(of_urls("postgres://"), "5432");
	CHECK_STR(of_urls("postgres://h:99999/x"), "5432");
	CHECK_STR(of_urls(""), "");
}

CHECK_TABLE(T(reads_lists), T(refuses_wrong_lists), T(reads_urls_of_every_kind),
	    T(finds_urls_inside_other_text))
