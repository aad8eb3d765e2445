/* SPDX-License-Identifier: PostgreSQL */
/* Places of members: taken, left, and given back for the dead. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "board/board.h"
#include "board/permit.h"
#include "board/process.h"
#include "board/word.h"

/* The dead are looked for as often as this while somebody needs what they had. */
#define REAP_EVERY_NS (200 * (int64_t)TINE_NS_PER_MS)

/* How long the server may take to notice that the client is dead. What it is in the middle of
 * computing it finishes first. */
#define DEAD_OPEN_MS 300

/* ---- giving back ---------------------------------------------------------------------------- */

/* Everything that a word owns; the place itself comes last, so that who dies in the middle of this
 * leaves the rest to the next. @return permits */
static int give_back_all(struct tine_board *board, uint64_t owner, int open_ms)
{
	struct tine_board_layout *map = board->map;
	int permits = 0;

	for (int i = 0; i < TINE_BOARD_PERMITS; i++) {
		uint64_t word = atomic_load_explicit(&map->permits[i], memory_order_relaxed);

		if (tine_permit_owner(word) == owner && tine_permit_free(map, i, word, open_ms))
			permits++;
	}
	for (int i = 0; i < TINE_BOARD_WAITERS; i++)
		if (atomic_load_explicit(&map->waiters[i].word, memory_order_relaxed) == owner)
			tine_waiter_free(map, i, owner);
	for (int i = 0; i < TINE_BOARD_TOKENS; i++) {
		uint64_t word = atomic_load_explicit(&map->tokens[i].word, memory_order_relaxed);

		if ((word & TINE_OWNER_MASK) == owner)
			atomic_compare_exchange_strong(&map->tokens[i].word, &word, 0);
	}
	return permits;
}

static bool free_place(struct tine_board_layout *map, int place, uint64_t word)
{
	uint64_t empty = tine_place_word(TINE_PLACE_FREE, tine_place_generation(word), 0, 0);

	return atomic_compare_exchange_strong(&map->members[place].word, &word, empty);
}

/* ---- enlisting ------------------------------------------------------------------------------ */

static int claim(struct tine_board_layout *map, uint64_t start, uint64_t *ret_word)
{
	for (int place = 0; place < TINE_BOARD_MEMBERS; place++) {
		uint64_t free_word = atomic_load(&map->members[place].word);
		uint64_t generation = tine_place_generation(free_word) + 1;

		if (tine_place_state(free_word) != TINE_PLACE_FREE)
			continue;
		*ret_word = tine_place_word(TINE_PLACE_CLAIMED, generation, getpid(), start);
		tine_use(&map->members_used, place);
		if (atomic_compare_exchange_strong(&map->members[place].word, &free_word,
						   *ret_word))
			return place;
	}
	return -1;
}

static void describe(struct tine_board *board, struct tine_board_member *member,
		     const struct tine_process *self)
{
	size_t bytes = sizeof(*member) - offsetof(struct tine_board_member, pid_namespace);

	memset((char *)member + offsetof(struct tine_board_member, pid_namespace), 0, bytes);
	atomic_store(&member->pid_namespace, tine_process_namespace());
	atomic_store(&member->image, self->image);
	atomic_store(&member->joined_ns, tine_clock_ns());
	atomic_store(&member->floor, (uint32_t)board->floor);
	atomic_store(&member->ceiling, (uint32_t)board->ceiling);
	prctl(PR_GET_NAME, member->command, 0, 0, 0);
	snprintf(member->application, sizeof(member->application), "%s", board->application);
}

/* Places of programs that this process was before it executed this one. */
static void leave_past(struct tine_board *board, const struct tine_process *self)
{
	struct tine_board_layout *map = board->map;
	int members = tine_used(&map->members_used, TINE_BOARD_MEMBERS);

	for (int i = 0; i < members; i++) {
		struct tine_board_member *member = &map->members[i];
		uint64_t word = atomic_load(&member->word);
		enum tine_place_state state = tine_place_state(word);

		if (tine_place_pid(word) != self->pid || i == board->place ||
		    tine_place_start(word) != (self->start & TINE_START_MASK) ||
		    atomic_load(&member->image) == self->image ||
		    atomic_load(&member->pid_namespace) != tine_process_namespace())
			continue;
		if (state == TINE_PLACE_LIVE)
			give_back_all(board, tine_owner_word(i, tine_place_generation(word)),
				      DEAD_OPEN_MS);
		if (state == TINE_PLACE_LIVE || state == TINE_PLACE_PAST)
			free_place(map, i, word);
	}
}

int tine_board_enlist(struct tine_board *board)
{
	struct tine_board_layout *map = board->map;
	struct tine_process self;
	uint64_t word, live;
	int place, rc;

	if (board->place >= 0)
		return 0;
	rc = tine_process_read(getpid(), &self);
	if (rc < 0)
		return rc;
	/* Before the claim, which says nothing of our namespace: who sees that leaves it alone. */
	if (tine_process_namespace() != atomic_load(&map->pid_namespace))
		atomic_store(&map->mixed, 1);
	place = claim(map, self.start, &word);
	if (place < 0)
		return -EAGAIN;
	describe(board, &map->members[place], &self);
	live = tine_place_word(TINE_PLACE_LIVE, tine_place_generation(word), getpid(), self.start);
	if (!atomic_compare_exchange_strong(&map->members[place].word, &word, live))
		return -EAGAIN;
	board->place = place;
	board->owner = tine_owner_word(place, tine_place_generation(live));
	if (atomic_load(&map->dead) && !board->inherited) {
		tine_board_unlist(board);
		return -ESTALE;
	}
	leave_past(board, &self);
	tine_board_note(board, TINE_BOARD_JOINED, 0);
	return 0;
}

void tine_board_left(struct tine_board *board)
{
	board->place = -1;
	board->owner = 0;
	for (int i = 0; i < TINE_BOARD_HELD_WORDS; i++)
		atomic_store_explicit(&board->held[i], 0, memory_order_relaxed);
	board->made_here = false;
	board->inherited = true;
}

int tine_board_worker(const struct tine_board *board)
{
	uint32_t worker;

	if (board->place < 0)
		return 0;
	worker = atomic_load(&board->map->members[board->place].worker);
	return worker <= TINE_BOARD_MEMBERS ? (int)worker : 0;
}

/* ---- leaving -------------------------------------------------------------------------------- */

void tine_board_unlist(struct tine_board *board)
{
	int place = board->place;
	uint64_t word;

	if (place < 0)
		return;
	tine_board_note(board, TINE_BOARD_ENDED, 0);
	give_back_all(board, board->owner, TINE_PERMIT_CLOSED_MS);
	word = atomic_load(&board->map->members[place].word);
	if (tine_owner_word(place, tine_place_generation(word)) == board->owner)
		free_place(board->map, place, word);
	tine_board_left(board);
	board->inherited = false;
	tine_permit_divide(board->map);
	tine_waiter_call(board);
}

/* Its connections were closed when it executed another program. @return the word that is there now
 */
static uint64_t put_past(struct tine_board_layout *map, int place, uint64_t word)
{
	uint64_t past = tine_place_word(TINE_PLACE_PAST, tine_place_generation(word),
					tine_place_pid(word), tine_place_start(word));

	return atomic_compare_exchange_strong(&map->members[place].word, &word, past) ? past : word;
}

static bool is_ours_to_tell(const struct tine_board_layout *map, int place, uint64_t word,
			    uint64_t own_namespace)
{
	/* Who claims a place has not said yet where it lives. */
	if (tine_place_state(word) == TINE_PLACE_CLAIMED)
		return !atomic_load(&map->mixed) &&
		       atomic_load(&map->pid_namespace) == own_namespace;
	/* The dead of other namespaces are for their own to find. */
	return atomic_load(&map->members[place].pid_namespace) == own_namespace;
}

static void reap_member(struct tine_board *board, int place, uint64_t own_namespace)
{
	struct tine_board_layout *map = board->map;
	uint64_t word = atomic_load(&map->members[place].word), owner;
	uint32_t worker = atomic_load(&map->members[place].worker);
	enum tine_process_fate fate;
	int permits;

	if (tine_place_state(word) == TINE_PLACE_FREE || place == board->place ||
	    !is_ours_to_tell(map, place, word, own_namespace))
		return;
	fate = tine_process_fate(tine_place_pid(word), tine_place_start(word),
				 tine_place_state(word) == TINE_PLACE_LIVE
					 ? atomic_load(&map->members[place].image)
					 : 0);
	if (fate == TINE_PROCESS_LIVES)
		return;
	owner = tine_owner_word(place, tine_place_generation(word));
	if (fate == TINE_PROCESS_EXECUTED && put_past(map, place, word) == word)
		return;
	permits = give_back_all(board, owner, DEAD_OPEN_MS);
	if (fate == TINE_PROCESS_DEAD && free_place(map, place, word))
		tine_board_note_of(board, TINE_BOARD_REAPED, (uint32_t)permits,
				   tine_place_pid(word), worker);
}

/* What is owned by members that have lost their place: who reaped them died in the middle. */
static void free_strays(struct tine_board *board)
{
	struct tine_board_layout *map = board->map;

	for (int i = 0; i < TINE_BOARD_PERMITS; i++) {
		uint64_t word = atomic_load_explicit(&map->permits[i], memory_order_relaxed);

		if (word && !(word & TINE_PERMIT_LIMBO) &&
		    !tine_owner_is_there(map, tine_permit_owner(word)))
			tine_permit_free(map, i, word, DEAD_OPEN_MS);
	}
	for (int i = 0; i < TINE_BOARD_WAITERS; i++) {
		uint64_t word = atomic_load_explicit(&map->waiters[i].word, memory_order_relaxed);

		if (word && !tine_owner_is_there(map, word))
			tine_waiter_free(map, i, word);
	}
	for (int i = 0; i < TINE_BOARD_TOKENS; i++) {
		uint64_t word = atomic_load_explicit(&map->tokens[i].word, memory_order_relaxed);

		if (word && !tine_owner_is_there(map, word & TINE_OWNER_MASK))
			atomic_compare_exchange_strong(&map->tokens[i].word, &word, 0);
	}
	tine_waiter_recount(map);
}

void tine_board_reap(struct tine_board *board, bool now)
{
	struct tine_board_layout *map = board->map;
	int64_t now_ns = tine_clock_ns(), due_ns = atomic_load(&map->reap_ns);
	uint64_t own_namespace;
	int members;

	/* A time far ahead is not one of ours. */
	if (!now && now_ns < due_ns && due_ns <= now_ns + REAP_EVERY_NS)
		return;
	if (!atomic_compare_exchange_strong(&map->reap_ns, &due_ns, now_ns + REAP_EVERY_NS) && !now)
		return;
	own_namespace = tine_process_namespace();
	members = tine_used(&map->members_used, TINE_BOARD_MEMBERS);
	for (int i = 0; own_namespace && i < members; i++)
		reap_member(board, i, own_namespace);
	free_strays(board);
	tine_permit_free_ended(board);
	tine_permit_divide(map);
	tine_waiter_call(board);
}
