/* SPDX-License-Identifier: PostgreSQL */
/* The two tables, cell by cell by what must hold of each. */
#include "prefork/table.h"

#include "support/check.h"

#define LIVING_FROM TINE_WORKER_STARTING

static int next_of(int state, int event)
{
	return tine_worker_step(state, event).next;
}

static int act_of(int state, int event)
{
	return tine_worker_step(state, event).act;
}

TEST(every_cell_leads_somewhere)
{
	for (int state = 0; state < TINE_WORKER_STATES; state++)
		for (int event = 0; event < TINE_WORKER_EVENTS; event++) {
			CHECK_INT(next_of(state, event), <, TINE_WORKER_STATES);
			CHECK_INT(act_of(state, event), <, TINE_ACTS);
		}
	for (int state = 0; state < TINE_MASTER_STATES; state++)
		for (int event = 0; event < TINE_MASTER_EVENTS; event++) {
			CHECK_INT(tine_master_step(state, event).next, <, TINE_MASTER_STATES);
			CHECK_INT(tine_master_step(state, event).act, <, TINE_MASTER_ACTS);
		}
}

TEST(a_place_is_empty_exactly_when_its_process_was_reaped)
{
	for (int state = 0; state < TINE_WORKER_STATES; state++)
		for (int event = 0; event < TINE_WORKER_EVENTS; event++) {
			bool reaped = event == TINE_SEEN_REAPED && state >= LIVING_FROM;

			CHECK_INT(act_of(state, event) == TINE_ACT_BURY, ==, reaped);
			if (state >= LIVING_FROM)
				CHECK_INT(next_of(state, event) == TINE_WORKER_NONE, ==, reaped);
		}
}

TEST(nothing_happens_to_an_empty_place_but_a_fork)
{
	for (int event = 0; event < TINE_WORKER_EVENTS; event++) {
		if (event == TINE_SEEN_FORK)
			continue;
		CHECK_INT(next_of(TINE_WORKER_NONE, event), ==, TINE_WORKER_NONE);
		CHECK_INT(act_of(TINE_WORKER_NONE, event), ==, TINE_ACT_NOTHING);
	}
	CHECK_INT(next_of(TINE_WORKER_NONE, TINE_SEEN_FORK), ==, TINE_WORKER_STARTING);
	CHECK_INT(act_of(TINE_WORKER_NONE, TINE_SEEN_FORK), ==, TINE_ACT_WATCH_START);
}

/* A process that hangs in any state but READY is killed in the end, by time alone. */
TEST(time_alone_leads_to_kill)
{
	for (int first = LIVING_FROM; first < TINE_WORKER_STATES; first++) {
		int state = first, act = TINE_ACT_NOTHING;

		if (state == TINE_WORKER_READY)
			continue;
		for (int i = 0; i < 3; i++) {
			act = act_of(state, TINE_SEEN_EXPIRED);
			CHECK_INT(act, !=, TINE_ACT_NOTHING);
			state = next_of(state, TINE_SEEN_EXPIRED);
		}
		CHECK_INT(state, ==, TINE_WORKER_KILLED);
		CHECK_INT(act, ==, TINE_ACT_KILL);
	}
	CHECK_INT(act_of(TINE_WORKER_READY, TINE_SEEN_EXPIRED), ==, TINE_ACT_SETTLE);
	CHECK_INT(next_of(TINE_WORKER_READY, TINE_SEEN_EXPIRED), ==, TINE_WORKER_READY);
}

TEST(abort_comes_before_kill_and_a_warning_before_abort)
{
	CHECK_INT(act_of(TINE_WORKER_READY, TINE_SEEN_LATE), ==, TINE_ACT_WARN);
	CHECK_INT(next_of(TINE_WORKER_READY, TINE_SEEN_LATE), ==, TINE_WORKER_LATE);
	CHECK_INT(act_of(TINE_WORKER_LATE, TINE_SEEN_EXPIRED), ==, TINE_ACT_ABORT);
	CHECK_INT(act_of(TINE_WORKER_STARTING, TINE_SEEN_EXPIRED), ==, TINE_ACT_ABORT);
	CHECK_INT(act_of(TINE_WORKER_ABORTED, TINE_SEEN_EXPIRED), ==, TINE_ACT_KILL);
	CHECK_INT(next_of(TINE_WORKER_LATE, TINE_SEEN_RECOVERED), ==, TINE_WORKER_READY);
	CHECK_INT(act_of(TINE_WORKER_LATE, TINE_SEEN_LATE), ==, TINE_ACT_TELL);
	for (int state = 0; state < TINE_WORKER_STATES; state++)
		for (int event = 0; event < TINE_WORKER_EVENTS; event++)
			if (act_of(state, event) == TINE_ACT_KILL ||
			    act_of(state, event) == TINE_ACT_ABORT)
				CHECK_INT(event, ==, TINE_SEEN_EXPIRED);
}

/* What is on its way out stays so, whatever is seen of it. */
TEST(nobody_comes_back_from_the_way_out)
{
	static const int rank[TINE_WORKER_STATES] = {
		[TINE_WORKER_STOPPING] = 1,
		[TINE_WORKER_QUITTING] = 2,
		[TINE_WORKER_ABORTED] = 2,
		[TINE_WORKER_KILLED] = 3,
	};

	for (int state = LIVING_FROM; state < TINE_WORKER_STATES; state++)
		for (int event = 0; event < TINE_WORKER_EVENTS; event++)
			if (event != TINE_SEEN_REAPED)
				CHECK_INT(rank[next_of(state, event)], >=, rank[state]);
}

TEST(stop_and_quit_are_asked_once)
{
	for (int state = LIVING_FROM; state < TINE_WORKER_STATES; state++) {
		int stopped = next_of(state, TINE_SEEN_STOP), quit = next_of(state, TINE_SEEN_QUIT);

		CHECK_INT(act_of(stopped, TINE_SEEN_STOP), ==, TINE_ACT_NOTHING);
		CHECK_INT(next_of(stopped, TINE_SEEN_STOP), ==, stopped);
		CHECK_INT(act_of(quit, TINE_SEEN_QUIT), ==, TINE_ACT_NOTHING);
		CHECK_INT(act_of(quit, TINE_SEEN_STOP), ==, TINE_ACT_NOTHING);
	}
	CHECK_INT(act_of(TINE_WORKER_STOPPING, TINE_SEEN_QUIT), ==, TINE_ACT_QUIT);
}

TEST(every_state_can_be_reached)
{
	bool reached[TINE_WORKER_STATES] = { [TINE_WORKER_NONE] = true };

	for (int round = 0; round < TINE_WORKER_STATES; round++)
		for (int state = 0; state < TINE_WORKER_STATES; state++)
			for (int event = 0; reached[state] && event < TINE_WORKER_EVENTS; event++)
				reached[next_of(state, event)] = true;
	for (int state = 0; state < TINE_WORKER_STATES; state++)
		CHECK(reached[state]);
}

TEST(the_master_ends_and_does_not_begin_again)
{
	for (int state = 0; state < TINE_MASTER_STATES; state++)
		for (int event = 0; event < TINE_MASTER_EVENTS; event++) {
			CHECK_INT(tine_master_step(state, event).next, >=, state);
			if (state != TINE_MASTER_RUNNING)
				CHECK_INT(tine_master_step(state, event).act, !=,
					  TINE_MASTER_RELOAD);
		}
	for (int state = 0; state < TINE_MASTER_STATES; state++) {
		CHECK_INT(tine_master_step(state, TINE_TOLD_QUIT).next, ==, TINE_MASTER_QUITTING);
		CHECK_INT(tine_master_step(state, TINE_TOLD_LOGS).act, ==, TINE_MASTER_LOGS);
		CHECK_INT(tine_master_step(state, TINE_TOLD_TERM).next, !=, TINE_MASTER_RUNNING);
	}
	CHECK_INT(tine_master_step(TINE_MASTER_RUNNING, TINE_TOLD_BROKEN).act, ==,
		  TINE_MASTER_GIVE_UP);
}

CHECK_TABLE(T(every_cell_leads_somewhere), T(a_place_is_empty_exactly_when_its_process_was_reaped),
	    T(nothing_happens_to_an_empty_place_but_a_fork), T(time_alone_leads_to_kill),
	    T(abort_comes_before_kill_and_a_warning_before_abort),
	    T(nobody_comes_back_from_the_way_out), T(stop_and_quit_are_asked_once),
	    T(every_state_can_be_reached), T(the_master_ends_and_does_not_begin_again))
