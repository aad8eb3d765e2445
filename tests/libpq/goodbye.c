/* SPDX-License-Identifier: PostgreSQL */
/*
 * Built twice: a library whose destructor sends a statement on a connection of its program's and
 * finishes it, and (-DPROGRAM) the program.
 */
#include <libpq-fe.h>
#include <stdio.h>

void lend_to_library(PGconn *conn);

#ifdef PROGRAM
int main(void)
{
	PGconn *conn = PQconnectdb("");

	printf("%d\n", PQstatus(conn));
	lend_to_library(conn);
	return 0;
}
#else
static PGconn *kept;

void lend_to_library(PGconn *conn)
{
	kept = conn;
}

__attribute__((destructor)) static void say_goodbye(void)
{
	for (int i = 0; i < 2; i++) {
		PGresult *result = PQexec(kept, "select 'goodbye'");

		printf("%s\n", PQntuples(result) ? PQgetvalue(result, 0, 0) : PQerrorMessage(kept));
		PQclear(result);
	}
	PQfinish(kept);
	printf("over\n");
	fflush(stdout);
}
#endif
