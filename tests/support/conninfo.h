/* SPDX-License-Identifier: PostgreSQL */
/*
 * For tests of what a pool connects to: an environment without PostgreSQL's variables, and a
 * conninfo made with a libpq, the real one or another. Included by one C file of a program.
 */
#ifndef TINE_TESTS_CONNINFO_H
#define TINE_TESTS_CONNINFO_H

#include "pool/config.h"
#include "pool/conninfo.h"
#include "support/check.h"

static struct tine_conninfo info;
static tine_pool_config config;
static tine_error error;

static inline void forget_environment(void)
{
	static const char *const names[] = {
		"PGHOST",        "PGHOSTADDR",
		"PGPORT",        "PGUSER",
		"PGDATABASE",    "PGPASSWORD",
		"PGPASSFILE",    "PGSERVICE",
		"PGSERVICEFILE", "PGSSLMODE",
		"PGGSSENCMODE",  "PGAPPNAME",
		"PGOPTIONS",     "PGTARGETSESSIONATTRS",
		"PGSSLROOTCERT", "LANGUAGE",
		"PGREQUIRESSL",  "PGCONNECT_TIMEOUT",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unsetenv(names[i]);
	setenv("PGPASSFILE", "/nonexistent", 1);
	setenv("PGUSER", "app", 1);
}

static inline int make_with(const struct tine_pq *pq, const char *conninfo)
{
	config.conninfo = conninfo;
	error = (tine_error){ 0 };
	tine_conninfo_done(&info);
	return tine_conninfo_new(&info, pq, &config, &error);
}

static inline int make(const char *conninfo)
{
	return make_with(&tine_pq_linked, conninfo);
}

static inline void begin(void)
{
	forget_environment();
	tine_pool_config_init(&config);
}

static inline void refuses(const char *conninfo, const char *part)
{
	int rc = make(conninfo);

	CHECK_INT(rc, ==, TINE_E_INVALID);
	CHECK_INT(error.status, ==, TINE_E_INVALID);
	CHECK_CONTAINS(error.text, part);
	CHECK(!strstr(error.text, "?"));
	CHECK(!info.keywords && !info.hosts && info.host_count == 0);
}

#endif
