/* SPDX-License-Identifier: PostgreSQL */
#include "prefork/table.h"

#define TO(state, act)                                                                             \
	{                                                                                          \
		TINE_WORKER_##state, TINE_ACT_##act                                                \
	}

#define FORK TINE_SEEN_FORK
#define READY TINE_SEEN_READY
#define LATE TINE_SEEN_LATE
#define RECOVERED TINE_SEEN_RECOVERED
#define EXPIRED TINE_SEEN_EXPIRED
#define STOP TINE_SEEN_STOP
#define QUIT TINE_SEEN_QUIT
#define REAPED TINE_SEEN_REAPED

/* clang-format off */
static const struct tine_worker_step worker_steps[TINE_WORKER_STATES][TINE_WORKER_EVENTS] = {
	[TINE_WORKER_NONE] = {
		[FORK]      = TO(STARTING, WATCH_START),
		[READY]     = TO(NONE, NOTHING),
		[LATE]      = TO(NONE, NOTHING),
		[RECOVERED] = TO(NONE, NOTHING),
		[EXPIRED]   = TO(NONE, NOTHING),
		[STOP]      = TO(NONE, NOTHING),
		[QUIT]      = TO(NONE, NOTHING),
		[REAPED]    = TO(NONE, NOTHING),
	},
	[TINE_WORKER_STARTING] = {
		[FORK]      = TO(STARTING, NOTHING),
		[READY]     = TO(READY, WELCOME),
		[LATE]      = TO(STARTING, NOTHING),
		[RECOVERED] = TO(STARTING, NOTHING),
		[EXPIRED]   = TO(ABORTED, ABORT),
		[STOP]      = TO(STOPPING, STOP),
		[QUIT]      = TO(QUITTING, QUIT),
		[REAPED]    = TO(NONE, BURY),
	},
	[TINE_WORKER_READY] = {
		[FORK]      = TO(READY, NOTHING),
		[READY]     = TO(READY, NOTHING),
		[LATE]      = TO(LATE, WARN),
		[RECOVERED] = TO(READY, NOTHING),
		[EXPIRED]   = TO(READY, SETTLE),
		[STOP]      = TO(STOPPING, STOP),
		[QUIT]      = TO(QUITTING, QUIT),
		[REAPED]    = TO(NONE, BURY),
	},
	[TINE_WORKER_LATE] = {
		[FORK]      = TO(LATE, NOTHING),
		[READY]     = TO(LATE, NOTHING),
		[LATE]      = TO(LATE, TELL),
		[RECOVERED] = TO(READY, RELIEVE),
		[EXPIRED]   = TO(ABORTED, ABORT),
		[STOP]      = TO(STOPPING, STOP),
		[QUIT]      = TO(QUITTING, QUIT),
		[REAPED]    = TO(NONE, BURY),
	},
	[TINE_WORKER_ABORTED] = {
		[FORK]      = TO(ABORTED, NOTHING),
		[READY]     = TO(ABORTED, NOTHING),
		[LATE]      = TO(ABORTED, NOTHING),
		[RECOVERED] = TO(ABORTED, NOTHING),
		[EXPIRED]   = TO(KILLED, KILL),
		[STOP]      = TO(ABORTED, NOTHING),
		[QUIT]      = TO(ABORTED, NOTHING),
		[REAPED]    = TO(NONE, BURY),
	},
	[TINE_WORKER_STOPPING] = {
		[FORK]      = TO(STOPPING, NOTHING),
		[READY]     = TO(STOPPING, NOTHING),
		[LATE]      = TO(STOPPING, TELL),
		[RECOVERED] = TO(STOPPING, NOTHING),
		[EXPIRED]   = TO(KILLED, KILL),
		[STOP]      = TO(STOPPING, NOTHING),
		[QUIT]      = TO(QUITTING, QUIT),
		[REAPED]    = TO(NONE, BURY),
	},
	[TINE_WORKER_QUITTING] = {
		[FORK]      = TO(QUITTING, NOTHING),
		[READY]     = TO(QUITTING, NOTHING),
		[LATE]      = TO(QUITTING, NOTHING),
		[RECOVERED] = TO(QUITTING, NOTHING),
		[EXPIRED]   = TO(KILLED, KILL),
		[STOP]      = TO(QUITTING, NOTHING),
		[QUIT]      = TO(QUITTING, NOTHING),
		[REAPED]    = TO(NONE, BURY),
	},
	[TINE_WORKER_KILLED] = {
		[FORK]      = TO(KILLED, NOTHING),
		[READY]     = TO(KILLED, NOTHING),
		[LATE]      = TO(KILLED, NOTHING),
		[RECOVERED] = TO(KILLED, NOTHING),
		[EXPIRED]   = TO(KILLED, KILL),
		[STOP]      = TO(KILLED, NOTHING),
		[QUIT]      = TO(KILLED, NOTHING),
		[REAPED]    = TO(NONE, BURY),
	},
};

#undef TO
#define TO(state, act)                                                                             \
	{                                                                                          \
		TINE_MASTER_##state, TINE_MASTER_##act                                             \
	}

static const struct tine_master_step master_steps[TINE_MASTER_STATES][TINE_MASTER_EVENTS] = {
	[TINE_MASTER_RUNNING] = {
		[TINE_TOLD_TERM]   = TO(STOPPING, STOP),
		[TINE_TOLD_QUIT]   = TO(QUITTING, QUIT),
		[TINE_TOLD_HUP]    = TO(RUNNING, RELOAD),
		[TINE_TOLD_MORE]   = TO(RUNNING, MORE),
		[TINE_TOLD_FEWER]  = TO(RUNNING, FEWER),
		[TINE_TOLD_LOGS]   = TO(RUNNING, LOGS),
		[TINE_TOLD_BROKEN] = TO(STOPPING, GIVE_UP),
	},
	[TINE_MASTER_STOPPING] = {
		[TINE_TOLD_TERM]   = TO(STOPPING, NOTHING),
		[TINE_TOLD_QUIT]   = TO(QUITTING, QUIT),
		[TINE_TOLD_HUP]    = TO(STOPPING, NOTHING),
		[TINE_TOLD_MORE]   = TO(STOPPING, NOTHING),
		[TINE_TOLD_FEWER]  = TO(STOPPING, NOTHING),
		[TINE_TOLD_LOGS]   = TO(STOPPING, LOGS),
		[TINE_TOLD_BROKEN] = TO(STOPPING, NOTHING),
	},
	[TINE_MASTER_QUITTING] = {
		[TINE_TOLD_TERM]   = TO(QUITTING, NOTHING),
		[TINE_TOLD_QUIT]   = TO(QUITTING, NOTHING),
		[TINE_TOLD_HUP]    = TO(QUITTING, NOTHING),
		[TINE_TOLD_MORE]   = TO(QUITTING, NOTHING),
		[TINE_TOLD_FEWER]  = TO(QUITTING, NOTHING),
		[TINE_TOLD_LOGS]   = TO(QUITTING, LOGS),
		[TINE_TOLD_BROKEN] = TO(QUITTING, NOTHING),
	},
};
/* clang-format on */

struct tine_worker_step tine_worker_step(enum tine_worker_state state, enum tine_worker_event seen)
{
	return worker_steps[state][seen];
}

struct tine_master_step tine_master_step(enum tine_master_state state, enum tine_master_event told)
{
	return master_steps[state][told];
}
