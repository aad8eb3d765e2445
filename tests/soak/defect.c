/* SPDX-License-Identifier: PostgreSQL */
/*
 * Deliberate defects of the program under test, one for each thing that the soak looks at: it must
 * find them. In the first thread of the first worker, after some turns.
 */
#include "soak.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AFTER_TURNS 5

static void hang(void)
{
	for (;;)
		pause();
}

static void crash(void)
{
	raise(SIGSEGV);
}

static void leak_descriptor(void)
{
	if (dup(STDERR_FILENO) < 0)
		fail("dup failed");
}

static void leak_memory(void)
{
	static void *kept[1];

	/* Through a volatile pointer, or it is not done at all. */
	*(void *volatile *)kept = malloc(64 * 1024);
}

static void leak_session(void)
{
	static PGconn *volatile kept;

	if (!kept)
		kept = PQconnectdb(options.conninfo);
}

/* A transaction that was to be rolled back. */
static void commit(void)
{
	struct held held;

	if (!take(&held, -1))
		return;
	run(&held, "insert into soak_ghost values ('committed')");
	give_back(&held);
}

/* A connection that is closed under its user. */
static void lose(void)
{
	struct held held;

	if (!take(&held, -1))
		return;
	run(&held, "set idle_session_timeout to 1");
	usleep(50000);
	ask_once(&held);
	give_back(&held);
}

static const struct defect {
	const char *name;
	void (*run)(void);
} defects[] = {
	{ "hang", hang },
	{ "crash", crash },
	{ "descriptor", leak_descriptor },
	{ "memory", leak_memory },
	{ "session", leak_session },
	{ "commit", commit },
	{ "loss", lose },
	{ 0 },
};

static const struct defect *find(void)
{
	const struct defect *defect = defects;

	while (defect->name && strcmp(defect->name, options.breaks) != 0)
		defect++;
	return defect;
}

bool defect_is_known(void)
{
	return find()->name;
}

void defect_turn(void)
{
	static __thread int turns;

	if (self.process->role == WORKER && self.process->number == 0 && self.thread == 1 &&
	    ++turns > AFTER_TURNS)
		find()->run();
}
