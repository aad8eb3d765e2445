/* SPDX-License-Identifier: PostgreSQL */
/*
 * Small clients of libpq, one per name in argv[1]. Each prints what libpq answers, so that a run
 * under tine can be laid beside a bare one. PG* variables say where the server is.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <libpq-fe.h>
#include <libpq/libpq-fs.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static PGconn *login(void)
{
	PGconn *conn = PQconnectdb("");

	if (PQstatus(conn) != CONNECTION_OK) {
		printf("no connection: %s", PQerrorMessage(conn));
		exit(1);
	}
	return conn;
}

static void show(PGresult *result)
{
	printf("%s %s\n", PQresStatus(PQresultStatus(result)), PQcmdStatus(result));
	for (int row = 0; row < PQntuples(result); row++)
		for (int column = 0; column < PQnfields(result); column++)
			printf("  %s\n", PQgetvalue(result, row, column));
	if (PQresultStatus(result) == PGRES_FATAL_ERROR)
		printf("  %s", PQresultErrorMessage(result));
	PQclear(result);
}

static void ask(PGconn *conn, const char *sql)
{
	show(PQexec(conn, sql));
}

static void fetch(PGconn *conn)
{
	PGresult *result;

	while ((result = PQgetResult(conn)))
		show(result);
}

/* What libpq refuses, and what it answers with NULL. */
static void refused(void)
{
	PGconn *conn = login();

	show(PQexec(conn, NULL));
	printf("%d\n", PQsendQuery(conn, NULL));
	show(PQprepare(conn, NULL, "select 1", 0, NULL));
	show(PQexecPrepared(conn, NULL, 0, NULL, NULL, NULL, 0));
	show(PQexecParams(conn, NULL, 0, NULL, NULL, NULL, NULL, 0));
	ask(conn, "");
	ask(conn, "-- nothing");
	printf("%d\n", PQsendQuery(conn, "select 'first'"));
	printf("%d\n", PQsendQuery(conn, "select 'too early'"));
	ask(conn, "select 'throws away the first'");
	PQfinish(conn);
	ask(NULL, "select 1");
	printf("%d %d\n", PQsendQuery(NULL, "select 1"), PQgetResult(NULL) != NULL);
	PQreset(NULL);
	PQfinish(NULL);
}

/* A connection that is lost in a transaction stays lost, however often it is used. */
static void lost(void)
{
	PGconn *conn = login();
	PGconn *other = login();
	char sql[80];

	ask(conn, "begin");
	snprintf(sql, sizeof(sql), "select pg_terminate_backend(%d, 5000)", PQbackendPID(conn));
	ask(other, sql);
	for (int i = 0; i < 3; i++) {
		PGresult *result = PQexec(conn, "select 1");

		printf("%d %d\n", PQresultStatus(result) == PGRES_FATAL_ERROR, PQstatus(conn));
		PQclear(result);
	}
	show(PQexecPrepared(conn, "none", 0, NULL, NULL, NULL, 0));
	printf("%d\n", PQsendQuery(conn, "select 1"));
	PQreset(conn);
	ask(conn, "select 'anew'");
	PQfinish(conn);
	PQfinish(other);
}

static void copy(void)
{
	PGconn *conn = login();
	char *line;

	ask(conn, "create temp table t (a int, b text)");
	ask(conn, "copy t from stdin");
	for (int i = 0; i < 100; i++)
		PQputCopyData(conn, "1\tone\n", 6);
	PQputCopyEnd(conn, NULL);
	fetch(conn);
	ask(conn, "copy t from stdin");
	PQputCopyData(conn, "no number\ty\n", 12);
	PQputCopyEnd(conn, NULL);
	fetch(conn);
	ask(conn, "copy t from stdin");
	PQputCopyEnd(conn, "given up");
	fetch(conn);
	ask(conn, "copy t to stdout");
	while (PQgetCopyData(conn, &line, 0) > 0) {
		printf("%s", line);
		PQfreemem(line);
	}
	fetch(conn);
	ask(conn, "copy t to stdout");
	ask(conn, "select count(*) from t -- ends the copy");
	PQfinish(conn);
}

static void pipeline(void)
{
	static const char *const texts[] = { "select 1", "select 1/0", "select 'skipped'",
					     "set work_mem = '5MB'", "show work_mem" };
	PGconn *conn = login();
	PGresult *result;

	printf("%d\n", PQenterPipelineMode(conn));
	for (int i = 0; i < 5; i++) {
		PQsendQueryParams(conn, texts[i], 0, NULL, NULL, NULL, NULL, 0);
		ask(conn, "select 'refused in a pipeline'");
		if (i != 1)
			PQpipelineSync(conn);
	}
	for (int syncs = 0; syncs < 4; syncs += PQresultStatus(result) == PGRES_PIPELINE_SYNC) {
		while (!(result = PQgetResult(conn)))
			puts("NULL");
		if (PQresultStatus(result) != PGRES_PIPELINE_SYNC) {
			show(result);
			result = NULL;
		}
	}
	printf("%d\n", PQexitPipelineMode(conn));
	ask(conn, "show work_mem");
	PQfinish(conn);
}

static void single_row(void)
{
	PGconn *conn = login();

	PQsendQuery(conn, "select generate_series(1, 3); select 1 / (2 - g) from "
			  "generate_series(1, 3) g");
	PQsetSingleRowMode(conn);
	fetch(conn);
	PQsendQuery(conn, "select generate_series(1, 100000)");
	PQsetSingleRowMode(conn);
	show(PQgetResult(conn));
	ask(conn, "select 'after rows that nobody fetched'");
	PQfinish(conn);
}

static void notify(void)
{
	PGconn *conn = login();
	PGconn *other = login();
	PGnotify *note;

	ask(conn, "listen news");
	for (int i = 0; i < 3; i++) {
		struct pollfd wait = { PQsocket(conn), POLLIN, 0 };

		ask(other, "notify news, 'text'");
		while (!(note = PQnotifies(conn)) && poll(&wait, 1, 20000) > 0)
			PQconsumeInput(conn);
		printf("%s %s\n", note ? note->relname : "none", note ? note->extra : "");
		PQfreemem(note);
	}
	PQfinish(conn);
	PQfinish(other);
}

static void large_object(void)
{
	PGconn *conn = login();
	char text[6] = "";
	Oid object;
	int fd;

	ask(conn, "begin");
	object = lo_creat(conn, INV_READ | INV_WRITE);
	fd = lo_open(conn, object, INV_READ | INV_WRITE);
	printf("%d\n", lo_write(conn, fd, "hello world", 11));
	printf("%d\n", lo_lseek(conn, fd, 6, SEEK_SET));
	printf("%d %s\n", lo_read(conn, fd, text, 5), text);
	printf("%d\n", lo_close(conn, fd));
	printf("%d\n", lo_unlink(conn, object));
	ask(conn, "commit");
	printf("%d\n", lo_open(conn, object, INV_READ));
	PQfinish(conn);
}

static void cancel(void)
{
	PGconn *conn = login();
	PGcancel *handle = PQgetCancel(conn);
	char error[256] = "";

	PQsendQuery(conn, "select pg_sleep(60)");
	/* A cancel request that comes before the statement hits nothing. */
	for (struct pollfd wait = { PQsocket(conn), POLLIN, 0 }; poll(&wait, 1, 100) == 0;)
		printf("%s", PQcancel(handle, error, sizeof(error)) ? "" : error);
	PQfreeCancel(handle);
	fetch(conn);
	ask(conn, "select 'goes on'");
	PQfinish(conn);
}

static void wait_for(int epoll, PGconn *conn, unsigned events)
{
	struct epoll_event event = { .events = events };

	epoll_ctl(epoll, EPOLL_CTL_ADD, PQsocket(conn), &event);
	if (epoll_wait(epoll, &event, 1, 20000) != 1)
		puts("nothing happens");
	epoll_ctl(epoll, EPOLL_CTL_DEL, PQsocket(conn), NULL);
}

/* Everything in steps, as an event loop does it; several times, so that a pool has something. */
static void steps(void)
{
	int epoll = epoll_create1(0);

	for (int i = 0; i < 4; i++) {
		PostgresPollingStatusType next = PGRES_POLLING_WRITING;
		PGconn *conn = PQconnectStart("");

		while (next == PGRES_POLLING_WRITING || next == PGRES_POLLING_READING) {
			wait_for(epoll, conn, next == PGRES_POLLING_READING ? EPOLLIN : EPOLLOUT);
			next = PQconnectPoll(conn);
		}
		printf("%d %d\n", next == PGRES_POLLING_OK, PQstatus(conn) == CONNECTION_OK);
		PQsetnonblocking(conn, 1);
		PQsendQuery(conn, "select 1; select 2");
		while (PQflush(conn) == 1)
			wait_for(epoll, conn, EPOLLOUT);
		while (PQisBusy(conn)) {
			wait_for(epoll, conn, EPOLLIN);
			PQconsumeInput(conn);
		}
		fetch(conn);
		PQfinish(conn);
	}
	close(epoll);
}

/* Leaves a session in each way that there is; the next login must see nothing of it. */
static void leftovers(void)
{
	static const char *const left[] = {
		"set work_mem = '9MB'; listen a; prepare p as select 1",
		"create temp table t (a int); select set_config('timezone', 'Asia/Tokyo', false)",
		"select pg_advisory_lock(5)",
		"begin; declare c cursor with hold for select 1; commit",
		"begin; set search_path = pg_catalog; select 1/0",
		"set my.own = '1'",
		"set session characteristics as transaction read only",
		"set client_encoding = latin1; set application_name = 'left'",
	};

	for (size_t i = 0; i <= sizeof(left) / sizeof(left[0]); i++) {
		PGconn *conn = login();

		printf("[%s] %s %d %d\n", PQerrorMessage(conn),
		       PQparameterStatus(conn, "client_encoding"), PQtransactionStatus(conn),
		       PQisnonblocking(conn));
		ask(conn, "select name, setting from pg_settings where source = 'session'");
		ask(conn, "select to_regclass('t'), current_setting('my.own', true) is null");
		ask(conn, "select (select count(*) from pg_prepared_statements), (select count(*) "
			  "from pg_cursors), (select count(*) from pg_listening_channels()), "
			  "(select count(*) from pg_locks where locktype = 'advisory')");
		if (i < sizeof(left) / sizeof(left[0]))
			ask(conn, left[i]);
		PQsetnonblocking(conn, 1);
		PQfinish(conn);
	}
}

/* Registered once and never taken out: close() does that. */
static void watched(void)
{
	struct epoll_event event = { .events = EPOLLIN };
	int epoll = epoll_create1(0);

	for (int i = 0; i < 3; i++) {
		PGconn *conn = login();

		printf("%d\n", epoll_ctl(epoll, EPOLL_CTL_ADD, PQsocket(conn), &event));
		ask(conn, "select 1");
		PQfinish(conn);
		printf("%d\n", epoll_wait(epoll, &event, 1, 200));
	}
	close(epoll);
}

/* A database can be dropped, or be a template, when its last connection is finished. */
static void databases(void)
{
	PGconn *conn = login();
	PGconn *other;

	ask(conn, "create database clients_one");
	for (int i = 0; i < 2; i++) {
		other = PQconnectdb("dbname=clients_one");
		printf("%d\n", PQstatus(other));
		PQfinish(other);
		if (i == 0)
			ask(conn, "create database clients_two template clients_one");
	}
	ask(conn, "/* both */ drop database clients_one");
	ask(conn, "Drop Database clients_two");
	PQfinish(conn);
}

/* Finished in the middle of everything. */
static void unfinished(void)
{
	for (int i = 0; i < 4; i++) {
		PGconn *conn = login();

		ask(conn, "select 'clean'");
		if (i == 0)
			PQsendQuery(conn, "select generate_series(1, 10000)");
		if (i == 1)
			PQclear(PQexec(conn, "copy pg_class to stdout"));
		if (i == 2)
			printf("%d\n", PQenterPipelineMode(conn));
		if (i == 2)
			PQsendQueryParams(conn, "select 1", 0, NULL, NULL, NULL, NULL, 0);
		if (i == 3)
			PQclear(PQexec(conn, "copy pg_class from stdin"));
		PQfinish(conn);
	}
}

/* Something of the program's own at a number that a connection had. @return what it is written by
 */
static int take_number(int fd, bool is_file)
{
	int pair[2], other;

	close(fd);
	if (is_file) {
		other = open("own", O_RDWR | O_CREAT | O_TRUNC, 0600);
		if (other != fd)
			dup2(other, fd);
		other = fcntl(fd, F_DUPFD, 100);
	} else {
		socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
		other = fcntl(pair[1], F_DUPFD, 100);
		if (pair[0] != fd)
			dup2(pair[0], fd);
	}
	return other;
}

/* Is what the other side wrote there, and nothing else? */
static void look_at(int fd, int other, bool is_file)
{
	char got[64] = "";
	ssize_t length;

	if (is_file)
		lseek(fd, 0, SEEK_SET);
	length = read(fd, got, sizeof(got) - 1);
	printf("%zd %s", length, got);
	if (!is_file)
		printf("%zd\n", recv(other, got, sizeof(got), MSG_DONTWAIT));
}

/* Numbers of finished connections are the program's again. */
static void reused(void)
{
	for (int i = 0; i < 4; i++) {
		bool is_file = i & 1;
		PGconn *conn = login();
		int fd = PQsocket(conn), other;

		if (i & 2)
			ask(conn, "select 'parked'");
		PQfinish(conn);
		other = take_number(fd, is_file);
		printf("%zd\n", write(other, "precious\n", 9));
		for (int j = 0; j < 7; j++) {
			conn = login();
			ask(conn, "select 'again'");
			PQfinish(conn);
		}
		look_at(fd, other, is_file);
		closefrom(3);
	}
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} clients[] = {
		{ "refused", refused },
		{ "lost", lost },
		{ "copy", copy },
		{ "pipeline", pipeline },
		{ "single_row", single_row },
		{ "notify", notify },
		{ "large_object", large_object },
		{ "cancel", cancel },
		{ "steps", steps },
		{ "leftovers", leftovers },
		{ "unfinished", unfinished },
		{ "watched", watched },
		{ "databases", databases },
		{ "reused", reused },
	};

	for (size_t i = 0; argc == 2 && i < sizeof(clients) / sizeof(clients[0]); i++)
		if (strcmp(clients[i].name, argv[1]) == 0)
			return clients[i].run(), 0;
	return 2;
}
