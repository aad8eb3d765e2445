/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the members know of one server, database and user. An outage's text is written by one at a
 * time, who claims it with its owner word; a claim of who died is taken over. Readers look at the
 * sequence before and after, and take nothing when it changed.
 */
#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "board/board.h"
#include "board/word.h"

#define READ_TRIES 100

static struct tine_board_target *get(const struct tine_board *board, int target)
{
	return target >= 0 && target < TINE_BOARD_TARGETS ? &board->map->targets[target] : NULL;
}

int tine_target_find(struct tine_board *board, uint64_t key)
{
	for (int i = 0; i < TINE_BOARD_TARGETS; i++) {
		uint64_t word = atomic_load(&board->map->targets[i].key);

		if (word == 0 &&
		    atomic_compare_exchange_strong(&board->map->targets[i].key, &word, key))
			return i;
		if (word == key)
			return i;
	}
	return -1;
}

/* ---- deaths --------------------------------------------------------------------------------- */

const _Atomic uint32_t *tine_target_epoch_word(const struct tine_board *board, int target)
{
	static const _Atomic uint32_t none;
	const struct tine_board_target *entry = get(board, target);

	return entry ? &entry->epoch : &none;
}

uint32_t tine_target_epoch(const struct tine_board *board, int target, uint32_t *ret_condemned)
{
	const struct tine_board_target *entry = get(board, target);

	*ret_condemned = entry ? atomic_load(&entry->condemned) : 0;
	return entry ? atomic_load(&entry->epoch) : 0;
}

uint32_t tine_target_died(struct tine_board *board, int target, bool condemned)
{
	struct tine_board_target *entry = get(board, target);

	if (!entry)
		return 0;
	if (condemned)
		atomic_fetch_add(&entry->condemned, 1);
	return atomic_fetch_add(&entry->epoch, 1) + 1;
}

void tine_target_set_silence(struct tine_board *board, int target, int64_t idle_ns)
{
	struct tine_board_target *entry = get(board, target);

	if (entry)
		atomic_store(&entry->silent_idle_ns, idle_ns);
}

int64_t tine_target_silence(const struct tine_board *board, int target)
{
	const struct tine_board_target *entry = get(board, target);
	int64_t idle_ns = entry ? atomic_load(&entry->silent_idle_ns) : 0;

	return idle_ns > 0 ? idle_ns : 0;
}

/* ---- outages -------------------------------------------------------------------------------- */

static bool claim(struct tine_board *board, struct tine_board_target *entry)
{
	uint64_t word = atomic_load(&entry->writer);

	if (word && tine_owner_is_there(board->map, word))
		return false; /* it is telling the same at this moment */
	return atomic_compare_exchange_strong(&entry->writer, &word, board->owner);
}

static void copy_text(char *to, size_t size, const char *from)
{
	struct tine_text text;

	tine_text_init(&text, to, size);
	tine_text_add_foreign(&text, from, strnlen(from, size));
}

void tine_target_failed(struct tine_board *board, int target, const struct tine_outage_note *note)
{
	struct tine_board_target *entry = get(board, target);

	if (!entry || board->place < 0 || !claim(board, entry))
		return;
	/* Odd, also after somebody died in here. */
	atomic_store(&entry->sequence, atomic_load(&entry->sequence) | 1);
	atomic_thread_fence(memory_order_seq_cst);
	atomic_store(&entry->status, note->status);
	atomic_store(&entry->at_ns, note->at_ns);
	atomic_store(&entry->next_ns, note->next_ns);
	atomic_store(&entry->failures, note->failures);
	memcpy(entry->sqlstate, note->sqlstate, sizeof(entry->sqlstate));
	copy_text(entry->text, sizeof(entry->text), note->text);
	atomic_fetch_add(&entry->sequence, 1);
	atomic_store(&entry->writer, 0);
}

void tine_target_recovered(struct tine_board *board, int target)
{
	struct tine_board_target *entry = get(board, target);
	int32_t status;

	if (!entry)
		return;
	status = atomic_load(&entry->status);
	if (!status || !atomic_compare_exchange_strong(&entry->status, &status, 0))
		return;
	atomic_store(&entry->failures, 0);
	atomic_fetch_add(&entry->recoveries, 1);
	tine_board_note(board, TINE_BOARD_RECOVERED, (uint32_t)target);
	/* Who waits, in whatever process, looks again. */
	for (int i = 0; i < TINE_BOARD_WAITERS; i++) {
		struct tine_board_waiter *waiter = &board->map->waiters[i];

		if (!atomic_load_explicit(&waiter->word, memory_order_relaxed))
			continue;
		atomic_store(&waiter->news, 1);
		syscall(SYS_futex, &waiter->news, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
	}
}

static void read_outage(const struct tine_board_target *entry, struct tine_outage_note *ret)
{
	ret->at_ns = atomic_load(&entry->at_ns);
	ret->next_ns = atomic_load(&entry->next_ns);
	ret->failures = atomic_load(&entry->failures);
	memcpy(ret->sqlstate, entry->sqlstate, sizeof(ret->sqlstate));
	copy_text(ret->text, sizeof(ret->text), entry->text);
}

bool tine_target_outage(const struct tine_board *board, int target, struct tine_outage_note *ret)
{
	const struct tine_board_target *entry = get(board, target);

	ret->status = 0;
	if (!entry)
		return false;
	for (int i = 0; i < READ_TRIES; i++) {
		uint32_t sequence = atomic_load(&entry->sequence);

		ret->status = atomic_load(&entry->status);
		if (!ret->status)
			return false;
		read_outage(entry, ret);
		atomic_thread_fence(memory_order_seq_cst);
		if (!(sequence & 1) && atomic_load(&entry->sequence) == sequence)
			break;
	}
	/* Whatever was read: it ends, and it is text. */
	for (int i = 0; i < 5; i++)
		if (ret->sqlstate[i] < '0' || ret->sqlstate[i] > 'Z')
			ret->sqlstate[i] = '\0';
	ret->sqlstate[5] = '\0';
	return true;
}

bool tine_target_probe(struct tine_board *board, int target, int64_t now_ns, int64_t until_ns)
{
	struct tine_board_target *entry = get(board, target);
	int64_t next_ns;

	if (!entry)
		return true;
	next_ns = atomic_load(&entry->next_ns);
	/* A time further ahead than anybody sets is not ours. */
	if (now_ns < next_ns && next_ns < now_ns + 10 * (int64_t)TINE_NS_PER_S)
		return false;
	return atomic_compare_exchange_strong(&entry->next_ns, &next_ns, until_ns);
}

/* ---- connects ------------------------------------------------------------------------------- */

int tine_token_take(struct tine_board *board)
{
	uint32_t most = atomic_load(&board->map->connect_parallel);

	if (board->place < 0)
		return -1;
	if (!most || most > TINE_BOARD_TOKENS)
		most = TINE_BOARD_TOKENS;
	for (uint32_t i = 0; i < most; i++) {
		uint64_t word = 0;

		if (atomic_compare_exchange_strong(&board->map->tokens[i].word, &word,
						   board->owner))
			return (int)i;
	}
	tine_board_reap(board, false);
	return -1;
}

void tine_token_give(struct tine_board *board, int token)
{
	uint64_t word = board->owner;

	if (token >= 0 && token < TINE_BOARD_TOKENS && board->place >= 0)
		atomic_compare_exchange_strong(&board->map->tokens[token].word, &word, 0);
}
