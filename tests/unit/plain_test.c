/* SPDX-License-Identifier: PostgreSQL */
/* The quick answer for plain SELECTs is never another than the reader's. */
#include "preload/libpq/plain.h"

#include <string.h>

#include "preload/libpq/effect.h"
#include "support/check.h"

static const char *const plain[] = {
	"SELECT 1",
	"select a, b from t where id = $1 order by n.id",
	"SELECT abalance FROM pgbench_accounts WHERE aid = 123;",
	"SELECT *\n\tFROM a.b ; \n",
	"select step, tem, tem_p from p",
	"select set, listen, prepare from execute",
	"select ",
};

static const char *const not_plain[] = {
	"",
	"selec",
	"SELECT",
	" SELECT 1",
	"SELECT 1; SELECT 2",
	"SELECT 1;;",
	"SELECT nextval FROM f()",
	"SELECT a FROM t WHERE b = 'x'",
	"SELECT \"a\" FROM t",
	"SELECT 1 -- set",
	"SELECT 1 /* set */",
	"SELECT $$a$$",
	"SELECT $a$ ; set a = b; $a$",
	"SELECT $",
	"SELECT 1 INTO TEMP x",
	"SELECT 1 INTO temporary x",
	"SELECT 1 INTO pg_temp.x",
	"SELECT 1 INTO Pg_TeMP.x",
	"SELECT '\\'",
	"SELECT caf\xc3\xa9",
	"SET a = b",
	"INSERT INTO t VALUES",
};

static void count(void *context, const struct tine_effect *effect)
{
	int *effects = context;

	(void)effect;
	++*effects;
}

TEST(what_is_plain_has_no_effect)
{
	for (size_t i = 0; i < sizeof(plain) / sizeof(*plain); i++) {
		char text[256] = "/**/";
		int effects = 0;

		CHECK(tine_plain_is_select(plain[i]));
		/* The comment leaves it to the reader. */
		CHECK(!tine_plain_is_select(strcat(text, plain[i])));
		CHECK_INT(tine_effect_read(text, true, true, count, &effects), ==, 1);
		CHECK_INT(effects, ==, 0);
		CHECK_INT(tine_effect_read(plain[i], true, true, count, &effects), ==, 1);
		CHECK_INT(effects, ==, 0);
	}
}

TEST(what_is_not_certain_is_not_plain)
{
	for (size_t i = 0; i < sizeof(not_plain) / sizeof(*not_plain); i++)
		CHECK(!tine_plain_is_select(not_plain[i]));
}

CHECK_TABLE(T(what_is_plain_has_no_effect), T(what_is_not_certain_is_not_plain))
