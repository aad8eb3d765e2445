/* SPDX-License-Identifier: PostgreSQL */
/*
 * An extension that uses a libpq: linked in some manner with some copy of it, and opened by
 * opener.c in some manner. Says which copy made its connection by way of a function of that copy.
 */
#include <libpq-fe.h>
#include <stddef.h>
#include <string.h>

int caller_asks(const char *conninfo);
int caller_jumps(const char *conninfo);
int caller_points(const char *conninfo);

static int ask(PGconn *conn)
{
	PGresult *result = PQexec(conn, "select 'here'");
	int good = PQntuples(result) == 1 && strcmp(PQgetvalue(result, 0, 0), "here") == 0;

	PQclear(result);
	PQfinish(conn);
	return good;
}

int caller_asks(const char *conninfo)
{
	PGconn *volatile conn = PQconnectdb(conninfo);

	return ask(conn);
}

/* Its call becomes a jump: for the callee it looks as if our caller had called. */
__attribute__((noinline, noipa)) static PGconn *jump(const char *conninfo)
{
	return PQconnectdb(conninfo);
}

int caller_jumps(const char *conninfo)
{
	return ask(jump(conninfo));
}

/* A table of function pointers: bound when the library is loaded, whatever the rest is. */
static PGconn *(*const pointers[])(const char *) = { PQconnectdb, PQconnectStart };

int caller_points(const char *conninfo)
{
	PGconn *(*const volatile *table)(const char *) = pointers;

	return ask(table[0](conninfo));
}
