/* SPDX-License-Identifier: PostgreSQL */
#include "preload/libpq/common.h"

#include "base/clock.h"
#include "base/hash.h"
#include "preload/libpq/budget.h"

/* Deaths after a shorter idle time are not a matter of idle time. */
#define SHORTEST_SILENCE_NS (2 * (int64_t)TINE_NS_PER_S)

/* Of all servers, where there is no board. */
static _Atomic int64_t silence_ns;
static _Atomic unsigned deaths;

/* Another one than libtine's of the same server, which is told apart by database and user too. */
static uint64_t make_key(const struct tine_record *record)
{
	const struct tine_real *real = &record->copy->real;
	uint64_t hash = tine_hash_end(tine_hash_text(TINE_HASH_START, "libpq"));

	hash = tine_hash_end(tine_hash_text(hash, real->PQhost(record->conn)));
	if (real->PQhostaddr)
		hash = tine_hash_text(hash, real->PQhostaddr(record->conn));
	hash = tine_hash_text(tine_hash_end(hash), real->PQport(record->conn));
	return hash ? hash : 1;
}

static struct tine_board *board_of(const struct tine_record *record)
{
	return record->session.server >= 0 ? tine_budget_board() : NULL;
}

void tine_common_begin(struct tine_record *record)
{
	struct tine_board *board = tine_budget_board();

	record->session.server = board ? tine_server_find(board, make_key(record)) : -1;
	record->session.deaths = tine_common_deaths(record);
	record->session.is_lost = false;
	if (record->seat)
		atomic_store_explicit(&record->seat->target, (uint32_t)record->session.server,
				      memory_order_relaxed);
}

unsigned tine_common_deaths(const struct tine_record *record)
{
	const struct tine_board *board = board_of(record);

	return atomic_load(board ? tine_server_epoch_word(board, record->session.server) : &deaths);
}

void tine_common_died(const struct tine_record *record)
{
	struct tine_board *board = board_of(record);

	if (board)
		tine_server_died(board, record->session.server, false);
	else
		atomic_fetch_add(&deaths, 1);
}

int64_t tine_common_silence_ns(const struct tine_record *record)
{
	const struct tine_board *board = board_of(record);

	return board ? tine_server_silence(board, record->session.server)
		     : atomic_load(&silence_ns);
}

static void set_silence(const struct tine_record *record, int64_t idle_ns)
{
	struct tine_board *board = board_of(record);

	if (board)
		tine_server_set_silence(board, record->session.server, idle_ns);
	else
		atomic_store(&silence_ns, idle_ns);
}

void tine_common_fell_silent(const struct tine_record *record, int64_t idle_ns)
{
	int64_t known_ns = tine_common_silence_ns(record);

	if (idle_ns >= SHORTEST_SILENCE_NS && (!known_ns || idle_ns < known_ns))
		set_silence(record, idle_ns);
}

/* Then it was not the idle time. */
void tine_common_answered(const struct tine_record *record, int64_t idle_ns)
{
	int64_t known_ns = tine_common_silence_ns(record);

	if (known_ns && idle_ns >= known_ns)
		set_silence(record, 0);
}
