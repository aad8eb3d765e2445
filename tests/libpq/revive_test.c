/* SPDX-License-Identifier: PostgreSQL */
/*
 * A connection that is gone is opened anew at its next use, or is lost as without tine. To be run
 * under tine run, with CONNINFO in the environment: test_revive.py does, for each transport.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "play.h"

static ino_t inode(int fd)
{
	struct stat st;

	CHECK_INT(fstat(fd, &st), ==, 0);
	return st.st_ino;
}

/* ---- an inherited connection ----------------------------------------------------------------- */

static void use_in_child(PGconn *conn, int pid_of_parent)
{
	int fd = PQsocket(conn), own;

	CHECK_INT(PQstatus(conn), ==, CONNECTION_OK);
	own = play_number(conn, "select pg_backend_pid()");
	CHECK_INT(own, !=, pid_of_parent);
	CHECK_INT(own, ==, PQbackendPID(conn));
	CHECK_INT(PQsocket(conn), ==, fd);
	CHECK_INT(play_number(conn, "select pg_backend_pid()"), ==, own);
}

TEST(inherited)
{
	PGconn *conn = play_open();
	int own = PQbackendPID(conn);
	pid_t pid = fork();

	if (pid == 0) {
		use_in_child(conn, own);
		pid = fork();
		if (pid == 0) {
			use_in_child(conn, PQbackendPID(conn));
			_exit(0);
		}
		check_child(pid);
		CHECK_INT(play_number(conn, "select pg_backend_pid()"), ==, PQbackendPID(conn));
		PQfinish(conn);
		_exit(0);
	}
	check_child(pid);
	CHECK_INT(play_number(conn, "select pg_backend_pid()"), ==, own);
}

/* A fork that runs no handlers. */
TEST(inherited_without_handlers)
{
	PGconn *conn = play_open();
	int own = PQbackendPID(conn);
	pid_t pid = _Fork();

	if (pid == 0) {
		use_in_child(conn, own);
		_exit(0);
	}
	check_child(pid);
	CHECK_INT(play_number(conn, "select pg_backend_pid()"), ==, own);
}

TEST(inherited_in_a_transaction)
{
	PGconn *conn = play_open();
	pid_t pid;

	play_ask(conn, "begin");
	pid = fork();
	if (pid == 0) {
		play_expect_lost(conn, "select 1");
		_exit(0);
	}
	check_child(pid);
	play_ask(conn, "commit");
}

/* ---- one that the server ended --------------------------------------------------------------- */

TEST(ended)
{
	int low = dup(0), others = dup(0), fd, pid, fds;
	PGconn *conn = play_open();

	/* There are lower numbers free, so it is not by chance that it gets the same again. */
	close(low);
	close(others);
	fd = PQsocket(conn);
	pid = PQbackendPID(conn);
	fds = play_count_fds();

	for (int i = 0; i < 5; i++) {
		play_end_session(conn);
		CHECK_INT(play_number(conn, "select pg_backend_pid()"), !=, pid);
		pid = PQbackendPID(conn);
		CHECK_INT(PQsocket(conn), ==, fd);
		CHECK_STR(PQerrorMessage(conn), "");
	}
	CHECK_INT(play_count_fds(), ==, fds);
	PQfinish(conn);
	CHECK_INT(fcntl(fd, F_GETFD), ==, -1);
}

/* Every function that begins something. */
TEST(ended_before_each_function)
{
	static const char *const value[] = { "7" };
	PGconn *conn = play_open();
	PGresult *result;

	play_end_session(conn);
	result = PQexecParams(conn, "select $1::int", 1, NULL, value, NULL, NULL, 0);
	CHECK_STR(PQerrorMessage(conn), "");
	CHECK_STR(PQgetvalue(result, 0, 0), "7");
	PQclear(result);
	play_end_session(conn);
	result = PQprepare(conn, "seven", "select $1::int + 1", 1, NULL);
	CHECK_INT(PQresultStatus(result), ==, PGRES_COMMAND_OK);
	PQclear(result);
	play_end_session(conn);
	result = PQexecPrepared(conn, "seven", 1, value, NULL, NULL, 0);
	CHECK_STR(PQerrorMessage(conn), "");
	CHECK_STR(PQgetvalue(result, 0, 0), "8");
	PQclear(result);
	play_end_session(conn);
	result = PQdescribePrepared(conn, "seven");
	CHECK_INT(PQnparams(result), ==, 1);
	PQclear(result);
	play_end_session(conn);
	CHECK_INT(PQsetClientEncoding(conn, "LATIN1"), ==, 0);
	CHECK_STR(play_ask(conn, "show client_encoding"), "LATIN1");
	play_end_session(conn);
	CHECK(PQencryptPasswordConn(conn, "x", "y", NULL));
}

TEST(ended_in_a_transaction)
{
	PGconn *conn = play_open();

	play_ask(conn, "begin");
	play_end_session(conn);
	play_expect_lost(conn, "select 1");
	PQreset(conn);
	CHECK_INT(PQstatus(conn), ==, CONNECTION_OK);
	play_end_session(conn);
	play_ask(conn, "select 1");
}

/* ---- without waiting ------------------------------------------------------------------------- */

/* One statement, by the number that was asked for before it was sent. */
static void ask_by_number(PGconn *conn, int fd)
{
	PGresult *result;
	int left;

	CHECK(PQsendQuery(conn, "select 'here'"));
	while ((left = PQflush(conn)) > 0)
		CHECK(play_wait(fd, POLLOUT));
	CHECK_INT(left, ==, 0);
	while (PQisBusy(conn)) {
		CHECK(play_wait(fd, POLLIN));
		CHECK(PQconsumeInput(conn));
	}
	result = PQgetResult(conn);
	CHECK_STR(PQgetvalue(result, 0, 0), "here");
	PQclear(result);
	CHECK(!PQgetResult(conn));
}

TEST(ended_nonblocking)
{
	PGconn *conn = play_open();
	int fd = PQsocket(conn);

	CHECK_INT(PQsetnonblocking(conn, 1), ==, 0);
	for (int i = 0; i < 3; i++) {
		play_end_session(conn);
		ask_by_number(conn, fd);
		CHECK(PQisnonblocking(conn));
	}
}

/* An event loop that was told of the descriptor once for all. */
TEST(ended_and_watched)
{
	PGconn *conn = play_open();
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = 0x1234567890abcdef };
	PGresult *result;

	CHECK_INT(epoll_ctl(epoll, EPOLL_CTL_ADD, PQsocket(conn), &event), ==, 0);
	for (int i = 0; i < 3; i++) {
		play_end_session(conn);
		CHECK(PQsendQuery(conn, "select 'here'"));
		while (PQisBusy(conn)) {
			event.data.u64 = 0;
			CHECK_INT(epoll_wait(epoll, &event, 1, 20000), ==, 1);
			CHECK(event.data.u64 == 0x1234567890abcdef);
			CHECK(PQconsumeInput(conn));
		}
		result = PQgetResult(conn);
		CHECK_STR(PQgetvalue(result, 0, 0), "here");
		PQclear(result);
		CHECK(!PQgetResult(conn));
	}
	CHECK_INT(epoll_ctl(epoll, EPOLL_CTL_DEL, PQsocket(conn), NULL), ==, 0);
}

/* The parent's loop hears nothing of a child's connection. */
TEST(inherited_and_watched)
{
	PGconn *conn = play_open();
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = { .events = EPOLLIN };
	pid_t pid;

	CHECK_INT(epoll_ctl(epoll, EPOLL_CTL_ADD, PQsocket(conn), &event), ==, 0);
	pid = fork();
	if (pid == 0) {
		use_in_child(conn, PQbackendPID(conn));
		CHECK(PQsendQuery(conn, "select 1"));
		CHECK(play_wait(PQsocket(conn), POLLIN));
		CHECK_INT(epoll_wait(epoll, &event, 1, 0), ==, 0);
		_exit(0);
	}
	check_child(pid);
	ask_by_number(conn, PQsocket(conn));
}

TEST(ended_before_a_pipeline)
{
	PGconn *conn = play_open();
	PGresult *result;

	play_end_session(conn);
	CHECK(PQenterPipelineMode(conn));
	for (int i = 0; i < 2; i++)
		CHECK(PQsendQueryParams(conn, "select 1", 0, NULL, NULL, NULL, NULL, 0));
	CHECK(PQpipelineSync(conn));
	for (int i = 0; i < 2; i++) {
		result = PQgetResult(conn);
		CHECK_INT(PQresultStatus(result), ==, PGRES_TUPLES_OK);
		PQclear(result);
		CHECK(!PQgetResult(conn));
	}
	result = PQgetResult(conn);
	CHECK_INT(PQresultStatus(result), ==, PGRES_PIPELINE_SYNC);
	PQclear(result);
	CHECK(PQexitPipelineMode(conn));
	play_end_session(conn);
	play_ask(conn, "select 1");
}

TEST(ended_in_a_pipeline)
{
	PGconn *conn = play_open();
	int pid = PQbackendPID(conn);
	PGresult *result;

	CHECK(PQenterPipelineMode(conn));
	play_end_session(conn);
	PQsendQueryParams(conn, "select 1", 0, NULL, NULL, NULL, NULL, 0);
	PQpipelineSync(conn);
	result = PQgetResult(conn);
	CHECK_INT(PQresultStatus(result), !=, PGRES_TUPLES_OK);
	PQclear(result);
	CHECK_INT(PQbackendPID(conn), ==, pid);
}

/* ---- what libpq has of a connection, and what it tells of ---------------------------------------
 */

static void count_notice(void *count, const PGresult *result)
{
	(void)result;
	++*(int *)count;
}

static int count_event(PGEventId event, void *info, void *count)
{
	(void)info;
	*(int *)count += event == PGEVT_CONNRESET;
	return 1;
}

TEST(libpqs_own_state)
{
	PGconn *conn = play_open();
	int notices = 0, resets = 0;

	PQsetNoticeReceiver(conn, count_notice, &notices);
	CHECK(PQregisterEventProc(conn, count_event, "count", &resets));
	PQsetErrorVerbosity(conn, PQERRORS_VERBOSE);
	PQsetErrorContextVisibility(conn, PQSHOW_CONTEXT_ALWAYS);
	play_end_session(conn);
	play_ask(conn, "rollback"); /* there is no transaction, which is worth a notice */
	CHECK_INT(notices, ==, 1);
	CHECK_INT(resets, ==, 1);
	CHECK_INT(PQsetErrorVerbosity(conn, PQERRORS_DEFAULT), ==, PQERRORS_VERBOSE);
	CHECK_INT(PQsetErrorContextVisibility(conn, PQSHOW_CONTEXT_NEVER), ==,
		  PQSHOW_CONTEXT_ALWAYS);
}

/* ---- cancelling ------------------------------------------------------------------------------ */

static void expect_cancelled(PGconn *conn, PGcancel *cancel)
{
	char error[256];
	PGresult *result;

	CHECK(PQsendQuery(conn, "select pg_sleep(30)"));
	do
		CHECK(PQcancel(cancel, error, sizeof(error)));
	while (!play_wait_ms(PQsocket(conn), POLLIN, 200));
	result = PQgetResult(conn);
	CHECK_STR(PQresultErrorField(result, PG_DIAG_SQLSTATE), "57014");
	PQclear(result);
	CHECK(!PQgetResult(conn));
}

/* What was made for the old session cancels the new one's statement. */
TEST(cancelled_after_the_end)
{
	PGconn *conn = play_open();
	PGcancel *cancel = PQgetCancel(conn);

	for (int i = 0; i < 2; i++) {
		play_end_session(conn);
		play_ask(conn, "select 1");
		expect_cancelled(conn, cancel);
	}
	PQfreeCancel(cancel);
}

/* The child is done, and the statement that its parent had under way was not cancelled. */
static void expect_uncancelled(PGconn *conn, pid_t pid)
{
	PGresult *result;

	check_child(pid);
	result = PQgetResult(conn);
	CHECK_INT(PQresultStatus(result), ==, PGRES_TUPLES_OK);
	PQclear(result);
}

/* ... and not the parent's. */
TEST(cancelled_in_a_child)
{
	PGconn *conn = play_open();
	PGcancel *cancel = PQgetCancel(conn);
	pid_t pid = fork();

	if (pid == 0) {
		play_ask(conn, "select 1");
		expect_cancelled(conn, cancel);
		PQfreeCancel(cancel);
		_exit(0);
	}
	CHECK(PQsendQuery(conn, "select pg_sleep(2)"));
	expect_uncancelled(conn, pid);
}

/* What a child makes of a connection that it has not used yet cancels nothing. */
TEST(cancelled_in_a_child_before_its_use)
{
	PGconn *conn = play_open(), *other;
	char error[256], sql[128];
	int go[2];
	pid_t pid;

	CHECK_INT(pipe(go), ==, 0);
	pid = fork();
	if (pid == 0) {
		PGcancel *cancel = PQgetCancel(conn);

		CHECK_INT(read(go[0], error, 1), ==, 1);
		CHECK(PQcancel(cancel, error, sizeof(error)));
		CHECK(PQrequestCancel(conn));
		play_ask(conn, "select 1");
		expect_cancelled(conn, cancel);
		PQfreeCancel(cancel);
		_exit(0);
	}
	CHECK(PQsendQuery(conn, "select pg_sleep(2)"));
	other = play_open();
	snprintf(sql, sizeof(sql),
		 "select count(*) from pg_stat_activity where pid = %d and state = 'active'",
		 PQbackendPID(conn));
	while (play_number(other, sql) == 0)
		poll(NULL, 0, 1);
	PQfinish(other);
	CHECK_INT(write(go[1], "x", 1), ==, 1);
	expect_uncancelled(conn, pid);
}

/* A child that watches over its parent's statement, with what the parent gave it. */
TEST(cancelled_by_a_child)
{
	PGconn *conn = play_open();
	PGcancel *cancel = PQgetCancel(conn);
	char error[256];
	PGresult *result;
	pid_t pid;

	CHECK(PQsendQuery(conn, "select pg_sleep(30)"));
	pid = fork();
	if (pid == 0) {
		do
			CHECK(PQcancel(cancel, error, sizeof(error)));
		while (poll(NULL, 0, 200) == 0 && getppid() != 1);
		_exit(0);
	}
	result = PQgetResult(conn);
	CHECK_STR(PQresultErrorField(result, PG_DIAG_SQLSTATE), "57014");
	PQclear(result);
	CHECK_INT(kill(pid, SIGKILL), ==, 0);
	CHECK_INT(waitpid(pid, NULL, 0), ==, pid);
	PQfreeCancel(cancel);
}

/* ---- numbers --------------------------------------------------------------------------------- */

/* A program that closed the number itself, and then opened a file. */
TEST(leaves_somebody_elses_file_alone)
{
	PGconn *conn = play_open();
	int number = PQsocket(conn), pair[2], other;
	ino_t file;

	CHECK_INT(close(number), ==, 0);
	CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), ==, 0);
	CHECK_INT(pair[0], ==, number);
	other = pair[1];
	file = inode(number);
	close(other);
	PQclear(PQexec(conn, "select 1"));
	CHECK_INT(PQstatus(conn), ==, CONNECTION_BAD);
	/* libpq closes it, as it would have without tine; we have not put anything there */
	CHECK(fcntl(number, F_GETFD) < 0 || inode(number) == file);
}

/* In a child a severed number stays libpq's, whoever closes it. */
TEST(inherited_and_closed)
{
	PGconn *conn = play_open();
	int own = PQbackendPID(conn);
	pid_t pid = fork();

	if (pid == 0) {
		close(PQsocket(conn));
		use_in_child(conn, own);
		_exit(0);
	}
	check_child(pid);
}

/* ---- threads --------------------------------------------------------------------------------- */

#define ROUNDS 15

static void *lose_and_ask(void *unused)
{
	PGconn *conn = play_open();

	(void)unused;
	for (int i = 0; i < ROUNDS; i++) {
		play_end_session(conn);
		ask_by_number(conn, PQsocket(conn));
	}
	PQfinish(conn);
	return NULL;
}

TEST(two_threads)
{
	pthread_t threads[2];
	int fds = play_count_fds();

	for (int i = 0; i < 2; i++)
		CHECK_INT(pthread_create(&threads[i], NULL, lose_and_ask, NULL), ==, 0);
	for (int i = 0; i < 2; i++)
		CHECK_INT(pthread_join(threads[i], NULL), ==, 0);
	CHECK_INT(play_count_fds(), ==, fds);
}

TEST(fork_while_another_thread_reopens)
{
	PGconn *conn = play_open();
	int own = PQbackendPID(conn);
	pthread_t thread;
	pid_t pid;

	PLAY_FORKS_WITH_THREADS();
	CHECK_INT(pthread_create(&thread, NULL, lose_and_ask, NULL), ==, 0);
	for (int i = 0; i < ROUNDS; i++) {
		pid = fork();
		if (pid == 0) {
			use_in_child(conn, own);
			_exit(0);
		}
		check_child(pid);
	}
	CHECK_INT(pthread_join(thread, NULL), ==, 0);
	CHECK_INT(play_number(conn, "select pg_backend_pid()"), ==, own);
}

/* ---- never twice ----------------------------------------------------------------------------- */

static atomic_bool enough;
static atomic_int victim;

static void *end_sessions(void *unused)
{
	PGconn *conn = play_open();
	char sql[120];

	(void)unused;
	while (!enough) {
		snprintf(sql, sizeof(sql),
			 "select pg_terminate_backend(pid) from pg_stat_activity where pid = %d",
			 victim);
		play_ask(conn, sql);
		poll(NULL, 0, 1 + rand() % 8);
	}
	PQfinish(conn);
	return NULL;
}

/* Sessions end at any moment, also while a statement is on its way. One that succeeded was done
 * once; one that failed, once or not at all. */
TEST(never_sends_twice)
{
	PGconn *conn = play_open(), *judge = play_open();
	pthread_t thread;
	int64_t until_ms = play_now_ms() + 20000;
	int good = 0, lost = 0;

	play_ask(judge, "drop table if exists sent");
	play_ask(judge, "create table sent (id int)");
	PQsetNoticeReceiver(conn, count_notice, &(int){ 0 });
	victim = PQbackendPID(conn);
	CHECK_INT(pthread_create(&thread, NULL, end_sessions, NULL), ==, 0);
	for (int i = 0; i < 300 && play_now_ms() < until_ms; i++) {
		char sql[64];
		PGresult *result;

		snprintf(sql, sizeof(sql), "insert into sent values (%d)", i);
		result = PQexec(conn, sql);
		good += PQresultStatus(result) == PGRES_COMMAND_OK;
		lost += PQresultStatus(result) != PGRES_COMMAND_OK;
		PQclear(result);
		if (PQstatus(conn) == CONNECTION_BAD)
			PQreset(conn);
		victim = PQbackendPID(conn);
		poll(NULL, 0, i % 3 * 10);
	}
	enough = true;
	CHECK_INT(pthread_join(thread, NULL), ==, 0);
	CHECK_INT(play_number(judge, "select count(*) - count(distinct id) from sent"), ==, 0);
	CHECK_INT(play_number(judge, "select count(*) from sent"), >=, good);
	CHECK_INT(play_number(judge, "select count(*) from sent"), <=, good + lost);
	play_ask(judge, "drop table sent");
	printf("# %d good, %d lost\n", good, lost);
}

CHECK_TABLE(T(inherited), T(inherited_without_handlers), T(inherited_in_a_transaction), T(ended),
	    T(ended_before_each_function), T(ended_in_a_transaction), T(ended_nonblocking),
	    T(ended_and_watched), T(inherited_and_watched), T(ended_before_a_pipeline),
	    T(ended_in_a_pipeline), T(libpqs_own_state), T(cancelled_after_the_end),
	    T(cancelled_in_a_child), T(cancelled_in_a_child_before_its_use),
	    T(cancelled_by_a_child), T(leaves_somebody_elses_file_alone), T(inherited_and_closed),
	    T(two_threads), T(fork_while_another_thread_reopens), T(never_sends_twice))
