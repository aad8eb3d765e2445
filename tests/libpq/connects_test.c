/* SPDX-License-Identifier: PostgreSQL */
/*
 * A child can connect, whatever other threads of its parent were doing with libpq when it was
 * forked. To be run under tine run, with CONNINFO in the environment, which is to want TLS.
 *
 * libpq finds a SSL_connect() here that holds a lock. It stands for all the locks that are taken
 * inside a connect, and is held for longer than they are, so that a fork that does not wait falls
 * into it.
 */
#include <dlfcn.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <time.h>

#include "play.h"

#define HELD_MS 5
#define FORKS 25
#define THREADS 2
/* How long a fork waits for a step, and how often that would be if it waited where it should not.
 */
#define PATIENCE_MS 500
#define PATIENCES 6

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_int held_ms = HELD_MS;
static atomic_int held;
static atomic_bool enough;

static void sleep_ms(int ms)
{
	nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L }, NULL);
}

static void (*inside)(void);

int SSL_connect(void *ssl);

int SSL_connect(void *ssl)
{
	int (*real)(void *ssl) = (int (*)(void *))dlsym(RTLD_NEXT, "SSL_connect");
	int rc;

	pthread_mutex_lock(&lock);
	held++;
	sleep_ms(held_ms);
	if (inside)
		inside();
	rc = real(ssl);
	pthread_mutex_unlock(&lock);
	return rc;
}

static void ask_once(PGconn *conn)
{
	CHECK_STR(play_ask(conn, "select 'here'"), "here");
}

/* ---- what another thread does meanwhile ------------------------------------------------------ */

static void *connect_all_the_time(void *unused)
{
	(void)unused;
	while (!enough)
		PQfinish(play_open());
	return NULL;
}

static void *reset_all_the_time(void *unused)
{
	PGconn *conn = play_open();

	(void)unused;
	while (!enough) {
		PQreset(conn);
		CHECK_INT(PQstatus(conn), ==, CONNECTION_OK);
	}
	PQfinish(conn);
	return NULL;
}

static void *connect_in_steps(void *unused)
{
	(void)unused;
	while (!enough) {
		PostgresPollingStatusType next = PGRES_POLLING_WRITING;
		PGconn *conn = PQconnectStart(getenv("CONNINFO"));

		while (next == PGRES_POLLING_WRITING || next == PGRES_POLLING_READING) {
			CHECK(play_wait(PQsocket(conn),
					next == PGRES_POLLING_READING ? POLLIN : POLLOUT));
			next = PQconnectPoll(conn);
		}
		CHECK_INT(next, ==, PGRES_POLLING_OK);
		PQfinish(conn);
	}
	return NULL;
}

static void fork_meanwhile(void *(*meanwhile)(void *unused))
{
	pthread_t threads[THREADS];
	pid_t pid;

	PLAY_FORKS_WITH_THREADS();
	for (int i = 0; i < THREADS; i++)
		CHECK_INT(pthread_create(&threads[i], NULL, meanwhile, NULL), ==, 0);
	for (int i = 0; i < FORKS; i++) {
		sleep_ms(rand() % 10);
		pid = fork();
		if (pid == 0) {
			alarm(15);
			held_ms = 0;
			ask_once(play_open());
			_exit(0);
		}
		check_child(pid);
	}
	enough = true;
	for (int i = 0; i < THREADS; i++)
		CHECK_INT(pthread_join(threads[i], NULL), ==, 0);
}

TEST(another_thread_connects)
{
	fork_meanwhile(connect_all_the_time);
}

TEST(another_thread_resets)
{
	fork_meanwhile(reset_all_the_time);
}

TEST(another_thread_connects_in_steps)
{
	fork_meanwhile(connect_in_steps);
}

/* ---- a fork does not wait for long ----------------------------------------------------------- */

static int64_t fork_ms(void)
{
	int64_t begun_ms = play_now_ms();
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	begun_ms = play_now_ms() - begun_ms;
	check_child(pid);
	return begun_ms;
}

static void *connect_once(void *conninfo)
{
	PQfinish(PQconnectdb(conninfo));
	return NULL;
}

/* It takes connections, and never says a word. */
static int fork_before_an_answer(int silent, char *conninfo)
{
	pthread_t thread;
	int ms, caller;

	CHECK_INT(pthread_create(&thread, NULL, connect_once, conninfo), ==, 0);
	caller = accept(silent, NULL, NULL);
	/* It has said what it wants, and waits. */
	CHECK(play_wait(caller, POLLIN));
	ms = fork_ms();
	close(caller);
	CHECK_INT(pthread_join(thread, NULL), ==, 0);
	return ms;
}

TEST(a_server_that_does_not_answer)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(address);
	int silent = socket(AF_INET, SOCK_STREAM, 0), ms = 0;
	char conninfo[100];

	CHECK_INT(bind(silent, (struct sockaddr *)&address, length), ==, 0);
	CHECK_INT(listen(silent, 5), ==, 0);
	CHECK_INT(getsockname(silent, (struct sockaddr *)&address, &length), ==, 0);
	snprintf(conninfo, sizeof(conninfo),
		 "hostaddr=127.0.0.1 port=%d user=x sslmode=require gssencmode=disable",
		 ntohs(address.sin_port));
	for (int i = 0; i < PATIENCES; i++)
		ms += fork_before_an_answer(silent, conninfo);
	CHECK_INT(ms, <, PATIENCES * PATIENCE_MS / 2);
}

/* What hangs with a lock in its hand is waited for, and once. */
TEST(a_connect_that_hangs)
{
	pthread_t thread;
	int ms = 0;

	held_ms = 4000;
	CHECK_INT(pthread_create(&thread, NULL, connect_once, getenv("CONNINFO")), ==, 0);
	while (!held)
		sleep_ms(1);
	held_ms = 0;
	CHECK_INT(fork_ms(), >=, PATIENCE_MS);
	for (int i = 1; i < PATIENCES; i++)
		ms += fork_ms();
	CHECK_INT(ms, <, PATIENCES * PATIENCE_MS / 2);
	CHECK_INT(pthread_join(thread, NULL), ==, 0);
}

/* ---- forks in odd places --------------------------------------------------------------------- */

static void fork_inside(void)
{
	CHECK_INT(fork_ms(), <, PATIENCE_MS);
}

TEST(from_inside_a_connect)
{
	inside = fork_inside;
	PQfinish(play_open());
	CHECK_INT(held, >=, 1);
}

static pthread_mutex_t own = PTHREAD_MUTEX_INITIALIZER;

static void take_own(void)
{
	pthread_mutex_lock(&own);
}

static void give_own(void)
{
	pthread_mutex_unlock(&own);
}

static void *connect_with_a_lock(void *unused)
{
	(void)unused;
	while (!enough) {
		take_own();
		PQfinish(play_open());
		give_own();
		sleep_ms(1);
	}
	return NULL;
}

/* A program's handlers take a lock that its other thread has while it connects. */
TEST(with_handlers_that_lock)
{
	pthread_t thread;
	pid_t pid;

	PLAY_FORKS_WITH_THREADS();
	CHECK_INT(pthread_atfork(take_own, give_own, give_own), ==, 0);
	CHECK_INT(pthread_create(&thread, NULL, connect_with_a_lock, NULL), ==, 0);
	for (int i = 0; i < 10; i++) {
		pid = fork();
		if (pid == 0) {
			alarm(15);
			take_own();
			ask_once(play_open());
			_exit(0);
		}
		check_child(pid);
	}
	enough = true;
	CHECK_INT(pthread_join(thread, NULL), ==, 0);
}

CHECK_TABLE(T(another_thread_connects), T(another_thread_resets),
	    T(another_thread_connects_in_steps), T(a_server_that_does_not_answer),
	    T(a_connect_that_hangs), T(from_inside_a_connect), T(with_handlers_that_lock))
