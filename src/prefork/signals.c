/* SPDX-License-Identifier: PostgreSQL */
#include "prefork/signals.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MOST 64

static struct {
	_Atomic uint64_t noted;
	_Atomic int fd; /* -1 while there are no handlers */
	_Atomic pid_t owner;
	struct sigaction before[MOST]; /* of the signals in the master's set and the worker's */
} signals = { .fd = -1 };

static const int masters[] = {
	SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGTTIN, SIGTTOU, SIGUSR1, SIGCHLD
};
static const int workers[] = { SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGABRT };

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

void tine_signals_wake(void)
{
	uint64_t one = 1;
	ssize_t written = write(atomic_load(&signals.fd), &one, sizeof(one));

	/* The counter is full: it is readable, which is all that is wanted. */
	(void)written;
}

static void note(int number)
{
	int saved_errno = errno;

	if (getpid() == atomic_load(&signals.owner)) {
		atomic_fetch_or(&signals.noted, UINT64_C(1) << number);
		tine_signals_wake();
	} else {
		/* A process that the program forked. */
		signal(number, SIG_DFL);
		raise(number);
	}
	errno = saved_errno;
}

static void install(const int *list, size_t count)
{
	struct sigaction action = { .sa_handler = note, .sa_flags = SA_RESTART | SA_NOCLDSTOP };

	sigfillset(&action.sa_mask);
	for (size_t i = 0; i < count; i++)
		sigaction(list[i], &action, NULL);
}

static void remember(const int *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		sigaction(list[i], NULL, &signals.before[list[i]]);
}

static void restore(const int *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		sigaction(list[i], &signals.before[list[i]], NULL);
}

int tine_signals_open(void)
{
	int none = -1, fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (fd < 0)
		return -errno;
	if (!atomic_compare_exchange_strong(&signals.fd, &none, fd)) {
		close(fd);
		return -EBUSY;
	}
	atomic_store(&signals.noted, 0);
	atomic_store(&signals.owner, getpid());
	remember(masters, COUNT(masters));
	remember(workers, COUNT(workers));
	install(masters, COUNT(masters));
	return 0;
}

void tine_signals_close(void)
{
	int fd = atomic_load(&signals.fd);

	restore(masters, COUNT(masters));
	restore(workers, COUNT(workers));
	atomic_store(&signals.fd, -1);
	close(fd);
}

int tine_signals_become_worker(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (fd < 0)
		return -errno;
	close(atomic_exchange(&signals.fd, fd));
	atomic_store(&signals.noted, 0);
	atomic_store(&signals.owner, getpid());
	restore(masters, COUNT(masters));
	install(workers, COUNT(workers));
	return 0;
}

int tine_signals_fd(void)
{
	return atomic_load(&signals.fd);
}

uint64_t tine_signals_take(void)
{
	uint64_t count;
	ssize_t got = read(atomic_load(&signals.fd), &count, sizeof(count));

	(void)got;
	return atomic_exchange(&signals.noted, 0);
}
