/* SPDX-License-Identifier: PostgreSQL */
#include "play.h"

#include <dirent.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#define WAIT_MS 20000

PGconn *play_open(void)
{
	PGconn *conn = PQconnectdb(getenv("CONNINFO"));

	if (PQstatus(conn) != CONNECTION_OK)
		check_fail(__FILE__, __LINE__, "%s", PQerrorMessage(conn));
	return conn;
}

const char *play_ask(PGconn *conn, const char *sql)
{
	static __thread char texts[2][4096];
	static __thread int turn;
	PGresult *result = PQexec(conn, sql);
	ExecStatusType status = PQresultStatus(result);
	char *text = texts[turn ^= 1];

	if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK && status != PGRES_EMPTY_QUERY)
		check_fail(__FILE__, __LINE__, "%s: %s", sql, PQerrorMessage(conn));
	*text = '\0';
	if (status == PGRES_TUPLES_OK && PQntuples(result))
		snprintf(text, sizeof(texts[0]), "%s", PQgetvalue(result, 0, 0));
	PQclear(result);
	return text;
}

int play_number(PGconn *conn, const char *sql)
{
	return atoi(play_ask(conn, sql));
}

void play_expect_lost(PGconn *conn, const char *sql)
{
	PGresult *result = PQexec(conn, sql);

	CHECK_INT(PQresultStatus(result), ==, PGRES_FATAL_ERROR);
	PQclear(result);
	CHECK_INT(PQstatus(conn), ==, CONNECTION_BAD);
	if (!strstr(PQerrorMessage(conn), "server closed the connection unexpectedly") &&
	    !strstr(PQerrorMessage(conn), "EOF detected") &&
	    !strstr(PQerrorMessage(conn), "terminating connection"))
		check_fail(__FILE__, __LINE__, "%s", PQerrorMessage(conn));
}

bool play_wait_ms(int fd, short events, int wait_ms)
{
	struct pollfd waits = { .fd = fd, .events = events };

	return poll(&waits, 1, wait_ms) == 1;
}

bool play_wait(int fd, short events)
{
	return play_wait_ms(fd, events, WAIT_MS);
}

void play_end_session(PGconn *conn)
{
	PGconn *other = play_open();
	char sql[80], byte;
	ssize_t got;

	snprintf(sql, sizeof(sql), "select pg_terminate_backend(%d, 20000)", PQbackendPID(conn));
	CHECK_STR(play_ask(other, sql), "t");
	PQfinish(other);
	do {
		CHECK(play_wait(PQsocket(conn), POLLRDHUP));
		got = recv(PQsocket(conn), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	} while (got < 0 && errno == EAGAIN);
	/* One that was used within the last 10 ms is not looked at, by a clock that ticks in 4. */
	poll(NULL, 0, 15);
}

int64_t play_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

int play_count_fds(void)
{
	DIR *directory = opendir("/proc/self/fd");
	int count = -3; /* two names that are no numbers, and the directory's own */

	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}
