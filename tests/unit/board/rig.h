/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the board's tests share: a directory of boards that the program has for itself and removes
 * at its end, members in other processes, words that processes wait for, and programs to execute.
 *
 * Owns: the directory. Locks: none. Fork: children share the words and the directory.
 */
#ifndef TINE_TESTS_BOARD_RIG_H
#define TINE_TESTS_BOARD_RIG_H

#include <stdatomic.h>
#include <sys/types.h>

#include "board/board.h"
#include "board/layout.h"
#include "board/permit.h"
#include "board/process.h"
#include "board/segment.h"
#include "board/word.h"
#include "support/check.h"
#include "support/valgrind.h"

/* valgrind is the program then, and starts others in its own way. */
#define RIG_NEEDS_EXEC()                                                                           \
	do {                                                                                       \
		if (check_is_valgrind())                                                           \
			SKIP("valgrind is the program that is executed");                          \
	} while (0)

#define RIG_SECONDS 20
#define RIG_WORDS 64

/* Shared with all children; zero at the beginning of each test. */
extern _Atomic int *rig_word;

/** A board by that name, NULL: of this tree, made or found. Not enlisted. */
void rig_open(struct tine_board *ret, const char *name, int budget);

/** The same, enlisted, and one of those who use connections. */
void rig_join(struct tine_board *ret, const char *name, int budget);

/** Fork a child that leaves what the parent was, joins as above, and calls fn. It ends with status
 * 0, if nothing failed, without leaving the board. */
pid_t rig_member(struct tine_board *board, void (*fn)(struct tine_board *board));

/** Wait until the word is at least that. */
void rig_await(const _Atomic int *word, int least);

/** In a child: it ends when the test does, also when that fails. */
void rig_end_with_parent(void);

/** For who is to be killed. */
void rig_sleep_for_ever(void) __attribute__((noreturn));

void rig_kill(pid_t pid);

/** Execute this program, which then does nothing but call rig_act(act). */
void rig_execute(const char *act, const char *argument) __attribute__((noreturn));

/** For programs that call rig_execute(); the others need not have it. */
void rig_act(const char *act, const char *argument);

struct tine_permit_use rig_use(const struct tine_board *board);

/** Take so many permits, all of which have to be there. The last one's number. */
int rig_take(struct tine_board *board, int count);

/** Take a permit, trying until one comes back, which may take so long and no longer. */
void rig_take_soon(struct tine_board *board, int64_t longest_ns);

#endif
