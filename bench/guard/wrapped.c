/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a wrapped call of libpq costs: pairs of PQenterPipelineMode(), which is wrapped, and
 * PQexitPipelineMode(), which is not; neither sends anything. Usage: wrapped ROUNDS, with the
 * environment saying where to connect. Prints ns for each pair.
 */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

int main(int argc, char **argv)
{
	long rounds = argc > 1 ? atol(argv[1]) : 1000000;
	PGconn *conn = PQconnectdb("");
	double start;

	if (PQstatus(conn) != CONNECTION_OK) {
		fprintf(stderr, "%s", PQerrorMessage(conn));
		return 1;
	}
	start = now_ns();
	for (long i = 0; i < rounds; i++) {
		PQenterPipelineMode(conn);
		PQexitPipelineMode(conn);
	}
	printf("%.1f\n", (now_ns() - start) / (double)rounds);
	PQfinish(conn);
	return 0;
}
