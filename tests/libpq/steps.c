/* SPDX-License-Identifier: PostgreSQL */
/*
 * steps WORD ...: connections that come and go, as the words say, each by libpq's plain functions.
 * What fails ends it with status 1, and the error on standard error.
 *
 *	open, start       one connection more: PQconnectdb, or PQconnectStart and its steps
 *	finish            the oldest of them
 *	pid               print the server's process of the newest
 *	count=N           wait until there are so many sessions of this user
 *	killed            end all sessions of this user but one, which goes after it, and wait
 *	heard             end the session of the newest, and let libpq read it, but not look at it
 *	stop, go          stop the server's process of the newest, and let it go on
 *	password=TEXT     PGPASSWORD
 *	appname=TEXT      PGAPPNAME
 *	passfile=TEXT     what the password file has for everybody
 *	newpassword       change the user's password at the server, to another one
 *	age=MS            wait until so much time has gone by since the start
 *	sql=TEXT          on the newest; the words are separated by '_'
 *	show=NAME         print a setting of the newest
 *	told=NAME         print what libpq was told of a setting of the newest
 *	fork, end         a child goes on to "end", the parent waits for it and goes on there
 *	place=WHAT        be elsewhere: chroot; mount, net, user, uts (unshare); setns; vfork: a
 *	                  child that runs on our memory, by chroot(). Status 77: it must not
 *	ps                tine ps --json
 *	closeall          close all descriptors but the standard ones
 *	own               have a file of our own at their numbers, and at all up to 40
 *	intact            nobody has written to that file, or closed one of these numbers
 *	sleep             nothing
 */
#include <fcntl.h>
#include <libpq-fe.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX 64

static PGconn *open_ones[MAX];
static int count;
static pid_t stopped;

static void fail(const char *what)
{
	fprintf(stderr, "%s", what);
	fflush(stdout);
	exit(1);
}

static void keep(PGconn *conn)
{
	if (PQstatus(conn) != CONNECTION_OK)
		fail(PQerrorMessage(conn));
	open_ones[count++] = conn;
}

static PGconn *start(void)
{
	PGconn *conn = PQconnectStart("");
	PostgresPollingStatusType next = PGRES_POLLING_WRITING;

	if (PQstatus(conn) == CONNECTION_OK)
		fail("PQconnectStart() is done already");
	while (next != PGRES_POLLING_OK && next != PGRES_POLLING_FAILED) {
		struct pollfd wait = { .fd = PQsocket(conn),
				       .events = next == PGRES_POLLING_READING ? POLLIN : POLLOUT };

		poll(&wait, 1, 10000);
		next = PQconnectPoll(conn);
	}
	return conn;
}

static void finish(void)
{
	PQfinish(open_ones[0]);
	memmove(open_ones, open_ones + 1, sizeof(open_ones) - sizeof(open_ones[0]));
	count--;
}

static void run(PGconn *conn, const char *sql, bool print)
{
	PGresult *result = PQexec(conn, sql);

	if (PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK)
		fail(PQerrorMessage(conn));
	if (print)
		printf("%s\n", PQgetvalue(result, 0, 0));
	PQclear(result);
}

/* By another name, so that it is a login that nothing was kept for. */
static void run_apart(const char *sql, bool print)
{
	PGconn *conn = PQconnectdb("options='-c statement_timeout=60s'");

	if (PQstatus(conn) != CONNECTION_OK)
		fail(PQerrorMessage(conn));
	run(conn, sql, print);
	PQfinish(conn);
}

static void killed(void)
{
	run_apart("select count(pg_terminate_backend(pid, 10000)) from pg_stat_activity where "
		  "usename = current_user and pid <> pg_backend_pid()",
		  false);
}

static void heard(void)
{
	PGconn *conn = open_ones[count - 1];
	struct pollfd wait = { .fd = PQsocket(conn), .events = POLLIN };

	killed();
	if (poll(&wait, 1, 10000) != 1 || !PQconsumeInput(conn))
		fail("the end has not come, or all of it\n");
}

static void stop(void)
{
	stopped = PQbackendPID(open_ones[count - 1]);
	if (kill(stopped, SIGSTOP) != 0)
		fail("the server's process cannot be stopped\n");
}

static void write_passfile(const char *password)
{
	FILE *file = fopen(getenv("PGPASSFILE"), "w");

	fprintf(file, "*:*:*:*:%s\n", password);
	fclose(file);
}

static void age(long ms, const struct timespec *since)
{
	struct timespec now;

	do {
		clock_gettime(CLOCK_MONOTONIC, &now);
		poll(NULL, 0, 10);
	} while ((now.tv_sec - since->tv_sec) * 1000 + (now.tv_nsec - since->tv_nsec) / 1000000 <
		 ms);
}

/* What was finished takes a moment to end. */
static void await_count(const char *number)
{
	for (int tries = 0; tries < 1000; tries++) {
		PGresult *result =
			PQexec(open_ones[count - 1], "select count(*) from pg_stat_activity where "
						     "usename = current_user");
		bool is_it = strcmp(PQgetvalue(result, 0, 0), number) == 0;

		PQclear(result);
		if (is_it)
			return;
		poll(NULL, 0, 10);
	}
	fail("another number of sessions\n");
}

static void sql(char *text)
{
	for (char *c = text; *c; c++)
		if (*c == '_')
			*c = ' ';
	run(open_ones[count - 1], text, false);
}

static void show(const char *name)
{
	char sql[80];

	snprintf(sql, sizeof(sql), "show %s", name);
	run(open_ones[count - 1], sql, true);
}

static const char *value_of(const char *word, const char *name)
{
	size_t length = strlen(name);

	return strncmp(word, name, length) == 0 && word[length] == '=' ? word + length + 1 : NULL;
}

/* To where it was already: that is not looked at. */
static int join(const char *namespace, int kind)
{
	int fd = open(namespace, O_RDONLY), rc = setns(fd, kind);

	close(fd);
	return rc;
}

static int chroot_of_child(void)
{
	int status = -1;
	pid_t pid = vfork();

	if (pid == 0)
		_exit(chroot("/") < 0);
	waitpid(pid, &status, 0);
	return status ? -1 : 0;
}

static void place(const char *what)
{
	int rc = -1;

	if (strcmp(what, "chroot") == 0)
		rc = chroot("/");
	else if (strcmp(what, "mount") == 0)
		rc = unshare(CLONE_NEWNS);
	else if (strcmp(what, "net") == 0)
		rc = unshare(CLONE_NEWNET);
	else if (strcmp(what, "user") == 0)
		rc = unshare(CLONE_NEWUSER);
	else if (strcmp(what, "setns") == 0)
		rc = join("/proc/self/ns/net", 0);
	else if (strcmp(what, "uts") == 0)
		rc = unshare(CLONE_NEWUTS) || join("/proc/self/ns/uts", CLONE_NEWUTS);
	else if (strcmp(what, "vfork") == 0)
		rc = chroot_of_child();
	if (rc < 0)
		exit(77);
}

static void do_with_value(char *word, const struct timespec *since)
{
	const char *value;

	if ((value = value_of(word, "password")) != NULL)
		setenv("PGPASSWORD", value, 1);
	else if ((value = value_of(word, "appname")) != NULL)
		setenv("PGAPPNAME", value, 1);
	else if ((value = value_of(word, "passfile")) != NULL)
		write_passfile(value);
	else if ((value = value_of(word, "age")) != NULL)
		age(strtol(value, NULL, 10), since);
	else if ((value = value_of(word, "count")) != NULL)
		await_count(value);
	else if ((value = value_of(word, "place")) != NULL)
		place(value);
	else if ((value = value_of(word, "show")) != NULL)
		show(value);
	else if ((value = value_of(word, "told")) != NULL)
		printf("%s\n", PQparameterStatus(open_ones[count - 1], value));
	else if ((value = value_of(word, "sql")) != NULL)
		sql(word + strlen("sql="));
	else
		fail("no such step\n");
}

#define OWN_END 40

static void own(void)
{
	int file = memfd_create("own", 0);

	for (int fd = 3; fd < OWN_END; fd++)
		dup2(file, fd);
	if (file >= OWN_END)
		close(file);
}

static void intact(void)
{
	struct stat first, other;

	if (fstat(3, &first) != 0 || first.st_size != 0)
		fail("somebody wrote to our file\n");
	for (int fd = 4; fd < OWN_END; fd++)
		if (fstat(fd, &other) != 0 || other.st_ino != first.st_ino)
			fail("somebody closed our file\n");
}

static void ps(void)
{
	char command[4200];

	snprintf(command, sizeof(command), "%s ps --json", getenv("TINE"));
	fflush(stdout);
	if (system(command) != 0)
		fail("tine ps failed\n");
}

static void do_step(char *word, const struct timespec *since)
{
	if (strcmp(word, "open") == 0)
		keep(PQconnectdb(""));
	else if (strcmp(word, "start") == 0)
		keep(start());
	else if (strcmp(word, "finish") == 0)
		finish();
	else if (strcmp(word, "pid") == 0)
		printf("%d\n", PQbackendPID(open_ones[count - 1]));
	else if (strcmp(word, "killed") == 0)
		killed();
	else if (strcmp(word, "heard") == 0)
		heard();
	else if (strcmp(word, "stop") == 0)
		stop();
	else if (strcmp(word, "go") == 0)
		kill(stopped, SIGCONT);
	else if (strcmp(word, "newpassword") == 0)
		run(open_ones[count - 1], "alter role current_user password 'another'", false);
	else if (strcmp(word, "closeall") == 0)
		closefrom(3);
	else if (strcmp(word, "own") == 0)
		own();
	else if (strcmp(word, "intact") == 0)
		intact();
	else if (strcmp(word, "ps") == 0)
		ps();
	else if (strcmp(word, "sleep") != 0)
		do_with_value(word, since);
}

/* @return in the parent: the word behind "end" */
static char **do_fork(char **word)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0)
		return word;
	if (waitpid(pid, &status, 0) != pid || status != 0)
		fail("the child failed\n");
	while (strcmp(*word, "end") != 0)
		word++;
	return word + 1;
}

int main(int argc, char **argv)
{
	struct timespec since;

	(void)argc;
	clock_gettime(CLOCK_MONOTONIC, &since);
	for (char **word = argv + 1; *word;) {
		if (strcmp(*word, "end") == 0)
			break;
		if (strcmp(*word, "fork") == 0)
			word = do_fork(word + 1);
		else
			do_step(*word++, &since);
	}
	fflush(stdout);
	return 0;
}
