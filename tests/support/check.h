/* SPDX-License-Identifier: PostgreSQL */
/*
 * A small test harness: every test runs in its own process with a deadline, results are TAP.
 *
 *	TEST(adds_two_numbers)
 *	{
 *		CHECK_INT(1 + 1, ==, 2);
 *	}
 *	CHECK_TABLE(T(adds_two_numbers))
 *
 * A failed check prints the place and both values and ends the process it happens in with status 1;
 * a child that a test forks itself is awaited with check_child(). SKIP("reason") ends the test as
 * skipped. Arguments of the program name the tests to run; none means all.
 */
#ifndef TINE_TESTS_CHECK_H
#define TINE_TESTS_CHECK_H

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK_SKIPPED 77
#define CHECK_SECONDS 60

struct check_test {
	const char *name;
	void (*run)(void);
};

__attribute__((format(printf, 3, 4), noreturn)) static inline void check_fail(const char *file,
									      int line,
									      const char *format,
									      ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	printf("# %s:%d: [%d] %s\n", file, line, (int)getpid(), text);
	fflush(stdout);
	_exit(1);
}

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			check_fail(__FILE__, __LINE__, "not true: %s (errno %s)", #condition,      \
				   strerrorname_np(errno) ?: "?");                                 \
	} while (0)

#define CHECK_INT(a, op, b)                                                                        \
	do {                                                                                       \
		long long a_ = (long long)(a), b_ = (long long)(b);                                \
                                                                                                   \
		if (!(a_ op b_))                                                                   \
			check_fail(__FILE__, __LINE__, "%s %s %s: %lld, %lld (errno %s)", #a, #op, \
				   #b, a_, b_, strerrorname_np(errno) ?: "?");                     \
	} while (0)

#define CHECK_STR(a, b)                                                                            \
	do {                                                                                       \
		const char *a_ = (a), *b_ = (b);                                                   \
                                                                                                   \
		if (strcmp(a_, b_) != 0)                                                           \
			check_fail(__FILE__, __LINE__, "%s is not %s: '%s', '%s'", #a, #b, a_,     \
				   b_);                                                            \
	} while (0)

#define CHECK_CONTAINS(text, part)                                                                 \
	do {                                                                                       \
		const char *a_ = (text), *b_ = (part);                                             \
                                                                                                   \
		if (!strstr(a_, b_))                                                               \
			check_fail(__FILE__, __LINE__, "'%s' does not contain '%s'", a_, b_);      \
	} while (0)

#define SKIP(reason)                                                                               \
	do {                                                                                       \
		printf("# skip: %s\n", reason);                                                    \
		fflush(stdout);                                                                    \
		_exit(CHECK_SKIPPED);                                                              \
	} while (0)

#define TEST(name) static void name(void)

/** Wait for a child and check that it exited, not signalled, with status 0. */
static inline void check_child(pid_t pid)
{
	int status;
	pid_t got;

	do
		got = waitpid(pid, &status, 0);
	while (got < 0 && errno == EINTR);
	CHECK_INT(got, ==, pid);
	CHECK(!WIFSIGNALED(status));
	CHECK_INT(WEXITSTATUS(status), ==, 0);
}

static inline bool check_run(const struct check_test *test, int number)
{
	int status = 0;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		alarm(CHECK_SECONDS);
		test->run();
		fflush(stdout);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	if (WIFSIGNALED(status))
		printf("# ended by signal %d\n", WTERMSIG(status));
	printf("%s %d - %s%s\n",
	       status == 0 || WEXITSTATUS(status) == CHECK_SKIPPED ? "ok" : "not ok", number,
	       test->name, WEXITSTATUS(status) == CHECK_SKIPPED ? " # SKIP see above" : "");
	return status == 0 || WEXITSTATUS(status) == CHECK_SKIPPED;
}

static inline bool check_wanted(const char *name, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], name) == 0)
			return true;
	return argc < 2;
}

static inline int check_main(const struct check_test *tests, size_t count, int argc, char **argv)
{
	int number = 0;
	bool good = true;

	for (size_t i = 0; i < count; i++)
		if (check_wanted(tests[i].name, argc, argv))
			good &= check_run(&tests[i], ++number);
	printf("1..%d\n", number);
	return good ? 0 : 1;
}

#define CHECK_TABLE(...)                                                                           \
	int main(int argc, char **argv)                                                            \
	{                                                                                          \
		static const struct check_test tests[] = { __VA_ARGS__ };                          \
                                                                                                   \
		return check_main(tests, sizeof(tests) / sizeof(tests[0]), argc, argv);            \
	}

#define T(name)                                                                                    \
	{                                                                                          \
#name, name                                                                        \
	}

#endif
