/* SPDX-License-Identifier: PostgreSQL */
/*
 * The rows of the one option table; see option.h. Defaults and ranges of tine_pool_config are here
 * and nowhere else.
 *
 * Locks: none. Fork: constant data.
 */
#include "base/option.h"

#define DAY_MS (INT64_C(24) * 60 * 60 * 1000)

/* What all rows of a pool have in common. */
#define POOL(field, variable)                                                                      \
	.name = #field, .env = "TINE_" variable, .commands = TINE_COMMAND_POOL,                    \
	.offset = offsetof(struct tine_pool_config, field)

const struct tine_option tine_options[] = {
	{
		.name = "port",
		.letter = 'p',
		.env = "TINE_PORT",
		.type = TINE_OPTION_PORTS,
		.metavar = "N[,N...]",
		.offset = offsetof(struct tine_settings, ports),
		.commands = TINE_COMMAND_RUN,
		.help = "Connections to these TCP ports are PostgreSQL's, besides 5432, 6432, "
			"PGPORT and the ports of postgres:// URLs in the environment. Rarely "
			"needed: a connection is also recognised by the first bytes it sends.",
	},
	{
		.name = "log",
		.letter = 'l',
		.env = "TINE_LOG",
		.type = TINE_OPTION_TEXT,
		.metavar = "FILE|-",
		.initial = "-",
		.minimum = 1,
		.offset = offsetof(struct tine_settings, log),
		.commands = TINE_COMMAND_RUN,
		.help = "Append tine's lines to FILE (made with mode 0600 when missing); '-' is "
			"standard error.",
	},
	{
		.name = "quiet",
		.letter = 'q',
		.env = "TINE_QUIET",
		.type = TINE_OPTION_FLAG,
		.offset = offsetof(struct tine_settings, quiet),
		.commands = TINE_COMMAND_RUN,
		.help = "Say only what failed: no line for a fork that went as it should, no "
			"warning about a program that cannot be protected.",
	},
	{
		.name = "verbose",
		.letter = 'v',
		.env = "TINE_VERBOSE",
		.type = TINE_OPTION_FLAG,
		.offset = offsetof(struct tine_settings, verbose),
		.commands = TINE_COMMAND_RUN,
		.help = "Also say when the guard starts in a process, and for every fork that "
			"there was nothing to do.",
	},
	{
		.name = "strict",
		.letter = 's',
		.env = "TINE_STRICT",
		.type = TINE_OPTION_FLAG,
		.offset = offsetof(struct tine_settings, strict),
		.commands = TINE_COMMAND_RUN,
		.help = "Refuse to start a program that cannot be protected (exit status 126) "
			"instead of warning.",
	},
	{
		.name = "check",
		.letter = 'c',
		.type = TINE_OPTION_FLAG,
		.offset = offsetof(struct tine_settings, check),
		.commands = TINE_COMMAND_RUN,
		.help = "Report whether CMD would be protected, and why not, and exit without "
			"running it: status 0 when it would be, 1 when not.",
	},
	{
		.name = "budget",
		.letter = 'b',
		.env = "TINE_BUDGET",
		.type = TINE_OPTION_INT,
		.metavar = "N",
		.initial = "0",
		.minimum = 0,
		.maximum = 2048,
		.offset = offsetof(struct tine_settings, budget),
		.commands = TINE_COMMAND_RUN,
		.help = "Connections that all pools of libtine in CMD and its children may have "
			"open together, whatever each of them is set to. 0: no limit.",
	},
	{
		.name = "name",
		.letter = 'n',
		.env = "TINE_NAME",
		.type = TINE_OPTION_TEXT,
		.metavar = "NAME",
		.minimum = 1,
		.offset = offsetof(struct tine_settings, name),
		.commands = TINE_COMMAND_RUN,
		.help = "Share the budget with everything of this user that was given the same "
			"name, as an old and a new master during a deploy. Letters, digits, "
			"'.', '_' and '-'.",
	},
	{
		.name = "summary",
		.letter = 's',
		.type = TINE_OPTION_FLAG,
		.offset = offsetof(struct tine_settings, summary),
		.commands = TINE_COMMAND_PS,
		.help = "Leave the table of connections out.",
	},
	{
		.name = "interval",
		.letter = 'd',
		.type = TINE_OPTION_MS,
		.metavar = "TIME",
		.initial = "1s",
		.minimum = 100,
		.maximum = 60 * 60 * 1000,
		.offset = offsetof(struct tine_settings, interval_ms),
		.commands = TINE_COMMAND_TOP,
		.help = "Time between two looks, in milliseconds or with a unit (ms, s, min, h).",
	},
	{
		.name = "count",
		.letter = 'n',
		.type = TINE_OPTION_INT,
		.metavar = "N",
		.minimum = 1,
		.maximum = INT32_MAX,
		.offset = offsetof(struct tine_settings, count),
		.commands = TINE_COMMAND_TOP,
		.help = "End after so many looks. Left out: look until told to quit.",
	},
	{
		.name = "batch",
		.letter = 'b',
		.type = TINE_OPTION_FLAG,
		.offset = offsetof(struct tine_settings, batch),
		.commands = TINE_COMMAND_TOP,
		.help = "Print plain text, one page for each look, as is done anyway when standard "
			"input or output is no terminal.",
	},
	{
		.name = "sort",
		.letter = 's',
		.type = TINE_OPTION_CHOICE,
		.metavar = "KEY",
		.choices = "busy, worker, waits, age, opened",
		.initial = "busy",
		.offset = offsetof(struct tine_settings, sort),
		.commands = TINE_COMMAND_TOP,
		.help = "What comes first. busy: what has been busy for longest, and the processes "
			"with most busy connections. worker: by number. waits: open transactions, "
			"and the processes that wait most. age: the oldest. opened: the newest "
			"connections, and the processes that connected most.",
	},
	{
		.name = "json",
		.letter = 'j',
		.type = TINE_OPTION_FLAG,
		.offset = offsetof(struct tine_settings, json),
		.commands = TINE_COMMAND_RUN | TINE_COMMAND_VERSION | TINE_COMMAND_PS |
			    TINE_COMMAND_TOP,
		.help = "Print the report as JSON.",
	},
	{
		.name = "help",
		.letter = 'h',
		.type = TINE_OPTION_FLAG,
		.offset = offsetof(struct tine_settings, help),
		.commands = TINE_COMMAND_RUN | TINE_COMMAND_VERSION | TINE_COMMAND_PS |
			    TINE_COMMAND_TOP,
		.help = "Print this help and exit.",
	},
	{
		POOL(conninfo, "CONNINFO"),
		.type = TINE_OPTION_TEXT,
		.metavar = "TEXT",
		.help = "What to connect to: libpq's keywords (\"host=db.example.org "
			"dbname=app\") or a URL, postgresql:// or postgres://, also with a "
			"driver's name in it as SQLAlchemy writes it (postgresql+psycopg2://). "
			"What it leaves out comes from the PG... variables and the service "
			"file, as in every program that uses libpq. The variable DATABASE_URL "
			"is read when TINE_CONNINFO is not set.",
	},
	{
		POOL(kind, "KIND"),
		.type = TINE_OPTION_CHOICE,
		.choices = "queue, null",
		.initial = "queue",
		.help = "queue keeps connections and shares them. null connects at each acquire "
			"and closes at each release; the limit of pool_size + max_overflow "
			"holds for both.",
	},
	{
		POOL(pool_size, "POOL_SIZE"),
		.type = TINE_OPTION_INT,
		.metavar = "N",
		.initial = "5",
		.minimum = 1,
		.maximum = 10000,
		.help = "Connections that are kept open once they were needed. None is opened "
			"beforehand.",
	},
	{
		POOL(max_overflow, "MAX_OVERFLOW"),
		.type = TINE_OPTION_INT,
		.metavar = "N",
		.initial = "10",
		.minimum = 0,
		.maximum = 10000,
		.help = "Connections that may be opened on top of pool_size under load. They "
			"are closed when they come back and nobody waits for one.",
	},
	{
		POOL(max_waiting, "MAX_WAITING"),
		.type = TINE_OPTION_INT,
		.metavar = "N",
		.initial = "0",
		.minimum = 0,
		.maximum = 1000000,
		.help = "Acquires that may wait at the same time; one more fails at once with "
			"TINE_E_QUEUE_FULL. 0: any number.",
	},
	{
		POOL(connect_parallel, "CONNECT_PARALLEL"),
		.type = TINE_OPTION_INT,
		.metavar = "N",
		.initial = "2",
		.minimum = 1,
		.maximum = 1000,
		.help = "Connections that may be on their way to the server at the same time "
			"when the pool grows. Replacing dead ones is not held back by it.",
	},
	{
		POOL(acquire_timeout_ms, "ACQUIRE_TIMEOUT_MS"),
		.type = TINE_OPTION_MS,
		.metavar = "TIME",
		.initial = "30s",
		.minimum = 1,
		.maximum = DAY_MS,
		.help = "How long an acquire waits when it does not say so itself.",
	},
	{
		POOL(connect_timeout_ms, "CONNECT_TIMEOUT_MS"),
		.type = TINE_OPTION_MS,
		.metavar = "TIME",
		.initial = "10s",
		.minimum = 1,
		.maximum = 600000,
		.help = "How long one address of a host is given to accept a connection, TLS "
			"and login included.",
	},
	{
		POOL(recycle_ms, "RECYCLE_MS"),
		.type = TINE_OPTION_MS,
		.metavar = "TIME",
		.initial = "30min",
		.minimum = 0,
		.maximum = 7 * DAY_MS,
		.help = "Age at which a connection is replaced, less up to 10 % at random, so "
			"that they do not all expire together. Keep it below the limits of "
			"proxies and of passwords that change. 0: never.",
	},
	{
		POOL(idle_timeout_ms, "IDLE_TIMEOUT_MS"),
		.type = TINE_OPTION_MS,
		.metavar = "TIME",
		.initial = "10min",
		.minimum = 0,
		.maximum = 7 * DAY_MS,
		.help = "Connections that nobody used for so long are closed. 0: never.",
	},
	{
		POOL(ping, "PING"),
		.type = TINE_OPTION_CHOICE,
		.choices = "auto, always, never",
		.initial = "auto",
		.help = "When a round trip makes sure that an idle connection is alive. auto: "
			"after ping_idle_ms, or sooner where connections were seen to die "
			"sooner. always: before every hand-out. never: only what the socket "
			"shows.",
	},
	{
		POOL(ping_idle_ms, "PING_IDLE_MS"),
		.type = TINE_OPTION_MS,
		.metavar = "TIME",
		.initial = "30s",
		.minimum = 0,
		.maximum = DAY_MS,
		.help = "Idle time after which a connection may be dead without the socket "
			"showing it.",
	},
	{
		POOL(ping_timeout_ms, "PING_TIMEOUT_MS"),
		.type = TINE_OPTION_MS,
		.metavar = "TIME",
		.initial = "2s",
		.minimum = 1,
		.maximum = 600000,
		.help = "How long that round trip may take; a connection that does not answer "
			"is replaced.",
	},
	{
		POOL(lifo, "LIFO"),
		.type = TINE_OPTION_FLAG,
		.initial = "yes",
		.help = "Hand out the connection that came back last, so that those not needed "
			"grow idle and are closed; else the one that came back first.",
	},
	{
		POOL(connect_retry, "CONNECT_RETRY"),
		.type = TINE_OPTION_FLAG,
		.initial = "no",
		.help = "Keep trying until the acquire's deadline while the server is away; "
			"else fail with the cause at once.",
	},
	{
		POOL(reset, "RESET"),
		.type = TINE_OPTION_CHOICE,
		.choices = "rollback, full, tracked, none",
		.initial = "rollback",
		.help = "What is done to a connection that comes back. rollback: an open "
			"transaction is rolled back, session settings stay. full: DISCARD ALL. "
			"tracked: the same, but only when a statement was seen that can leave "
			"something behind. none: nothing; a connection in a transaction is "
			"closed.",
	},
	{
		POOL(tls, "TLS"),
		.type = TINE_OPTION_CHOICE,
		.choices = "default, require, verify-ca, verify-full, prefer, disable",
		.initial = "default",
		.help = "Encryption on TCP. default: the sslmode that conninfo, the service "
			"file or PGSSLMODE name, else require. The others replace it: require "
			"encrypts, verify-ca and verify-full also check the certificate, prefer "
			"encrypts when the server can, disable does not. GSS encryption is used "
			"only when gssencmode is named.",
	},
	{
		POOL(keepalives_idle_s, "KEEPALIVES_IDLE_S"),
		.type = TINE_OPTION_SECONDS,
		.metavar = "TIME",
		.initial = "20",
		.minimum = 0,
		.maximum = 7200,
		.help = "Silence on a TCP connection after which the system begins to ask "
			"whether the server is there. conninfo wins. 0: the system's setting.",
	},
	{
		POOL(keepalives_interval_s, "KEEPALIVES_INTERVAL_S"),
		.type = TINE_OPTION_SECONDS,
		.metavar = "TIME",
		.initial = "5",
		.minimum = 0,
		.maximum = 7200,
		.help = "Time between such questions. conninfo wins. 0: the system's setting.",
	},
	{
		POOL(keepalives_count, "KEEPALIVES_COUNT"),
		.type = TINE_OPTION_INT,
		.metavar = "N",
		.initial = "3",
		.minimum = 0,
		.maximum = 100,
		.help = "Questions without an answer after which the connection is lost. "
			"conninfo wins. 0: the system's setting.",
	},
	{
		POOL(tcp_user_timeout_ms, "TCP_USER_TIMEOUT_MS"),
		.type = TINE_OPTION_MS,
		.metavar = "TIME",
		.initial = "30s",
		.minimum = 0,
		.maximum = DAY_MS,
		.help = "How long sent data may stay unacknowledged before the connection is "
			"lost. conninfo wins. 0: the system's setting.",
	},
	{
		POOL(application_name, "APPLICATION_NAME"),
		.type = TINE_OPTION_TEXT,
		.metavar = "TEXT",
		.help = "The name shown in pg_stat_activity. Left out: that of conninfo or "
			"PGAPPNAME, else the program's.",
	},
	{
		POOL(on_connect_sql, "ON_CONNECT_SQL"),
		.type = TINE_OPTION_TEXT,
		.metavar = "SQL",
		.help = "Statements for each new connection, before its first use.",
	},
	{
		POOL(leak_after_ms, "LEAK_AFTER_MS"),
		.type = TINE_OPTION_MS,
		.metavar = "TIME",
		.initial = "0",
		.minimum = 0,
		.maximum = DAY_MS,
		.help = "A connection that is out for longer than this is told once, as an "
			"event. 0: never.",
	},
	{
		POOL(max_uses, "MAX_USES"),
		.type = TINE_OPTION_INT,
		.metavar = "N",
		.initial = "0",
		.minimum = 0,
		.maximum = INT32_MAX,
		.help = "Checkouts after which a connection is replaced. 0: any number.",
	},
	{
		POOL(max_result_bytes, "MAX_RESULT_BYTES"),
		.type = TINE_OPTION_BYTES,
		.metavar = "BYTES",
		.initial = "0",
		.minimum = 0,
		.maximum = INT64_C(1) << 40,
		.help = "A connection that carried a larger result is replaced, since libpq "
			"keeps the memory for it. k, M and G are thousands, KiB, MiB and GiB "
			"powers of 1024. 0: any size.",
	},
	{
		POOL(name, "NAME"),
		.type = TINE_OPTION_TEXT,
		.metavar = "NAME",
		.help = "The board that this pool shares with every program of this user that "
			"gives the same name: one budget, one view. Letters, digits, '.', '_' "
			"and '-'. Left out: that of the process tree, if there is one.",
	},
	{
		POOL(budget, "BUDGET"),
		.type = TINE_OPTION_INT,
		.metavar = "N",
		.initial = "0",
		.minimum = 0,
		.maximum = 2048,
		.help = "Connections that all processes of the tree, or of the name, may have "
			"open together. The one who says it last is right. 0: what the others "
			"said, or no limit.",
	},
	{
		POOL(budget_floor, "BUDGET_FLOOR"),
		.type = TINE_OPTION_INT,
		.metavar = "N",
		.initial = "0",
		.minimum = 0,
		.maximum = 2048,
		.help = "Connections of the budget that this process always finds free: others "
			"do not borrow them.",
	},
	{
		POOL(budget_ceiling, "BUDGET_CEILING"),
		.type = TINE_OPTION_INT,
		.metavar = "N",
		.initial = "0",
		.minimum = 0,
		.maximum = 2048,
		.help = "Connections of the budget that this process takes at most. 0: no limit "
			"but pool_size and max_overflow.",
	},
	{
		POOL(orphan_check_ms, "ORPHAN_CHECK_MS"),
		.type = TINE_OPTION_MS,
		.metavar = "TIME",
		.initial = "0",
		.minimum = 0,
		.maximum = DAY_MS,
		.help = "How often the server looks, while it computes, whether the client is "
			"still there: the statement of a worker that was killed ends then. "
			"PostgreSQL 14 and later. 0: it is computed to its end.",
	},
	{
		POOL(identity, "IDENTITY"),
		.type = TINE_OPTION_FLAG,
		.initial = "yes",
		.help = "Add the worker's number and pid to application_name where a board is "
			"shared: app[w3:4711].",
	},
};

const size_t tine_options_count = sizeof(tine_options) / sizeof(tine_options[0]);
