/* SPDX-License-Identifier: PostgreSQL */
/* Sessions, what tests do to them, and the record. */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include "support/check.h"
#include "unit/pool/fake_inside.h"

struct shared {
	struct fake_counters count;
	struct fake_session sessions[FAKE_SESSIONS];
	struct fake_record records[FAKE_RECORDS];
	struct fake_record wrong;
};

struct fake_counters *fake_count;
bool fake_recording = true;
void (*fake_on_connect)(const struct fake_session *session, struct fake_plan *plan);
void (*fake_on_call)(int session, int call);
void (*fake_on_query)(struct fake_session *session, const char *sql, struct fake_reply *reply);
struct fake_plan fake_usual = { .rounds = 1 };

static struct shared *shared;
static bool is_harness; /* the process that makes one for each test */
/* The server's ends that this process has, by session; -1 where it has none. */
static _Atomic int peers[FAKE_SESSIONS];
/* Their clients. What a child must not free stays in sight of valgrind here. */
static _Atomic(struct fake_conn *) clients[FAKE_SESSIONS];
/* A session does not end while a test does something to it. Its client takes no lock: what orders a
 * client's threads is the pool, or ThreadSanitizer tells. */
static _Atomic bool locks[FAKE_SESSIONS];
static _Atomic long failing;
static _Atomic bool has_failed;

/* ---- the beginning -------------------------------------------------------------------------- */

static void share(void)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (shared == MAP_FAILED)
		abort();
	fake_count = &shared->count;
}

void fake_forked(void)
{
	if (is_harness)
		share();
	is_harness = false;
	for (int i = 0; i < FAKE_SESSIONS; i++) {
		int peer = atomic_exchange(&peers[i], -1);

		if (peer >= 0)
			close(peer);
	}
}

/* What a developer's environment says is not part of a test. */
static void forget_environment(void)
{
	static const char *const names[] = {
		"PGHOST",
		"PGHOSTADDR",
		"PGPORT",
		"PGUSER",
		"PGPASSWORD",
		"PGDATABASE",
		"PGSSLMODE",
		"PGSERVICE",
		"PGAPPNAME",
		"PGOPTIONS",
		"PGTARGETSESSIONATTRS",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unsetenv(names[i]);
}

/* Before the pool's own constructor, so that this handler runs before its own. */
__attribute__((constructor(200))) static void start(void)
{
	is_harness = true;
	for (int i = 0; i < FAKE_SESSIONS; i++)
		atomic_init(&peers[i], -1);
	forget_environment();
	pthread_atfork(NULL, NULL, fake_forked);
}

/* ---- calls ---------------------------------------------------------------------------------- */

const char *fake_call_name(int call)
{
	static const char *const names[] = {
#define FAKE_CALL_NAME(name) #name,
		FAKE_CALLS(FAKE_CALL_NAME)
#undef FAKE_CALL_NAME
	};

	return names[call];
}

const struct fake_record *fake_record_at(unsigned number)
{
	return &shared->records[number % FAKE_RECORDS];
}

const struct fake_record *fake_first_wrong(void)
{
	return &shared->wrong;
}

static bool is_severed(const struct fake_session *session, int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_ino != session->inode;
}

static void record(struct fake_conn *conn, enum fake_call call)
{
	unsigned number = atomic_fetch_add(&fake_count->records, 1);
	struct fake_record *entry = &shared->records[number % FAKE_RECORDS];

	*entry = (struct fake_record){ .pid = getpid(), .call = (uint8_t)call };
	if (!conn->session)
		return;
	entry->session = conn->session->id;
	entry->foreign = entry->pid != conn->session->pid;
	if (!entry->foreign)
		return;
	entry->severed = is_severed(conn->session, conn->fd);
	entry->torn = atomic_load(&conn->changing) != 0;
	atomic_fetch_add(&fake_count->foreign, 1);
	if ((call != FAKE_finish || !entry->severed || entry->torn) &&
	    atomic_fetch_add(&fake_count->foreign_wrong, 1) == 0)
		shared->wrong = *entry;
}

/* Calls that only look at a connection: a fork in the middle of them leaves a whole copy. */
static bool changes(enum fake_call call)
{
	switch (call) {
	case FAKE_conninfo:
	case FAKE_status:
	case FAKE_socket:
	case FAKE_error_message:
	case FAKE_parameter_status:
	case FAKE_ssl_in_use:
	case FAKE_backend_pid:
	case FAKE_transaction_status:
	case FAKE_pipeline_status:
	case FAKE_is_busy:
		return false;
	default:
		return true;
	}
}

struct fake_conn *fake_enter(const PGconn *pg, enum fake_call call)
{
	struct fake_conn *conn = (struct fake_conn *)(uintptr_t)pg;

	atomic_fetch_add_explicit(&fake_count->calls[call], 1, memory_order_relaxed);
	if (!conn)
		return NULL;
	CHECK_INT(conn->magic, ==, FAKE_MAGIC);
	if (!fake_recording)
		return conn;
	record(conn, call);
	/* Relaxed: to order the threads is the pool's work. */
	if (atomic_fetch_add_explicit(&conn->inside, 1, memory_order_relaxed) != 0 &&
	    (!conn->session || conn->session->pid == getpid()))
		check_fail(__FILE__, __LINE__, "%s: another thread is inside the connection",
			   fake_call_name(call));
	if (changes(call))
		atomic_fetch_add_explicit(&conn->changing, 1, memory_order_relaxed);
	if (fake_on_call && conn->session)
		fake_on_call(conn->session->id, call);
	return conn;
}

void fake_leave(struct fake_conn *conn, enum fake_call call)
{
	if (!conn || !fake_recording)
		return;
	if (changes(call))
		atomic_fetch_sub_explicit(&conn->changing, 1, memory_order_relaxed);
	atomic_fetch_sub_explicit(&conn->inside, 1, memory_order_relaxed);
}

void fake_fail_at(long n)
{
	atomic_store(&has_failed, false);
	atomic_store(&failing, n);
}

bool fake_has_failed(void)
{
	return atomic_load(&has_failed);
}

bool fake_fails(void)
{
	if (atomic_load(&failing) == 0 || atomic_fetch_sub(&failing, 1) != 1)
		return false;
	atomic_store(&has_failed, true);
	return true;
}

/* ---- sessions ------------------------------------------------------------------------------- */

struct fake_session *fake_session(int id)
{
	struct fake_session *session = &shared->sessions[id % FAKE_SESSIONS];
	struct timespec pause = { 0, 1000000 };

	for (int i = 0; i < 20000 && atomic_load(&session->began) != id; i++)
		nanosleep(&pause, NULL);
	CHECK_INT(atomic_load(&session->began), ==, id);
	return session;
}

struct fake_session *fake_session_of(const PGconn *pg)
{
	return ((const struct fake_conn *)pg)->session;
}

int fake_peer(const struct fake_session *session)
{
	return atomic_load(&peers[session->id % FAKE_SESSIONS]);
}

static void lock(const struct fake_session *session)
{
	while (atomic_exchange(&locks[session->id % FAKE_SESSIONS], true))
		sched_yield();
}

static void unlock(const struct fake_session *session)
{
	atomic_store(&locks[session->id % FAKE_SESSIONS], false);
}

static void count_live(void)
{
	int live = atomic_fetch_add(&fake_count->live, 1) + 1;
	int most = atomic_load(&fake_count->most_live);

	while (live > most && !atomic_compare_exchange_weak(&fake_count->most_live, &most, live))
		continue;
}

struct fake_session *fake_session_open(struct fake_conn *conn)
{
	int id = atomic_fetch_add(&fake_count->sessions, 1) + 1;
	struct fake_session *session = &shared->sessions[id % FAKE_SESSIONS];
	struct stat st;
	int pair[2];

	CHECK(!atomic_load(&session->open));
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return NULL;
	CHECK(fstat(pair[0], &st) == 0);
	memset(session, 0, sizeof(*session));
	session->id = id;
	session->pid = getpid();
	session->fd = conn->fd = pair[0];
	session->inode = st.st_ino;
	atomic_store(&session->open, true);
	atomic_store(&peers[id % FAKE_SESSIONS], pair[1]);
	atomic_store(&clients[id % FAKE_SESSIONS], conn);
	count_live();
	return session;
}

void fake_session_close(struct fake_session *session)
{
	int peer;

	atomic_store(&clients[session->id % FAKE_SESSIONS], NULL);
	if (session->pid != getpid())
		return;
	fake_hear(session);
	lock(session);
	peer = atomic_exchange(&peers[session->id % FAKE_SESSIONS], -1);
	if (peer >= 0)
		close(peer);
	unlock(session);
	atomic_store(&session->open, false);
	atomic_fetch_sub(&fake_count->live, 1);
}

void fake_say(struct fake_session *session, char byte)
{
	if (!atomic_load(&session->silent))
		send(fake_peer(session), &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void fake_end(struct fake_session *session, const char *sqlstate)
{
	char bytes[] = { FAKE_BYTE_FAREWELL, 0, 0, 0, 0, 0 };

	if (sqlstate && !atomic_load(&session->silent)) {
		memcpy(bytes + 1, sqlstate, 5);
		send(fake_peer(session), bytes, sizeof(bytes), MSG_NOSIGNAL | MSG_DONTWAIT);
	}
	shutdown(fake_peer(session), SHUT_RDWR);
}

void fake_hear(struct fake_session *session)
{
	char bytes[64];
	ssize_t got;

	while ((got = recv(fake_peer(session), bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
		for (ssize_t i = 0; i < got && !atomic_load(&session->silent); i++)
			if (bytes[i] == 'X')
				atomic_fetch_add(&session->goodbyes, 1);
}

/* ---- what tests do to them ------------------------------------------------------------------ */

static void say_locked(struct fake_session *session, char byte)
{
	lock(session);
	fake_say(session, byte);
	unlock(session);
}

void fake_let_through(struct fake_session *session)
{
	say_locked(session, FAKE_BYTE_ROUND);
}

void fake_answer_held(struct fake_session *session)
{
	say_locked(session, FAKE_BYTE_RESULT);
}

void fake_hang_up(struct fake_session *session)
{
	lock(session);
	fake_end(session, NULL);
	unlock(session);
}

void fake_farewell(struct fake_session *session, const char *sqlstate)
{
	lock(session);
	fake_end(session, sqlstate);
	unlock(session);
}

void fake_report_role(struct fake_session *session, bool standby, bool read_only)
{
	atomic_store(&session->standby, standby);
	atomic_store(&session->read_only, read_only);
	say_locked(session, FAKE_BYTE_PARAMETER);
}

void fake_notify(struct fake_session *session)
{
	say_locked(session, FAKE_BYTE_NOTIFICATION);
}

void fake_notice(struct fake_session *session)
{
	say_locked(session, FAKE_BYTE_NOTICE);
}

bool fake_wire_is_quiet(const struct fake_session *session)
{
	char byte;

	return recv(fake_peer(session), &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

int fake_times_said(const struct fake_session *session, const char *sql)
{
	int count = atomic_load(&session->statement_count), times = 0;

	for (int i = count > FAKE_STATEMENTS ? count - FAKE_STATEMENTS : 0; i < count; i++)
		times += strcmp(session->statements[i % FAKE_STATEMENTS], sql) == 0;
	return times;
}

bool fake_was_said(const struct fake_session *session, const char *sql)
{
	return fake_times_said(session, sql) > 0;
}

int fake_printed(void)
{
	return atomic_load(&fake_count->printed);
}
