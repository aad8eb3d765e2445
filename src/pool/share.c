/* SPDX-License-Identifier: PostgreSQL */
#include "pool/share.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/text.h"
#include "board/claim.h"
#include "pool/error.h"
#include "pool/fork.h"
#include "pool/outage.h"
#include "pool/slot.h"

/* How soon who waits for the pace of the tree looks again. */
#define PACE_NS (5 * (int64_t)TINE_NS_PER_MS)
#define LOOK_NS (TINE_WAITER_LOOK_MS * (int64_t)TINE_NS_PER_MS)

/* How long one process alone tries whether the server is back. */
#define PROBE_NS ((int64_t)TINE_NS_PER_S)

static const _Atomic uint32_t nothing_shared;
static const _Atomic uint32_t everything = UINT32_MAX;

/* ---- the board ------------------------------------------------------------------------------ */

static uint64_t hash_text(uint64_t hash, const char *text)
{
	return tine_hash_end(tine_hash_text(hash, text));
}

/* Which server, database and user: a hash, so that nothing of it can be read in the segment. */
static uint64_t target_key(const struct tine_conninfo *conninfo)
{
	uint64_t hash = TINE_HASH_START;

	for (int i = 0; i < conninfo->count; i++)
		if (strcmp(conninfo->keywords[i], "dbname") == 0 ||
		    strcmp(conninfo->keywords[i], "user") == 0)
			hash = hash_text(hash_text(hash, conninfo->keywords[i]),
					 conninfo->values[i]);
	for (int i = 0; i < conninfo->host_count; i++) {
		hash = hash_text(hash, conninfo->hosts[i].host);
		hash = hash_text(hash, conninfo->hosts[i].hostaddr);
		hash = hash_text(hash, conninfo->hosts[i].port);
	}
	return hash ? hash : 1;
}

/* How many connections have died, and above that how many of them said nothing: one word, since
 * threads note both at once. */
static uint64_t pack(uint32_t deaths, uint32_t condemned)
{
	return (uint64_t)condemned << 32 | deaths;
}

static uint32_t deaths(uint64_t word)
{
	return (uint32_t)word;
}

static uint32_t condemned(uint64_t word)
{
	return (uint32_t)(word >> 32);
}

static uint64_t told_of_deaths(struct tine_share *share)
{
	uint32_t silent, epoch = tine_server_epoch(&share->board, share->target, &silent);

	return pack(epoch, silent);
}

static void share_nothing(struct tine_share *share)
{
	share->target = -1;
	share->epoch = &nothing_shared;
	share->fair = &everything;
}

static int join(struct tine_board *board, const struct tine_board_spec *spec, tine_error *error)
{
	char text[512];
	int rc = tine_board_join(board, spec, text, sizeof(text));

	if (rc < 0)
		return tine_error_set(error, rc == -EINVAL ? TINE_E_INVALID : TINE_E_SYSTEM, "%s",
				      text);
	return 0;
}

int tine_share_open(struct tine_pool *pool, const tine_pool_config *config, tine_error *error)
{
	struct tine_board_spec spec = {
		.path = secure_getenv("TINE_BOARD"),
		.name = config->name && *config->name ? config->name : NULL,
		.application = program_invocation_short_name,
		.budget = config->budget,
		.connect_parallel = config->connect_parallel,
		.floor = config->budget_floor,
		.ceiling = config->budget_ceiling,
	};
	struct tine_share *share = &pool->share;
	int rc;

	share_nothing(share);
	/* A name of its own wins over that of tine run. */
	if (spec.name || !spec.path || !*spec.path)
		spec.path = NULL;
	if (!spec.path && !spec.name && !spec.budget)
		return 0;
	rc = join(&share->board, &spec, error);
	if (rc < 0)
		return rc;
	share->on = true;
	share->target = tine_server_find(&share->board, target_key(&pool->conninfo));
	share->epoch = tine_server_epoch_word(&share->board, share->target);
	share->fair = tine_permit_fair_share(&share->board);
	atomic_store(&share->seen, told_of_deaths(share));
	return 0;
}

void tine_share_close(struct tine_pool *pool)
{
	if (pool->share.on)
		tine_board_close(&pool->share.board);
	pool->share.on = false;
	share_nothing(&pool->share);
}

void tine_share_left(struct tine_pool *pool)
{
	if (!pool->share.on)
		return;
	tine_board_left(&pool->share.board);
	for (int i = 0; i < pool->slot_count; i++) {
		struct tine_slot *slot = pool->slots[i];

		if (!slot)
			continue;
		slot->permit = slot->token = -1;
		slot->seat = &slot->own_seat;
	}
}

void tine_share_enlist(struct tine_pool *pool)
{
	if (!pool->share.on || pool->share.board.place >= 0)
		return;
	tine_pool_lock(pool);
	if (tine_board_enlist(&pool->share.board) == 0 && pool->share.board.place >= 0)
		tine_board_note(&pool->share.board, TINE_BOARD_FORKED, 0);
	tine_pool_unlock(pool);
}

void tine_share_note(struct tine_pool *pool, enum tine_board_event_kind kind, uint32_t detail)
{
	if (pool->share.on)
		tine_board_note(&pool->share.board, kind, detail);
}

/* ---- permits -------------------------------------------------------------------------------- */

static void wake_by(struct tine_acquire *acquire, int64_t at_ns)
{
	if (at_ns < acquire->share_wake_ns || !acquire->share_wake_ns)
		acquire->share_wake_ns = at_ns;
}

bool tine_share_admit(struct tine_acquire *acquire, struct tine_slot *slot, int64_t now_ns)
{
	struct tine_pool *pool = acquire->pool;
	struct tine_board *board = &pool->share.board;
	struct tine_claim claim = { -1, -1, acquire->waiter };
	int64_t again_ns;

	if (!pool->share.on)
		return true;
	tine_board_want(board);
	if (pool->outage.error.status &&
	    !tine_server_probe(board, pool->share.target, now_ns, now_ns + PROBE_NS)) {
		wake_by(acquire, now_ns + LOOK_NS);
		return false;
	}
	if (!tine_claim_take(board, &claim, now_ns, &again_ns)) {
		acquire->waiter = claim.waiter;
		wake_by(acquire, again_ns);
		return false;
	}
	acquire->waiter = -1;
	slot->permit = claim.permit;
	slot->token = claim.token;
	slot->seat = tine_permit_seat(board, slot->permit);
	tine_seat_begin(slot->seat, pool->share.target, tine_clock_coarse_ns());
	return true;
}

static void lose_permit(struct tine_slot *slot)
{
	tine_permit_give(&slot->pool->share.board, slot->permit, 0);
	slot->permit = -1;
	slot->seat = &slot->own_seat;
}

void tine_share_check(struct tine_slot *slot)
{
	if (slot->permit >= 0 && !tine_permit_is_own(&slot->pool->share.board, slot->permit))
		lose_permit(slot);
}

bool tine_share_reset(struct tine_slot *slot)
{
	if (slot->permit < 0 || tine_permit_renew(&slot->pool->share.board, slot->permit))
		return true;
	lose_permit(slot);
	return false;
}

bool tine_share_pace(struct tine_slot *slot)
{
	struct tine_share *share = &slot->pool->share;

	if (!share->on)
		return true;
	if (!tine_share_reset(slot) || slot->permit < 0)
		return false;
	slot->token = tine_token_take(&share->board);
	if (slot->token < 0)
		return false;
	tine_seat_begin(slot->seat, share->target, tine_clock_coarse_ns());
	return true;
}

bool tine_share_go_on(struct tine_acquire *acquire, struct tine_slot *slot, int64_t now_ns)
{
	struct tine_share *share = &slot->pool->share;

	if (!share->on || slot->token >= 0)
		return true;
	slot->token = tine_token_take(&share->board);
	if (slot->token < 0)
		wake_by(acquire, now_ns + PACE_NS);
	return slot->token >= 0;
}

void tine_share_connected(struct tine_slot *slot)
{
	struct tine_share *share = &slot->pool->share;

	if (slot->token >= 0)
		tine_token_give(&share->board, slot->token);
	slot->token = -1;
}

void tine_share_opened(struct tine_slot *slot)
{
	struct tine_pool *pool = slot->pool;

	tine_share_connected(slot);
	if (slot->permit < 0)
		return;
	tine_seat_opened(slot->seat, (uint32_t)pool->pq->backend_pid(slot->pg),
			 tine_clock_coarse_ns());
	tine_permit_tell_socket(&pool->share.board, slot->permit, slot->fd);
	tine_board_note(&pool->share.board, TINE_BOARD_OPENED, 0);
}

void tine_share_give(struct tine_slot *slot, int open_ms)
{
	tine_share_connected(slot);
	if (slot->permit >= 0)
		tine_permit_give(&slot->pool->share.board, slot->permit, open_ms);
	slot->permit = -1;
	slot->seat = &slot->own_seat;
}

bool tine_share_is_too_much(const struct tine_slot *slot)
{
	const struct tine_pool *pool = slot->pool;

	return pool->share.on &&
	       (uint32_t)atomic_load(&pool->open) >
		       atomic_load_explicit(pool->share.fair, memory_order_relaxed) &&
	       tine_permit_is_too_much(&pool->share.board, slot->permit,
				       atomic_load(&pool->waiting) > 0);
}

/* ---- lending -------------------------------------------------------------------------------- */

/* A server that ends what is idle for less would end what is in use. */
#define LEND_LEAST_MS 1000

/* What a message may be late by: a connection is not used when the server may be about to end it.
 */
#define LATE_MS 2000

#define LEND_VERSION 14

int tine_share_lend_after_ms(const tine_pool_config *config)
{
	int ms = config->lend_after_ms;

	return ms && ms < LEND_LEAST_MS ? LEND_LEAST_MS : ms;
}

int64_t tine_share_quiet_ns(const struct tine_slot *slot)
{
	const struct tine_pool *pool = slot->pool;
	const char *version = pool->pq->parameter_status(slot->pg, "server_version");
	int ms = tine_share_lend_after_ms(&pool->config);

	/* Without a budget there is no fair share, and nothing to lend. */
	if (!pool->share.on || slot->permit < 0 || !version || atoi(version) < LEND_VERSION ||
	    atomic_load(pool->share.fair) == UINT32_MAX)
		return 0;
	return (int64_t)(ms / 4 < LATE_MS ? ms - ms / 4 : ms - LATE_MS) * TINE_NS_PER_MS;
}

/* ---- the queue ------------------------------------------------------------------------------ */

void tine_share_leave_queue(struct tine_acquire *acquire)
{
	if (acquire->waiter < 0)
		return;
	/* Who has news for us looks at it under the lock. */
	tine_pool_lock(acquire->pool);
	tine_waiter_leave(&acquire->pool->share.board, acquire->waiter);
	acquire->waiter = -1;
	tine_pool_unlock(acquire->pool);
}

_Atomic uint32_t *tine_share_news(struct tine_acquire *acquire)
{
	return acquire->waiter < 0 ? NULL
				   : tine_waiter_news(&acquire->pool->share.board, acquire->waiter);
}

void tine_share_explain(struct tine_acquire *acquire, uint64_t waited_ms, tine_error *ret_error)
{
	char text[512];

	tine_claim_explain(&acquire->pool->share.board, waited_ms, text, sizeof(text));
	tine_error_set(ret_error, TINE_E_TIMEOUT, "%s", text);
}

/* ---- identity ------------------------------------------------------------------------------- */

const char *tine_share_identity(struct tine_pool *pool, const char *name, char *buf, size_t size)
{
	if (!pool->share.on || !pool->config.identity || pool->share.board.place < 0)
		return name;
	tine_board_identity(&pool->share.board, name, buf, size);
	return buf;
}

/* ---- knowledge ------------------------------------------------------------------------------ */

/* The board only counts up, and is read after what was seen: a death of our own that is noted
 * meanwhile makes it begin again. */
static void learn_deaths(struct tine_pool *pool)
{
	struct tine_share *share = &pool->share;
	uint64_t seen = atomic_load(&share->seen), told;

	do {
		told = told_of_deaths(share);
		if (deaths(told) == deaths(seen))
			return;
	} while (!atomic_compare_exchange_weak(&share->seen, &seen, told));
	tine_pool_doubt(pool, condemned(told) != condemned(seen));
}

static void learn_outage(struct tine_pool *pool)
{
	struct tine_outage_note note;

	if (!tine_server_outage(&pool->share.board, pool->share.target, &note)) {
		if (pool->outage.error.status)
			tine_outage_forget(pool);
		return;
	}
	if (note.at_ns <= pool->outage.at_ns && pool->outage.error.status)
		return;
	tine_error_set(&pool->outage.error, note.status, "%s", note.text);
	snprintf(pool->outage.error.sqlstate, sizeof(pool->outage.error.sqlstate), "%s",
		 note.sqlstate);
	pool->outage.at_ns = note.at_ns;
	pool->outage.next_ns = note.next_ns;
	pool->outage.failures = (int)(note.failures & 0xff);
}

void tine_share_learn(struct tine_pool *pool)
{
	int64_t silence_ns;

	if (!pool->share.on)
		return;
	learn_deaths(pool);
	learn_outage(pool);
	silence_ns = tine_server_silence(&pool->share.board, pool->share.target);
	if (pool->share.target >= 0)
		atomic_store(&pool->silent_idle_ns, silence_ns);
}

void tine_share_died(struct tine_pool *pool, bool is_condemned)
{
	struct tine_share *share = &pool->share;
	uint64_t seen = atomic_load(&share->seen);

	if (!share->on || share->target < 0)
		return;
	/* What others found in the same moment is learned at the next look. */
	if (tine_server_died(&share->board, share->target, is_condemned) == deaths(seen) + 1)
		atomic_compare_exchange_strong(
			&share->seen, &seen,
			pack(deaths(seen) + 1, condemned(seen) + is_condemned));
}

void tine_share_outage(struct tine_pool *pool)
{
	struct tine_outage_note note = {
		.status = pool->outage.error.status,
		.at_ns = pool->outage.at_ns,
		.next_ns = pool->outage.next_ns,
		.failures = (uint32_t)pool->outage.failures,
	};
	struct tine_text text;

	if (!pool->share.on)
		return;
	snprintf(note.sqlstate, sizeof(note.sqlstate), "%s", pool->outage.error.sqlstate);
	tine_text_init(&text, note.text, sizeof(note.text));
	tine_text_add_foreign(&text, pool->outage.error.text, strlen(pool->outage.error.text));
	tine_server_failed(&pool->share.board, pool->share.target, &note);
	tine_board_note(&pool->share.board, TINE_BOARD_FAILED, (uint32_t)-note.status);
}

void tine_share_recovered(struct tine_pool *pool)
{
	if (pool->share.on)
		tine_server_recovered(&pool->share.board, pool->share.target);
}

void tine_share_silence(struct tine_pool *pool, int64_t idle_ns)
{
	if (pool->share.on)
		tine_server_set_silence(&pool->share.board, pool->share.target, idle_ns);
}

/* ---- farewell ------------------------------------------------------------------------------- */

int tine_share_farewell(struct tine_slot *slot)
{
	const struct tine_pq *pq = slot->pool->pq;
	int fd = -1, open_ms = TINE_PERMIT_CLOSED_MS;

	if (slot->permit < 0 || !slot->pg)
		return 0;
	tine_fork_gate_enter();
	/* A busy server does not hear the farewell before it is done. */
	if (pq->transaction_status(slot->pg) != PQTRANS_ACTIVE)
		fd = pq->socket(slot->pg);
	if (fd >= 0)
		fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	tine_slot_finish(slot);
	if (fd >= 0) {
		open_ms = tine_board_await_end(fd);
		close(fd);
	}
	tine_fork_gate_leave();
	return open_ms;
}
