/* SPDX-License-Identifier: PostgreSQL */
/*
 * Libraries come and go in several threads at once, and each libpq's callers reach that libpq. To
 * be run under tine run, with CONNINFO in the environment, and a copy of libpq's file of another
 * name in COPY.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "play.h"

#define ROUNDS 400

/* In which library is the function that a new connection of libpq's hears notices by? */
static const char *maker(PGconn *(*connect)(const char *conninfo))
{
	PGconn *conn = connect(getenv("CONNINFO"));
	PQnoticeReceiver receiver = PQsetNoticeReceiver(conn, NULL, NULL);
	Dl_info info;

	CHECK_INT(PQstatus(conn), ==, CONNECTION_OK);
	CHECK(dladdr((void *)receiver, &info));
	return info.dli_fname;
}

static void *come_and_go(void *unused)
{
	(void)unused;
	for (int i = 0; i < ROUNDS; i++) {
		void *library = dlopen("libz.so.1", RTLD_NOW);

		CHECK(library);
		/* A call that is hooked: there is a look. */
		close(-1);
		dlclose(library);
	}
	return NULL;
}

TEST(several_threads_load_libraries)
{
	PGconn *(*connect)(const char *conninfo);
	pthread_t threads[4];
	void *copy;

	for (int i = 0; i < 4; i++)
		CHECK_INT(pthread_create(&threads[i], NULL, come_and_go, NULL), ==, 0);
	for (int i = 0; i < 4; i++)
		CHECK_INT(pthread_join(threads[i], NULL), ==, 0);
	copy = dlopen(getenv("COPY"), RTLD_NOW | RTLD_LOCAL);
	CHECK(copy);
	connect = (PGconn * (*)(const char *)) dlsym(copy, "PQconnectdb");
	CHECK_STR(maker(connect), getenv("COPY"));
	CHECK(!strstr(maker(PQconnectdb), getenv("COPY")));
}

/* Where NOT_WRITABLE is set nothing that the loader has protected can be written to, as some
 * security modules have it. */
int mprotect(void *start, size_t length, int protection)
{
	if (getenv("NOT_WRITABLE") && (protection & PROT_WRITE)) {
		errno = EACCES;
		return -1;
	}
	return (int)syscall(SYS_mprotect, start, length, protection);
}

/* The guard is there all the same: the parent's session is not touched. */
TEST(guard_alone)
{
	PGconn *conn = play_open();
	pid_t pid = fork();

	if (pid == 0) {
		play_expect_lost(conn, "select 1");
		_exit(0);
	}
	check_child(pid);
	play_ask(conn, "select 1");
}

CHECK_TABLE(T(several_threads_load_libraries), T(guard_alone))
