/* SPDX-License-Identifier: PostgreSQL */
#include "unit/pool/forks.h"

#include <dirent.h>
#include <signal.h>
#include <sys/syscall.h>

static pid_t make(enum forks_way way)
{
	switch (way) {
	case FORKS_FORK:
		return fork();
	case FORKS__FORK:
		return _Fork();
	default:
		return (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	}
}

/* What other threads of the parent had in their hands is lost here, and the stacks of those threads
 * too: valgrind must not count it, and forgets it in an exec. */
static _Noreturn void end(void)
{
	fflush(stdout);
	if (rig_is_valgrind())
		execl("/bin/true", "true", (char *)NULL);
	_exit(0);
}

pid_t forks_child(enum forks_way way, void (*run)(void *arg), void *arg)
{
	pid_t pid = make(way);

	CHECK(pid >= 0);
	if (pid > 0)
		return pid;
	alarm(FORKS_SECONDS);
	if (way != FORKS_FORK)
		fake_forked();
	run(arg);
	end();
}

void forks_run(enum forks_way way, void (*run)(void *arg), void *arg)
{
	check_child(forks_child(way, run, arg));
	forks_check_record();
}

void forks_check_record(void)
{
	const struct fake_record *wrong = fake_first_wrong();

	if (atomic_load(&fake_count->foreign_wrong) > 0)
		check_fail(__FILE__, __LINE__,
			   "%d wrong calls on a connection of another process, first %s by %d on "
			   "session %d%s%s",
			   atomic_load(&fake_count->foreign_wrong), fake_call_name(wrong->call),
			   (int)wrong->pid, wrong->session,
			   wrong->severed ? "" : ", which is not severed",
			   wrong->torn ? ", which a thread was inside of" : "");
}

int forks_foreign_calls(int session)
{
	unsigned count = atomic_load(&fake_count->records);
	int calls = 0;

	for (unsigned i = count > FAKE_RECORDS ? count - FAKE_RECORDS : 0; i < count; i++)
		calls += fake_record_at(i)->foreign && fake_record_at(i)->session == session;
	return calls;
}

#ifdef __SANITIZE_THREAD__
/* A thread of the parent's that had ended by the fork can be joined by nobody in the child. */
const char *__tsan_default_options(void);

const char *__tsan_default_options(void)
{
	return "report_thread_leaks=0";
}
#endif

/* To ThreadSanitizer what the parent's threads read before the fork is still being read. */
void forks_free(tine_pool *pool)
{
#ifdef __SANITIZE_THREAD__
	CHECK_INT(tine_pool_dispose(pool, TINE_DISPOSE_CLOSE), >=, 0);
#else
	tine_pool_free(pool);
#endif
}

int forks_descriptors(void)
{
	DIR *directory = opendir("/proc/self/fd");
	int count = -1; /* its own */
	struct dirent *entry;

	CHECK(directory);
	while ((entry = readdir(directory)) != NULL)
		count += entry->d_name[0] != '.';
	closedir(directory);
	return count;
}

bool forks_may_skip_handlers(void)
{
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
	return false;
#else
	return true;
#endif
}
