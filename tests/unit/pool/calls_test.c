/* SPDX-License-Identifier: PostgreSQL */
/*
 * The way that nothing stands in makes no system call: it is gone 10000 times in a process that the
 * kernel ends at the first one.
 */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "unit/pool/rig.h"

#define ROUNDS 10000

#define EXPECTED 99

static bool is_expected;

static void tell_call(int signal_number, siginfo_t *info, void *context)
{
	(void)signal_number;
	(void)context;
	if (is_expected)
		_exit(EXPECTED);
	check_fail(__FILE__, __LINE__, "system call %d", info->si_syscall);
}

/* From now on only what a test needs to fail and to end. */
static void forbid_calls(void)
{
	struct sock_filter rules[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpid, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { sizeof(rules) / sizeof(rules[0]), rules };
	struct sigaction action = { .sa_sigaction = tell_call, .sa_flags = SA_SIGINFO };

	CHECK_INT(sigaction(SIGSYS, &action, NULL), ==, 0);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter) < 0)
		SKIP("this kernel lets nobody filter system calls");
}

static void need_filter(void)
{
	if (rig_is_slow())
		SKIP("valgrind and sanitizers make system calls of their own");
}

static void go(tine_pool *pool)
{
	for (int i = 0; i < ROUNDS; i++) {
		tine_conn *conn;

		CHECK_INT(tine_pool_acquire(pool, -1, &conn, NULL), ==, 0);
		CHECK_INT(tine_conn_release(conn), ==, 0);
	}
}

static tine_pool *ready(tine_pool_config *config)
{
	tine_pool *pool;

	need_filter();
	clock_freeze();
	pool = rig_open(config);
	rig_fill(pool, 2);
	rig_release(rig_acquire(pool));
	fake_recording = false;
	return pool;
}

TEST(the_filter_works)
{
	pid_t pid;
	int status;

	need_filter();
	pid = fork();
	if (pid == 0) {
		is_expected = true;
		forbid_calls();
		getppid();
		_exit(0);
	}
	CHECK_INT(waitpid(pid, &status, 0), ==, pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == CHECK_SKIPPED)
		SKIP("this kernel lets nobody filter system calls");
	CHECK(WIFEXITED(status));
	CHECK_INT(WEXITSTATUS(status), ==, EXPECTED);
}

TEST(acquire_and_release_make_no_system_call)
{
	tine_pool_config config = rig_config(5, 10);
	tine_pool *pool = ready(&config);

	forbid_calls();
	go(pool);
}

TEST(nor_do_they_with_every_limit_set)
{
	tine_pool_config config = rig_config(5, 10);
	tine_pool *pool;

	config.recycle_ms = 3600000;
	config.idle_timeout_ms = 60000;
	config.max_uses = 1000000;
	config.max_result_bytes = 1000000;
	config.leak_after_ms = 1000;
	config.reset = TINE_RESET_TRACKED;
	pool = ready(&config);
	forbid_calls();
	go(pool);
}

/* ---- two threads ---------------------------------------------------------------------------- */

static _Atomic int at_the_start, at_the_end;
static _Atomic bool may_start;

static void *go_in_thread(void *pool)
{
	rig_release(rig_acquire(pool));
	atomic_fetch_add(&at_the_start, 1);
	while (!atomic_load(&may_start))
		continue;
	go(pool);
	atomic_fetch_add(&at_the_end, 1);
	for (;;)
		continue;
	return NULL;
}

/* Each has used a connection of its own before. */
TEST(nor_do_two_threads_that_have_a_connection_each)
{
	tine_pool_config config = rig_config(5, 10);
	tine_pool *pool = ready(&config);

	rig_thread(go_in_thread, pool);
	RIG_AWAIT(atomic_load(&at_the_start) == 1);
	rig_thread(go_in_thread, pool);
	RIG_AWAIT(atomic_load(&at_the_start) == 2);
	forbid_calls();
	atomic_store(&may_start, true);
	while (atomic_load(&at_the_end) < 2)
		continue;
	CHECK_INT(atomic_load(&fake_count->sessions), ==, 2);
}

CHECK_TABLE(T(the_filter_works), T(acquire_and_release_make_no_system_call),
	    T(nor_do_they_with_every_limit_set), T(nor_do_two_threads_that_have_a_connection_each))
