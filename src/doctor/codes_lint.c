/* SPDX-License-Identifier: PostgreSQL */
/*
 * The codes of the examination "lint"; see code.h. Constant data.
 */
#include "doctor/code.h"

#include <stddef.h>

#define FORGET                                                                                     \
	"Start it under tine run, or let each child forget what it inherited, without closing it " \
	"(close=False: SQLAlchemy 1.4.33)."

const struct tine_code tine_codes_lint[] = {
	{
		.code = "engine-before-fork",
		.grade = TINE_GRADE_HAZARD,
		.why = "Whatever the pool has opened before the fork is inherited by every worker. "
		       "They talk on each other's sessions: lost connections over TLS, rows of "
		       "other requests without it.",
		.change = FORGET,
	},
	{
		.code = "gunicorn-hook-missing",
		.grade = TINE_GRADE_WARNING,
		.why = "When anything has used the pool before the fork, every worker inherits its "
		       "connections.",
		.change = FORGET,
	},
	{
		.code = "celery-hook-missing",
		.grade = TINE_GRADE_HAZARD,
		.why = "The prefork pool forks from a process that has imported the tasks. "
		       "Connections that are open then are inherited by every pool process, also "
		       "by those that replace old ones.",
		.change = FORGET,
	},
	{
		.code = "process-inherits-pool",
		.grade = TINE_GRADE_WARNING,
		.why = "The new processes inherit the connections that are open when they are "
		       "forked, and the parent goes on using them.",
		.change =
			"Let the first thing that a child does be to forget them, without closing "
			"(close=False: SQLAlchemy 1.4.33), or start children with spawn.",
	},
	{
		.code = "dispose-closes-parent",
		.grade = TINE_GRADE_HAZARD,
		.why = "Closing what was inherited says goodbye to the server on the parent's "
		       "session, which the parent, or another child, is using.",
		.change = "Forget it instead of closing it (close=False: SQLAlchemy 1.4.33), or "
			  "start the program under tine run.",
	},
	{
		.code = "connect-on-import",
		.grade = TINE_GRADE_WARNING,
		.why = "The program cannot start while the server is away, tools that import it "
		       "connect too, and in a server that forks afterwards every worker inherits "
		       "the connection.",
		.change = "Connect when the first request or task needs it.",
	},
	{
		.code = "warm-up-query",
		.grade = TINE_GRADE_WARNING,
		.why = "It opens a connection that nobody needs yet, at the moment when all "
		       "workers start, and makes the start depend on the server.",
		.change = "Leave it out: the pool connects when it is used.",
	},
	{
		.code = "keepalive-thread",
		.grade = TINE_GRADE_WARNING,
		.why = "It keeps one connection of the pool alive, not the others, holds sessions "
		       "open that could end, and does not come through a fork.",
		.change = "Leave it out: pool_pre_ping finds dead connections, and TCP keepalives "
			  "(keepalives_idle) keep idle ones alive.",
	},
	{
		.code = "no-pre-ping",
		.grade = TINE_GRADE_WARNING,
		.why = "A connection that the server, a proxy or the network has cut while it was "
		       "idle fails the request that gets it.",
		.change = "Let connections be checked before they are used.",
	},
	{
		.code = "age-above-idle-limit",
		.grade = TINE_GRADE_WARNING,
		.why = "The pool keeps connections for longer than what is on the way to the "
		       "server does. A connection that was cut silently makes even the check "
		       "before its use wait, for up to 15 minutes.",
		.change = "Let connections be replaced before that.",
	},
	{
		.code = "no-sslmode",
		.grade = TINE_GRADE_WARNING,
		.why = "libpq then uses TLS only if the server offers it, and whoever is on the "
		       "way can say that it does not: passwords and rows go in the clear.",
		.change = "Ask for it: sslmode=require in the connection string, or verify-full "
			  "with a root certificate (asyncpg: ssl=...).",
	},
	{
		.code = "sslmode-unknown",
		.grade = TINE_GRADE_NOTE,
		.why = "Whether TLS is demanded is decided outside of the project.",
		.change = "See that the connection string has sslmode=require or better.",
	},
	{
		.code = "second-engine",
		.grade = TINE_GRADE_WARNING,
		.why = "Scripts and jobs meet the same dead connections, idle limits and networks "
		       "as the application does.",
		.change = "Take the engine from one place, or give this one the same settings.",
	},
	{
		.code = "pool-unlimited",
		.grade = TINE_GRADE_WARNING,
		.why = "One process can take all connections of the server, and then nobody else "
		       "gets one.",
		.change = "Set a limit: pool_size and max_overflow, or the pool's max_size.",
	},
	{
		.code = "ceiling-above-limit",
		.grade = TINE_GRADE_HAZARD,
		.why = "Under load the server refuses connections (\"too many clients\", 53300), "
		       "to this application and to everybody else.",
		.change = "Lower pool_size and max_overflow, or the number of workers; or put a "
			  "pooler in between.",
	},
	{
		.code = "reload-above-limit",
		.grade = TINE_GRADE_WARNING,
		.why = "During a reload or a deployment old and new processes are there together; "
		       "then the server refuses connections (53300).",
		.change = "Lower pool_size and max_overflow, or the number of workers, so that two "
			  "generations have room.",
	},
	{
		.code = "ceiling",
		.grade = TINE_GRADE_OK,
		.why = "",
		.change = "",
	},
	{
		.code = "workers-unknown",
		.grade = TINE_GRADE_NOTE,
		.why = "How many connections there can be is decided outside of the project.",
		.change =
			"Multiply the number of processes by pool_size + max_overflow, and that by "
			"two for reloads.",
	},
	{
		.code = "file-not-read",
		.grade = TINE_GRADE_NOTE,
		.why = "What is in this file was not examined.",
		.change = "See whether it is as it should be; --python names a newer Python, when "
			  "the file is written for one.",
	},
	{
		.code = "project-too-large",
		.grade = TINE_GRADE_WARNING,
		.why = "The examination is not complete.",
		.change = "Examine the directories of the application one by one.",
	},
	{ .code = NULL },
};
