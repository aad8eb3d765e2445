/* SPDX-License-Identifier: PostgreSQL */
/* The words of the segment, see layout.h. Inline, no state. */
#ifndef TINE_BOARD_WORD_H
#define TINE_BOARD_WORD_H

#include <stdbool.h>
#include <sys/types.h>

#include "board/layout.h"

#define TINE_START_MASK ((UINT64_C(1) << 28) - 1)
#define TINE_PID_MASK ((UINT64_C(1) << 22) - 1) /* the kernel's own limit of pids */
#define TINE_GENERATION_MASK UINT64_C(0xfff)

static inline uint64_t tine_place_word(enum tine_place_state state, uint64_t generation, pid_t pid,
				       uint64_t start)
{
	return (uint64_t)state << 62 | (generation & TINE_GENERATION_MASK) << 50 |
	       ((uint64_t)pid & TINE_PID_MASK) << 28 | (start & TINE_START_MASK);
}

static inline enum tine_place_state tine_place_state(uint64_t word)
{
	return (enum tine_place_state)(word >> 62);
}

static inline uint64_t tine_place_generation(uint64_t word)
{
	return word >> 50 & TINE_GENERATION_MASK;
}

static inline pid_t tine_place_pid(uint64_t word)
{
	return (pid_t)(word >> 28 & TINE_PID_MASK);
}

static inline uint64_t tine_place_start(uint64_t word)
{
	return word & TINE_START_MASK;
}

#define TINE_OWNER_BITS 28
#define TINE_OWNER_MASK ((UINT64_C(1) << TINE_OWNER_BITS) - 1)

/** The word by which a member owns things. */
static inline uint64_t tine_owner_word(int place, uint64_t generation)
{
	return (generation & TINE_GENERATION_MASK) << TINE_OWNER_PLACE_BITS | (uint64_t)(place + 1);
}

/** @return the member's place, or -1 for a word that names none */
static inline int tine_owner_place(uint64_t word)
{
	uint64_t number = word & ((1 << TINE_OWNER_PLACE_BITS) - 1);

	return (word & TINE_PERMIT_LIMBO) || number == 0 || number > TINE_BOARD_MEMBERS
		       ? -1
		       : (int)number - 1;
}

/** Does the member that the word names still have that place? */
static inline bool tine_owner_is_there(const struct tine_board_layout *map, uint64_t word)
{
	int place = tine_owner_place(word);
	uint64_t member;

	if (place < 0)
		return false;
	member = atomic_load(&map->members[place].word);
	return tine_place_state(member) == TINE_PLACE_LIVE &&
	       tine_owner_word(place, tine_place_generation(member)) == word;
}

/* A permit's word has a number above the owner, which that owner never uses again: each connection
 * of a permit has a word of its own. So who has looked at one for a while, and swaps the word then,
 * does not hit the next one. */
static inline uint64_t tine_permit_word(uint64_t owner, uint64_t number)
{
	return (owner & TINE_OWNER_MASK) |
	       (number << TINE_OWNER_BITS & ~(TINE_PERMIT_LIMBO | TINE_OWNER_MASK));
}

/** @return the word of the member that has it; 0: nobody */
static inline uint64_t tine_permit_owner(uint64_t word)
{
	return word & TINE_PERMIT_LIMBO ? 0 : word & TINE_OWNER_MASK;
}

/* A word for what is held for a short time only: the owner in the lower bits, above them when it
 * was taken, in milliseconds that wrap around. Who holds it too long is stopped; others take it
 * over. */
static inline uint64_t tine_stamped_word(uint64_t owner, int64_t now_ns)
{
	return owner | (uint64_t)(uint32_t)(now_ns / 1000000) << TINE_OWNER_BITS;
}

static inline uint32_t tine_stamp_age_ms(uint64_t word, int64_t now_ns)
{
	return (uint32_t)(now_ns / 1000000) - (uint32_t)(word >> TINE_OWNER_BITS);
}

/** Is what the word stamps somebody's who is there and has not had it for too long? */
static inline bool tine_stamp_holds(const struct tine_board_layout *map, uint64_t word,
				    int64_t now_ns, uint32_t longest_ms)
{
	return word && tine_owner_is_there(map, word & TINE_OWNER_MASK) &&
	       tine_stamp_age_ms(word, now_ns) <= longest_ms;
}

/* ---- places that were ever used ------------------------------------------------------------- */

static inline int tine_used(const _Atomic uint32_t *used, int all)
{
	uint32_t count = atomic_load(used);

	return count < (uint32_t)all ? (int)count : all;
}

static inline void tine_use(_Atomic uint32_t *used, int place)
{
	uint32_t count = atomic_load_explicit(used, memory_order_relaxed);

	while (count <= (uint32_t)place &&
	       !atomic_compare_exchange_weak(used, &count, (uint32_t)place + 1))
		continue;
}

/** Permits that there are at all. */
static inline int tine_board_limit(const struct tine_board_layout *map)
{
	uint32_t budget = atomic_load_explicit(&map->budget, memory_order_relaxed);

	return budget && budget < TINE_BOARD_PERMITS ? (int)budget : TINE_BOARD_PERMITS;
}

/* Nobody keeps a permit in limbo for longer; a time further ahead is not one of ours. */
#define TINE_LIMBO_LONGEST_MS 60000

/** May it be taken: nobody has it, nor has the server still its connection. */
static inline bool tine_permit_is_free(uint64_t word, int64_t now_ns)
{
	int64_t left_ms = (int64_t)(word & ~TINE_PERMIT_LIMBO) - now_ns / 1000000;

	return word == 0 ||
	       ((word & TINE_PERMIT_LIMBO) && (left_ms <= 0 || left_ms > TINE_LIMBO_LONGEST_MS));
}

#endif
