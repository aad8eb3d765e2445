/* SPDX-License-Identifier: PostgreSQL */
/* Finding a board or making it, leaving it, and its recent events. */
#include "board/board.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/histogram.h"
#include "board/permit.h"
#include "board/process.h"
#include "board/segment.h"
#include "board/word.h"

/* More than that from a process to the first ones is no tree. */
#define MOST_ANCESTORS 64
/* Removing a board takes microseconds. */
#define JOIN_NS ((int64_t)TINE_NS_PER_S)
#define JOIN_PAUSE_US 500

bool tine_board_name_is_good(const char *name)
{
	size_t length = strlen(name);

	if (length == 0 || length >= TINE_BOARD_NAME_BYTES || *name == '.')
		return false;
	for (const char *at = name; *at; at++)
		if (!isalnum((unsigned char)*at) && !strchr("._-", *at))
			return false;
	return true;
}

/* ---- the board of this tree ----------------------------------------------------------------- */

struct search {
	struct tine_process line[MOST_ANCESTORS]; /* this process and its ancestors */
	int count;
	int nearest; /* of the line, that is a member of the board in path */
	char *path;
};

static void read_ancestors(struct search *search)
{
	pid_t pid = getpid();

	while (pid > 0 && search->count < MOST_ANCESTORS &&
	       tine_process_read(pid, &search->line[search->count]) == 0)
		pid = search->line[search->count++].parent;
}

static int nearest_member(const struct search *search, const struct tine_board_layout *map)
{
	uint64_t own_namespace = tine_process_namespace();

	for (int place = 0; place < TINE_BOARD_MEMBERS; place++) {
		uint64_t word = atomic_load(&map->members[place].word);

		if (tine_place_state(word) < TINE_PLACE_LIVE ||
		    atomic_load(&map->members[place].pid_namespace) != own_namespace)
			continue;
		for (int i = 0; i < search->count; i++)
			if (search->line[i].pid == tine_place_pid(word) &&
			    (search->line[i].start & TINE_START_MASK) == tine_place_start(word))
				return i;
	}
	return INT_MAX;
}

static bool look_at(const char *path, void *arg)
{
	struct search *search = arg;
	struct tine_board_layout *map;
	int nearest;

	if (tine_segment_map(path, &map) < 0)
		return true;
	nearest = *map->name ? INT_MAX : nearest_member(search, map);
	tine_segment_unmap(map);
	if (nearest < search->nearest) {
		search->nearest = nearest;
		strcpy(search->path, path);
	}
	return true;
}

/* A program that was executed keeps its pid, and what it was forked from is a member: so the board
 * is found without a descriptor or a variable that would have had to come along. */
static bool find_by_ancestors(const char *directory, char ret_path[PATH_MAX])
{
	struct search search = { .nearest = INT_MAX, .path = ret_path };

	read_ancestors(&search);
	tine_segment_each(directory, look_at, &search);
	return search.nearest != INT_MAX;
}

static void new_path(const char *directory, char ret_path[PATH_MAX])
{
	snprintf(ret_path, PATH_MAX, "%.4000s/tree-%d-%016llx.board", directory, (int)getpid(),
		 (unsigned long long)tine_segment_name());
}

/* ---- open ----------------------------------------------------------------------------------- */

static int explain(int rc, const char *path, char *ret_error, size_t size)
{
	const char *why = strerror(-rc);

	if (rc == -EPERM)
		why = "it is not this user's own, with access for nobody else";
	else if (rc == -EPROTO)
		why = "it was made by another version of tine; end its programs first, or choose "
		      "another name";
	else if (rc == -ENOSPC)
		why = "no room in shared memory (df /dev/shm)";
	snprintf(ret_error, size, "the board %s cannot be used: %s", path, why);
	return rc;
}

static bool is_useless(struct tine_board_layout *map)
{
	return atomic_load(&map->dead) || tine_segment_is_of_other_boot(map);
}

/* -EAGAIN: not now. */
static int try_to_join(struct tine_board *board, const char *name)
{
	int rc = tine_segment_map(board->path, &board->map);

	if (rc == -ENOENT) {
		rc = tine_segment_make(board->path, name, &board->map);
		board->made_here = rc == 0;
		return rc == -EEXIST || rc == -ENOENT ? -EAGAIN : rc;
	}
	if (rc == 0 && is_useless(board->map)) {
		/* Somebody is about to remove it, or died when he was. */
		tine_segment_remove_if_dead(board->path, board->map);
		tine_segment_unmap(board->map);
		board->map = NULL;
		return -EAGAIN;
	}
	return rc;
}

static int find_or_make(struct tine_board *board, const char *name)
{
	int64_t until_ns = tine_clock_ns() + JOIN_NS;
	int rc = try_to_join(board, name);

	while (rc == -EAGAIN && tine_clock_ns() < until_ns) {
		usleep(JOIN_PAUSE_US);
		rc = try_to_join(board, name);
	}
	return rc;
}

static void set(struct tine_board *board, const struct tine_board_spec *spec, bool found_by_tree)
{
	struct tine_board_layout *map = board->map;

	board->floor = spec->floor;
	board->ceiling = spec->ceiling;
	snprintf(board->application, sizeof(board->application), "%s",
		 spec->application ? spec->application : "");
	/* A program further down the tree is within what the tree was given. */
	if (found_by_tree)
		return;
	if (spec->budget)
		atomic_store(&map->budget, (uint32_t)spec->budget);
	tine_permit_divide(map);
	if (spec->connect_parallel)
		atomic_store(&map->connect_parallel, (uint32_t)spec->connect_parallel);
}

static bool choose_path(struct tine_board *board, const struct tine_board_spec *spec,
			const char *directory)
{
	if (spec->name) {
		snprintf(board->path, sizeof(board->path), "%.4000s/%s.board", directory,
			 spec->name);
		return false;
	}
	if (find_by_ancestors(directory, board->path))
		return true;
	new_path(directory, board->path);
	return false;
}

int tine_board_open(struct tine_board *ret, const struct tine_board_spec *spec, char *ret_error,
		    size_t error_size)
{
	char directory[PATH_MAX];
	bool found_by_tree = true;
	int rc;

	*ret = (struct tine_board){ .place = -1 };
	if (spec->name && !tine_board_name_is_good(spec->name)) {
		snprintf(ret_error, error_size,
			 "name '%.80s': up to 63 letters, digits, '.', '_' and '-' make a name, "
			 "with no dot first",
			 spec->name);
		return -EINVAL;
	}
	if (spec->path) {
		snprintf(ret->path, sizeof(ret->path), "%s", spec->path);
		rc = tine_segment_map(ret->path, &ret->map);
	} else {
		rc = tine_segment_make_directory(directory);
		if (rc < 0)
			return explain(rc, directory, ret_error, error_size);
		tine_segment_collect(directory);
		found_by_tree = choose_path(ret, spec, directory);
		rc = find_or_make(ret, spec->name);
	}
	if (rc < 0)
		return explain(rc, ret->path, ret_error, error_size);
	set(ret, spec, found_by_tree);
	return 0;
}

void tine_board_leave(struct tine_board *board)
{
	if (board->place < 0 && !board->made_here)
		return;
	tine_board_unlist(board);
	tine_segment_remove_if_dead(board->path, board->map);
}

void tine_board_close(struct tine_board *board)
{
	if (!board->map)
		return;
	tine_board_leave(board);
	tine_segment_unmap(board->map);
	board->map = NULL;
}

/* ---- events --------------------------------------------------------------------------------- */

void tine_board_note_of(struct tine_board *board, enum tine_board_event_kind kind, uint32_t detail,
			int pid, uint32_t worker)
{
	uint64_t number = atomic_fetch_add(&board->map->events_written, 1);
	struct tine_board_event *event = &board->map->events[number % TINE_BOARD_EVENTS];

	atomic_store(&event->sequence, 0);
	atomic_store(&event->at_ns, tine_clock_ns());
	atomic_store(&event->kind, kind);
	atomic_store(&event->detail, detail);
	atomic_store(&event->pid, (uint32_t)pid);
	atomic_store(&event->worker, worker);
	atomic_store(&event->sequence, number + 1);
}

void tine_board_note(struct tine_board *board, enum tine_board_event_kind kind, uint32_t detail)
{
	struct tine_board_member *member;

	if (board->place < 0)
		return;
	member = &board->map->members[board->place];
	tine_board_note_of(board, kind, detail, tine_place_pid(atomic_load(&member->word)),
			   atomic_load(&member->worker));
	if (kind == TINE_BOARD_OPENED)
		atomic_fetch_add(&member->opened, 1);
	else if (kind == TINE_BOARD_FAILED)
		atomic_fetch_add(&member->failed, 1);
	else if (kind == TINE_BOARD_TIMEOUT)
		atomic_fetch_add(&member->timeouts, 1);
	else if (kind == TINE_BOARD_CLOSED && detail < TINE_BOARD_CAUSES)
		atomic_fetch_add(&member->closed[detail], 1);
}

void tine_board_count_wait(struct tine_board *board, uint64_t wait_us)
{
	struct tine_board_member *member;

	if (board->place < 0)
		return;
	member = &board->map->members[board->place];
	atomic_fetch_add(&member->wait[tine_bucket(wait_us, TINE_BOARD_BUCKETS)], 1);
	atomic_fetch_add(&member->slow_checkouts, 1);
}
