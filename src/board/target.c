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
/* Telling of an outage takes microseconds, a connect milliseconds. Who needs longer is stopped, or
 * waits for a network that drops what it is sent; others do not wait for it. */
#define WRITE_LONGEST_MS 1000
#define TOKEN_LONGEST_MS 2000
/* No pause is longer; a time further ahead is not one of ours. */
#define PAUSE_LONGEST_NS (10 * (int64_t)TINE_NS_PER_S)

static struct tine_board_target *get(const struct tine_board *board, int target)
{
	return target >= 0 && target < TINE_BOARD_TARGETS ? &board->map->targets[target] : NULL;
}

int tine_server_find(struct tine_board *board, uint64_t key)
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

const _Atomic uint32_t *tine_server_epoch_word(const struct tine_board *board, int target)
{
	static const _Atomic uint32_t none;
	const struct tine_board_target *entry = get(board, target);

	return entry ? &entry->epoch : &none;
}

uint32_t tine_server_epoch(const struct tine_board *board, int target, uint32_t *ret_condemned)
{
	const struct tine_board_target *entry = get(board, target);

	*ret_condemned = entry ? atomic_load(&entry->condemned) : 0;
	return entry ? atomic_load(&entry->epoch) : 0;
}

uint32_t tine_server_died(struct tine_board *board, int target, bool condemned)
{
	struct tine_board_target *entry = get(board, target);

	if (!entry)
		return 0;
	if (condemned)
		atomic_fetch_add(&entry->condemned, 1);
	return atomic_fetch_add(&entry->epoch, 1) + 1;
}

void tine_server_set_silence(struct tine_board *board, int target, int64_t idle_ns)
{
	struct tine_board_target *entry = get(board, target);

	if (entry)
		atomic_store(&entry->silent_idle_ns, idle_ns);
}

int64_t tine_server_silence(const struct tine_board *board, int target)
{
	const struct tine_board_target *entry = get(board, target);
	int64_t idle_ns = entry ? atomic_load(&entry->silent_idle_ns) : 0;

	return idle_ns > 0 ? idle_ns : 0;
}

/* ---- outages -------------------------------------------------------------------------------- */

/* Other threads of this process write there as well, and who died in the middle of it may have left
 * anything. */
static void write_bytes(char *to, const char *from, size_t size)
{
	for (size_t i = 0; i < size; i++)
		__atomic_store_n(&to[i], from[i], __ATOMIC_RELAXED);
}

static void read_bytes(char *to, const char *from, size_t size)
{
	for (size_t i = 0; i < size; i++)
		to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

static void copy_text(char *to, size_t size, const char *from)
{
	struct tine_text text;

	tine_text_init(&text, to, size);
	tine_text_add_foreign(&text, from, strnlen(from, size - 1));
}

/* @return the word that claims it, 0 when somebody is telling the same at this moment */
static uint64_t claim(struct tine_board *board, struct tine_board_target *entry)
{
	int64_t now_ns = tine_clock_ns();
	uint64_t word = atomic_load(&entry->writer);
	uint64_t own = tine_stamped_word(board->owner, now_ns);

	if (tine_stamp_holds(board->map, word, now_ns, WRITE_LONGEST_MS))
		return 0;
	return atomic_compare_exchange_strong(&entry->writer, &word, own) ? own : 0;
}

void tine_server_failed(struct tine_board *board, int target, const struct tine_outage_note *note)
{
	struct tine_board_target *entry = get(board, target);
	char text[TINE_BOARD_TEXT_BYTES] = "";
	uint32_t odd;
	uint64_t word;

	if (!entry || board->place < 0)
		return;
	word = claim(board, entry);
	if (!word)
		return;
	copy_text(text, sizeof(text), note->text);
	/* Odd, and another odd number than that of who died or was stopped in here. */
	odd = (atomic_load(&entry->sequence) | 1) + 2;
	atomic_store(&entry->sequence, odd);
	atomic_thread_fence(memory_order_seq_cst);
	atomic_store(&entry->status, note->status);
	atomic_store(&entry->at_ns, note->at_ns);
	atomic_store(&entry->next_ns, note->next_ns);
	atomic_store(&entry->failures, note->failures);
	write_bytes(entry->sqlstate, note->sqlstate, sizeof(entry->sqlstate));
	write_bytes(entry->text, text, sizeof(entry->text));
	atomic_compare_exchange_strong(&entry->sequence, &odd, odd + 1);
	atomic_compare_exchange_strong(&entry->writer, &word, 0);
}

void tine_server_recovered(struct tine_board *board, int target)
{
	struct tine_board_target *entry = get(board, target);
	int32_t status;
	int places;

	if (!entry)
		return;
	status = atomic_load(&entry->status);
	if (!status || !atomic_compare_exchange_strong(&entry->status, &status, 0))
		return;
	atomic_store(&entry->failures, 0);
	atomic_fetch_add(&entry->recoveries, 1);
	tine_board_note(board, TINE_BOARD_RECOVERED, (uint32_t)target);
	/* Who waits, in whatever process, looks again. */
	places = tine_used(&board->map->waiters_used, TINE_BOARD_WAITERS);
	for (int i = 0; i < places; i++) {
		struct tine_board_waiter *waiter = &board->map->waiters[i];

		if (!atomic_load_explicit(&waiter->word, memory_order_relaxed))
			continue;
		atomic_store(&waiter->news, 1);
		syscall(SYS_futex, &waiter->news, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
	}
}

static void read_outage(const struct tine_board_target *entry, struct tine_outage_note *ret)
{
	char text[TINE_BOARD_TEXT_BYTES];

	ret->at_ns = atomic_load(&entry->at_ns);
	ret->next_ns = atomic_load(&entry->next_ns);
	ret->failures = atomic_load(&entry->failures);
	read_bytes(ret->sqlstate, entry->sqlstate, sizeof(ret->sqlstate));
	read_bytes(text, entry->text, sizeof(text));
	copy_text(ret->text, sizeof(ret->text), text);
}

/* Whatever was read: it ends, it is text, and its times are possible ones. */
static void tame(struct tine_outage_note *note)
{
	int64_t now_ns = tine_clock_ns();

	for (int i = 0; i < 5; i++)
		if (note->sqlstate[i] < '0' || note->sqlstate[i] > 'Z')
			note->sqlstate[i] = '\0';
	note->sqlstate[5] = '\0';
	if (note->at_ns < 0 || note->at_ns > now_ns)
		note->at_ns = now_ns;
	if (note->next_ns < 0 || note->next_ns > now_ns + PAUSE_LONGEST_NS)
		note->next_ns = now_ns;
}

bool tine_server_outage(const struct tine_board *board, int target, struct tine_outage_note *ret)
{
	const struct tine_board_target *entry = get(board, target);

	ret->status = 0;
	if (!entry)
		return false;
	for (int i = 0; i < READ_TRIES; i++) {
		uint32_t sequence = atomic_load(&entry->sequence);

		ret->status = atomic_load(&entry->status);
		if (ret->status >= 0) {
			ret->status = 0;
			return false;
		}
		read_outage(entry, ret);
		atomic_thread_fence(memory_order_seq_cst);
		/* Odd for long only when somebody died in the middle: what there is will do. */
		if (!(sequence & 1) && atomic_load(&entry->sequence) == sequence)
			break;
	}
	tame(ret);
	return true;
}

bool tine_server_probe(struct tine_board *board, int target, int64_t now_ns, int64_t until_ns)
{
	struct tine_board_target *entry = get(board, target);
	int64_t next_ns;

	if (!entry)
		return true;
	next_ns = atomic_load(&entry->next_ns);
	if (now_ns < next_ns && next_ns <= now_ns + PAUSE_LONGEST_NS)
		return false;
	return atomic_compare_exchange_strong(&entry->next_ns, &next_ns, until_ns);
}

/* ---- connects ------------------------------------------------------------------------------- */

int tine_token_take(struct tine_board *board)
{
	struct tine_board_layout *map = board->map;
	uint32_t most = atomic_load(&map->connect_parallel);
	int64_t now_ns = tine_clock_ns();

	if (board->place < 0)
		return -1;
	if (!most || most > TINE_BOARD_TOKENS)
		most = TINE_BOARD_TOKENS;
	for (uint32_t i = 0; i < most; i++) {
		uint64_t word = atomic_load(&map->tokens[i].word);

		if (!tine_stamp_holds(map, word, now_ns, TOKEN_LONGEST_MS) &&
		    atomic_compare_exchange_strong(&map->tokens[i].word, &word,
						   tine_stamped_word(board->owner, now_ns)))
			return (int)i;
	}
	tine_board_reap(board, false);
	return -1;
}

void tine_token_give(struct tine_board *board, int token)
{
	uint64_t word;

	if (token < 0 || token >= TINE_BOARD_TOKENS || board->place < 0)
		return;
	word = atomic_load(&board->map->tokens[token].word);
	if ((word & TINE_OWNER_MASK) == board->owner)
		atomic_compare_exchange_strong(&board->map->tokens[token].word, &word, 0);
}
