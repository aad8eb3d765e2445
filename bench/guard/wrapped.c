/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a wrapped call of libpq costs: pairs of PQenterPipelineMode() and PQexitPipelineMode(), which
 * send nothing, and PQgetResult() where there is none. Usage: wrapped ROUNDS. Prints JSON: ns for
 * each call of the first and of the third.
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
	double start = now_ns(), middle;

	if (PQstatus(conn) != CONNECTION_OK) {
		fprintf(stderr, "%s", PQerrorMessage(conn));
		return 1;
	}
	for (long i = 0; i < rounds; i++) {
		PQenterPipelineMode(conn);
		PQexitPipelineMode(conn);
	}
	middle = now_ns();
	for (long i = 0; i < rounds; i++)
		PQgetResult(conn);
	printf("{\"begin_ns\": %.1f, \"result_ns\": %.1f}\n", (middle - start) / (double)rounds,
	       (now_ns() - middle) / (double)rounds);
	PQfinish(conn);
	return 0;
}
