/* SPDX-License-Identifier: PostgreSQL */
/* What is known of servers: deaths, outages told by one and read by all, one prober. */
#include <pthread.h>
#include <signal.h>

#include "base/clock.h"
#include "unit/board/rig.h"

#define MS ((int64_t)TINE_NS_PER_MS)

static struct tine_outage_note note_of(const char *text)
{
	struct tine_outage_note note = { .status = -10, .sqlstate = "57P03", .failures = 3 };

	note.at_ns = tine_clock_ns();
	note.next_ns = note.at_ns + 200 * MS;
	snprintf(note.text, sizeof(note.text), "%s", text);
	return note;
}

TEST(a_key_has_one_entry)
{
	struct tine_board one, two;

	rig_join(&one, "keys", 0);
	rig_join(&two, "keys", 0);
	for (int i = 0; i < TINE_BOARD_TARGETS; i++) {
		CHECK_INT(tine_server_find(&one, 1000 + (uint64_t)i), ==, i);
		CHECK_INT(tine_server_find(&two, 1000 + (uint64_t)i), ==, i);
	}
	CHECK_INT(tine_server_find(&two, 5), ==, -1);
	tine_board_close(&two);
	tine_board_close(&one);
}

TEST(without_an_entry_nothing_is_known)
{
	struct tine_outage_note note = note_of("down");
	struct tine_board board;
	uint32_t condemned;

	rig_join(&board, "none", 0);
	for (int target = -1; target <= TINE_BOARD_TARGETS; target += TINE_BOARD_TARGETS + 1) {
		tine_server_failed(&board, target, &note);
		tine_server_recovered(&board, target);
		tine_server_set_silence(&board, target, 5);
		CHECK_INT(tine_server_silence(&board, target), ==, 0);
		CHECK_INT(tine_server_died(&board, target, true), ==, 0);
		CHECK_INT(tine_server_epoch(&board, target, &condemned), ==, 0);
		CHECK_INT(condemned, ==, 0);
		CHECK_INT(atomic_load(tine_server_epoch_word(&board, target)), ==, 0);
		CHECK(!tine_server_outage(&board, target, &note));
		CHECK(tine_server_probe(&board, target, 1, 2));
	}
	tine_board_close(&board);
}

static void tell_of_a_death(struct tine_board *board)
{
	CHECK_INT(tine_server_died(board, 0, false), ==, 1);
	CHECK_INT(tine_server_died(board, 0, true), ==, 2);
	tine_server_set_silence(board, 0, 350 * (int64_t)TINE_NS_PER_S);
}

TEST(a_death_is_known_to_all)
{
	struct tine_board board;
	uint32_t condemned;

	rig_join(&board, "epoch", 0);
	CHECK_INT(tine_server_find(&board, 7), ==, 0);
	check_child(rig_member(&board, tell_of_a_death));
	CHECK_INT(tine_server_epoch(&board, 0, &condemned), ==, 2);
	CHECK_INT(condemned, ==, 1);
	CHECK_INT(atomic_load(tine_server_epoch_word(&board, 0)), ==, 2);
	CHECK_INT(tine_server_silence(&board, 0), ==, 350 * (int64_t)TINE_NS_PER_S);
	tine_board_close(&board);
}

static void tell_of_an_outage(struct tine_board *board)
{
	struct tine_outage_note note = note_of("the server\x1b[31m starts up");

	tine_server_failed(board, 0, &note);
}

TEST(an_outage_is_known_to_all_until_it_ends)
{
	struct tine_outage_note note;
	struct tine_board board;
	int waiter;

	rig_join(&board, "outage", 1);
	tine_server_find(&board, 7);
	CHECK(!tine_server_outage(&board, 0, &note));
	check_child(rig_member(&board, tell_of_an_outage));
	CHECK(tine_server_outage(&board, 0, &note));
	CHECK_INT(note.status, ==, -10);
	CHECK_STR(note.sqlstate, "57P03");
	CHECK_STR(note.text, "the server?[31m starts up");
	CHECK_INT(note.failures, ==, 3);
	CHECK_INT(note.next_ns - note.at_ns, ==, 200 * MS);
	waiter = tine_waiter_enter(&board);
	tine_server_recovered(&board, 0);
	CHECK(!tine_server_outage(&board, 0, &note));
	CHECK_INT(atomic_load(tine_waiter_news(&board, waiter)), ==, 1);
	tine_board_close(&board);
}

TEST(one_probes_at_a_time)
{
	struct tine_board board;
	int64_t now_ns = tine_clock_ns();

	rig_join(&board, "probe", 0);
	tine_server_find(&board, 7);
	CHECK(tine_server_probe(&board, 0, now_ns, now_ns + 100 * MS));
	CHECK(!tine_server_probe(&board, 0, now_ns + 99 * MS, now_ns + 500 * MS));
	CHECK(tine_server_probe(&board, 0, now_ns + 100 * MS, now_ns + 500 * MS));
	/* A time that nobody sets does not keep us from trying. */
	atomic_store(&board.map->targets[0].next_ns, INT64_MAX);
	CHECK(tine_server_probe(&board, 0, now_ns, now_ns + 100 * MS));
	tine_board_close(&board);
}

static void probe_once(struct tine_board *board)
{
	int64_t now_ns = atomic_load(&board->map->made_ns);

	atomic_fetch_add(&rig_word[0], 1);
	rig_await(&rig_word[0], 8);
	if (tine_server_probe(board, 0, now_ns, now_ns + 5000 * MS))
		atomic_fetch_add(&rig_word[1], 1);
}

TEST(of_many_processes_one_probes)
{
	struct tine_board board;
	pid_t pids[8];

	rig_join(&board, "probes", 0);
	tine_server_find(&board, 7);
	for (int i = 0; i < 8; i++)
		pids[i] = rig_member(&board, probe_once);
	for (int i = 0; i < 8; i++)
		check_child(pids[i]);
	CHECK_INT(atomic_load(&rig_word[1]), ==, 1);
	tine_board_close(&board);
}

/* What who was killed in the middle of tell_of_an_outage() leaves. */
static void leave_half_an_outage(struct tine_board *board, uint64_t owner, int64_t since_ns)
{
	struct tine_board_target *target = &board->map->targets[0];

	atomic_store(&target->writer, tine_stamped_word(owner, since_ns));
	atomic_store(&target->sequence, 7);
	atomic_store(&target->status, -11);
	memset(target->text, 'x', sizeof(target->text));
	memset(target->sqlstate, '\x1b', sizeof(target->sqlstate));
}

TEST(half_an_outage_is_text_and_is_told_anew)
{
	struct tine_board board;
	struct tine_outage_note note, next = note_of("whole");

	rig_join(&board, "half", 0);
	tine_server_find(&board, 7);
	leave_half_an_outage(&board, tine_owner_word(9, 9), tine_clock_ns());
	CHECK(tine_server_outage(&board, 0, &note));
	CHECK_INT(note.status, ==, -11);
	CHECK_STR(note.sqlstate, "");
	CHECK_INT(strlen(note.text), <, sizeof(note.text));
	tine_server_failed(&board, 0, &next);
	CHECK(tine_server_outage(&board, 0, &note));
	CHECK_STR(note.text, "whole");
	CHECK_INT(atomic_load(&board.map->targets[0].sequence) & 1, ==, 0);
	tine_board_close(&board);
}

static void wait_to_be_stopped(struct tine_board *board)
{
	leave_half_an_outage(board, board->owner, tine_clock_ns());
	atomic_store(&rig_word[0], 1);
	rig_sleep_for_ever();
}

TEST(who_stops_in_the_middle_silences_nobody)
{
	struct tine_outage_note note = { 0 }, next = note_of("whole");
	int64_t until_ns = tine_clock_ns() + 3 * (int64_t)TINE_NS_PER_S;
	struct tine_board board;
	pid_t pid;

	rig_join(&board, "silence", 0);
	tine_server_find(&board, 7);
	pid = rig_member(&board, wait_to_be_stopped);
	rig_await(&rig_word[0], 1);
	kill(pid, SIGSTOP);
	while (strcmp(note.text, "whole") != 0) {
		tine_server_failed(&board, 0, &next);
		CHECK(tine_server_outage(&board, 0, &note));
		CHECK_INT(tine_clock_ns(), <, until_ns);
		usleep(10000);
	}
	rig_kill(pid);
	tine_board_close(&board);
}

TEST(what_cannot_be_is_not_told)
{
	struct tine_board board;
	struct tine_outage_note note;
	struct tine_board_target *target;

	rig_join(&board, "tame", 0);
	tine_server_find(&board, 7);
	target = &board.map->targets[0];
	atomic_store(&target->status, 5);
	CHECK(!tine_server_outage(&board, 0, &note));
	CHECK_INT(note.status, ==, 0);
	atomic_store(&target->status, -10);
	atomic_store(&target->at_ns, INT64_MAX);
	atomic_store(&target->next_ns, INT64_MIN);
	CHECK(tine_server_outage(&board, 0, &note));
	CHECK_INT(note.at_ns, <=, tine_clock_ns());
	CHECK_INT(note.next_ns, >, 0);
	atomic_store(&target->silent_idle_ns, -5);
	CHECK_INT(tine_server_silence(&board, 0), ==, 0);
	tine_board_close(&board);
}

static struct tine_board shared_by_threads;

static void *tell_and_read(void *number)
{
	struct tine_outage_note note, own = note_of("");

	memset(own.text, *(const char *)number, 150);
	for (int i = 0; i < 2000; i++) {
		own.at_ns = tine_clock_ns();
		tine_server_failed(&shared_by_threads, 0, &own);
		if (!tine_server_outage(&shared_by_threads, 0, &note))
			continue;
		for (const char *at = note.text; *at; at++)
			CHECK_INT(*at, ==, *note.text);
		if (i % 100 == 0)
			tine_server_recovered(&shared_by_threads, 0);
	}
	return NULL;
}

TEST(readers_never_see_halves)
{
	static char names[] = "abcd";
	pthread_t threads[4];

	rig_join(&shared_by_threads, "halves", 0);
	tine_server_find(&shared_by_threads, 7);
	for (int i = 0; i < 4; i++)
		CHECK_INT(pthread_create(&threads[i], NULL, tell_and_read, &names[i]), ==, 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	tine_board_close(&shared_by_threads);
}

/* ---- connects ------------------------------------------------------------------------------- */

static void open_paced(struct tine_board *board, const char *name, int parallel)
{
	struct tine_board_spec spec = { .name = name, .connect_parallel = parallel };
	char error[300];

	CHECK_INT(tine_board_open(board, &spec, error, sizeof(error)), ==, 0);
	CHECK_INT(tine_board_enlist(board), ==, 0);
}

TEST(so_many_connect_at_one_time)
{
	struct tine_board one, two;
	int first;

	open_paced(&one, "pace", 2);
	rig_join(&two, "pace", 0);
	first = tine_token_take(&one);
	CHECK_INT(first, >=, 0);
	CHECK_INT(tine_token_take(&two), >=, 0);
	CHECK_INT(tine_token_take(&two), ==, -1);
	tine_token_give(&two, first); /* is not its own */
	CHECK_INT(tine_token_take(&two), ==, -1);
	tine_token_give(&one, first);
	tine_token_give(&one, -1);
	tine_token_give(&one, TINE_BOARD_TOKENS);
	CHECK_INT(tine_token_take(&two), ==, first);
	tine_board_close(&one);
	tine_board_close(&two);
}

static void hold_token(struct tine_board *board)
{
	CHECK_INT(tine_token_take(board), ==, 0);
	atomic_store(&rig_word[0], 1);
	rig_sleep_for_ever();
}

static void check_token_returns(const char *name, int sig, int64_t longest_ms)
{
	struct tine_board board;
	int64_t until_ns;
	pid_t pid;

	open_paced(&board, name, 1);
	pid = rig_member(&board, hold_token);
	rig_await(&rig_word[0], 1);
	CHECK_INT(tine_token_take(&board), ==, -1);
	kill(pid, sig);
	waitpid(pid, NULL, WUNTRACED);
	until_ns = tine_clock_ns() + longest_ms * MS;
	while (tine_token_take(&board) < 0) {
		CHECK_INT(tine_clock_ns(), <, until_ns);
		usleep(1000);
	}
	if (sig != SIGKILL)
		rig_kill(pid);
	tine_board_close(&board);
}

TEST(the_token_of_the_killed_returns)
{
	check_token_returns("token-killed", SIGKILL, 1000);
}

TEST(the_token_of_the_stopped_is_taken_over)
{
	check_token_returns("token-stopped", SIGSTOP, 3000);
}

CHECK_TABLE(T(a_key_has_one_entry), T(without_an_entry_nothing_is_known),
	    T(a_death_is_known_to_all), T(an_outage_is_known_to_all_until_it_ends),
	    T(one_probes_at_a_time), T(of_many_processes_one_probes),
	    T(half_an_outage_is_text_and_is_told_anew), T(who_stops_in_the_middle_silences_nobody),
	    T(what_cannot_be_is_not_told), T(readers_never_see_halves),
	    T(so_many_connect_at_one_time), T(the_token_of_the_killed_returns),
	    T(the_token_of_the_stopped_is_taken_over))
