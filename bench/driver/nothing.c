/* SPDX-License-Identifier: PostgreSQL */
/*
 * The floor of a pool under an unmodified program: what is finished is handed out at the next
 * connect, unseen, whatever was asked for; with NOTHING_RESET, as new by a DISCARD ALL that is sent
 * when it is finished and answered when it is handed out. LD_PRELOAD it under pgbench -C, whose one
 * thread asks for the same each time.
 */
#include <dlfcn.h>
#include <libpq-fe.h>
#include <stdlib.h>

#define PARKED_MAX 64

static PGconn *parked[PARKED_MAX];
static int count;

static PGconn *make_ready(PGconn *conn)
{
	PGresult *result;

	while ((result = PQgetResult(conn)) != NULL)
		PQclear(result);
	return conn;
}

PGconn *PQconnectdbParams(const char *const *keywords, const char *const *values, int expand_dbname)
{
	static PGconn *(*real)(const char *const *, const char *const *, int);

	if (count)
		return make_ready(parked[--count]);
	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "PQconnectdbParams");
	return real(keywords, values, expand_dbname);
}

void PQfinish(PGconn *conn)
{
	static void (*real)(PGconn *);

	if (count < PARKED_MAX) {
		if (getenv("NOTHING_RESET"))
			PQsendQuery(conn, "DISCARD ALL");
		parked[count++] = conn;
		return;
	}
	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "PQfinish");
	real(conn);
}
