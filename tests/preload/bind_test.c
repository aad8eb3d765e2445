/* SPDX-License-Identifier: PostgreSQL */
/*
 * Libraries that come by dlopen(): a libpq that binds past the preload library, and that dlopen()
 * is as it was for its caller. Runs with the library preloaded, without any port named.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <netinet/in.h>

#include "preload/peers.h"
#include "support/check.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#else
#define SANITIZED false
#endif

typedef int connect_fn(const struct sockaddr *address, socklen_t length);

static void *open_library(const char *library, int mode)
{
	void *handle;

	if (SANITIZED && (mode & RTLD_DEEPBIND))
		SKIP("sanitizers forbid RTLD_DEEPBIND");
	handle = dlopen(library, mode);
	if (!handle)
		check_fail(__FILE__, __LINE__, "%s", dlerror());
	close(dup(0)); /* any hooked call: programs make thousands */
	return handle;
}

/* A connection made inside a library that looks like libpq. */
static struct pair connect_in(void *handle)
{
	connect_fn *stub_connect = (connect_fn *)dlsym(handle, "stub_connect");
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);
	int listener = listen_tcp(AF_INET, &(uint16_t){ 0 });
	struct pair pair;

	CHECK(stub_connect);
	CHECK_INT(getsockname(listener, (struct sockaddr *)&address, &length), ==, 0);
	pair.client = stub_connect((struct sockaddr *)&address, length);
	CHECK_INT(pair.client, >=, 0);
	pair.server = accept(listener, NULL, NULL);
	close(listener);
	return pair;
}

static void expect_severed(const char *library, int mode)
{
	expect_at_fork(connect_in(open_library(library, mode)), true);
}

TEST(reaches_a_local_library)
{
	expect_severed(STUB_LAZY, RTLD_NOW | RTLD_LOCAL);
}

TEST(reaches_a_library_bound_to_itself_and_libc)
{
	expect_severed(STUB_LAZY, RTLD_LAZY | RTLD_LOCAL | RTLD_DEEPBIND);
}

/* All addresses are in place before dlopen() returns, on pages that are read-only since. */
TEST(reaches_one_bound_at_once)
{
	expect_severed(STUB_NOW, RTLD_NOW | RTLD_GLOBAL | RTLD_DEEPBIND);
}

/* Another thread forks between libpq's socket() and its connect(). */
TEST(severs_a_socket_that_libpq_has_just_made)
{
	void *handle = open_library(STUB_LAZY, RTLD_NOW);
	int (*stub_socket)(void) = (int (*)(void))dlsym(handle, "stub_socket");
	struct sockaddr_storage local;
	socklen_t length = sizeof(local);
	int fd = stub_socket();
	pid_t pid;

	if (SANITIZED)
		SKIP("sanitizers stand between libpq and the hooks");
	pid = fork();

	if (pid == 0) {
		CHECK_INT(getsockname(fd, (struct sockaddr *)&local, &length), ==, 0);
		CHECK_INT(local.ss_family, ==, AF_UNIX);
		_exit(0);
	}
	check_child(pid);
	CHECK_INT(getsockname(fd, (struct sockaddr *)&local, &length), ==, 0);
	CHECK_INT(local.ss_family, ==, AF_INET);
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

/* Everybody closes libpq's number, a file is opened, then libpq closes it too: not the file. */
TEST(keeps_a_severed_number_until_libpq_closes_it)
{
	void *handle = open_library(STUB_LAZY, RTLD_NOW);
	int (*stub_close)(int) = (int (*)(int))dlsym(handle, "stub_close");
	struct pair pair = connect_in(handle);
	int number = pair.client, low = fcntl(0, F_DUPFD, number + 1);
	int high = fcntl(0, F_DUPFD, low + 5);
	pid_t pid;

	if (SANITIZED)
		SKIP("sanitizers stand between libpq and the hooks");
	pid = fork();

	if (pid == 0) {
		CHECK_INT(close(number), ==, 0);
		CHECK_INT(close_range((unsigned)number, (unsigned)high, 0), ==, 0);
		CHECK(!is_open(low) && !is_open(high) && is_open(number));
		high = fcntl(0, F_DUPFD, high);
		closefrom(3);
		CHECK(!is_open(high) && is_open(number));
		CHECK(severed(number));
		CHECK_INT(stub_close(number), ==, 0);
		CHECK(!is_open(number));
		_exit(0);
	}
	check_child(pid);
	/* in the parent a number is anybody's, as ever */
	CHECK(alive(pair));
	CHECK_INT(close(number), ==, 0);
	CHECK(!is_open(number));
}

TEST(keeps_the_callers_search_path)
{
	void *handle = dlopen(FINDER, RTLD_NOW);
	int (*finder_finds)(void);

	if (SANITIZED)
		SKIP("sanitizers wrap dlopen() themselves, and theirs hides the caller");
	CHECK(handle);
	CHECK(!dlopen("libonly-there.so", RTLD_NOW));
	finder_finds = (int (*)(void))dlsym(handle, "finder_finds");
	CHECK_INT(finder_finds(), ==, 1);
}

TEST(keeps_errors_of_dlopen)
{
	CHECK(!dlopen("/no/such/library.so", RTLD_NOW));
	CHECK_CONTAINS(dlerror(), "/no/such/library.so");
	CHECK(dlopen(NULL, RTLD_NOW));
}

CHECK_TABLE(T(reaches_a_local_library), T(reaches_a_library_bound_to_itself_and_libc),
	    T(reaches_one_bound_at_once), T(severs_a_socket_that_libpq_has_just_made),
	    T(keeps_a_severed_number_until_libpq_closes_it), T(keeps_the_callers_search_path),
	    T(keeps_errors_of_dlopen))
