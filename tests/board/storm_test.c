/* SPDX-License-Identifier: PostgreSQL */
/*
 * Storms on one board: workers that take permits, wait and give them back while they are killed and
 * stopped at random points, and a fork bomb. Who holds what is noted beside the board, in memory of
 * our own, so that a permit which two have is noticed.
 *
 * TINE_STORM_KILLS says how many are killed (300); tools/soak-board sets more.
 */
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/clock.h"
#include "unit/board/rig.h"

#define WORKERS 12
#define BUDGET 20
#define MOST 3 /* permits of one worker */
#define MS ((int64_t)TINE_NS_PER_MS)
/* A second is promised, half of it is what it takes; the rest is for a machine that is busy. */
#define BACK_NS (4 * (int64_t)TINE_NS_PER_S)
#define STARVED_NS (10 * (int64_t)TINE_NS_PER_S)

struct worker {
	pid_t pid;
	_Atomic int64_t waits_since_ns, longest_ns;
	_Atomic int served, life;
};

static struct arena {
	_Atomic int holder[TINE_BOARD_PERMITS]; /* number of the worker's life + 1 */
	_Atomic int twice;                      /* a permit that two had */
	_Atomic int stop, served, lives;
	_Atomic int held, most_held;
	_Atomic char is_doomed[1 << 20]; /* by number of life */
	struct worker workers[WORKERS];
} * arena;

static int wanted_kills(void)
{
	const char *text = getenv("TINE_STORM_KILLS");

	return text ? atoi(text) : 300;
}

/* ---- a worker ------------------------------------------------------------------------------- */

static void sleep_on(_Atomic uint32_t *news)
{
	struct timespec wait = { .tv_nsec = TINE_WAITER_LOOK_MS * 1000000L };

	syscall(SYS_futex, news, FUTEX_WAIT, 0, &wait, NULL, 0);
}

static int acquire(struct tine_board *board)
{
	int permit = tine_permit_take(board, -1), waiter;

	if (permit >= 0)
		return permit;
	waiter = tine_waiter_enter(board);
	for (;;) {
		tine_waiter_rearm(board, waiter);
		permit = tine_permit_take(board, waiter);
		if (permit >= 0 || atomic_load(&arena->stop))
			break;
		sleep_on(tine_waiter_news(board, waiter));
	}
	tine_waiter_leave(board, waiter);
	return permit;
}

static void note_taken(int permit, int life)
{
	int before = atomic_exchange(&arena->holder[permit], life + 1), held;

	/* It is no fault to get what one had who is dead, or dying. */
	if (before && !atomic_load(&arena->is_doomed[before - 1]))
		atomic_store(&arena->twice, permit + 1);
	held = atomic_fetch_add(&arena->held, 1) + 1;
	if (held > atomic_load(&arena->most_held))
		atomic_store(&arena->most_held, held);
}

static void give(struct tine_board *board, int permit, int life, int open_ms)
{
	int self = life + 1;

	atomic_compare_exchange_strong(&arena->holder[permit], &self, 0);
	atomic_fetch_sub(&arena->held, 1);
	tine_permit_give(board, permit, open_ms);
}

static void tell(struct tine_board *board, unsigned dice)
{
	struct tine_outage_note note = { .status = -10, .sqlstate = "57P03", .text = "storm" };

	note.at_ns = tine_clock_ns();
	if (dice % 2)
		tine_server_failed(board, 0, &note);
	else
		tine_server_recovered(board, 0);
	tine_server_outage(board, 0, &note);
	tine_token_give(board, tine_token_take(board));
}

static void turn(struct tine_board *board, struct worker *worker, int life, unsigned *seed)
{
	int permits[MOST], count = 1 + rand_r(seed) % MOST, got = 0;
	int64_t began_ns = tine_clock_ns(), took_ns;

	atomic_store(&worker->waits_since_ns, began_ns);
	/* One after the other, and no waiting with one in the hand. */
	permits[0] = acquire(board);
	took_ns = tine_clock_ns() - began_ns;
	atomic_store(&worker->waits_since_ns, 0);
	if (took_ns > atomic_load(&worker->longest_ns))
		atomic_store(&worker->longest_ns, took_ns);
	if (permits[0] < 0)
		return;
	note_taken(permits[got++], life);
	while (got < count && (permits[got] = tine_permit_take(board, -1)) >= 0)
		note_taken(permits[got++], life);
	if (rand_r(seed) % 8 == 0)
		tell(board, (unsigned)rand_r(seed));
	if (rand_r(seed) % 4 == 0)
		usleep(rand_r(seed) % 2000);
	while (got)
		give(board, permits[--got], life, rand_r(seed) % 16 ? 0 : 5);
	atomic_fetch_add(&worker->served, 1);
	atomic_fetch_add(&arena->served, 1);
	if (rand_r(seed) % 64 == 0) {
		tine_board_unlist(board);
		CHECK_INT(tine_board_enlist(board), ==, 0);
	}
}

static void work(struct tine_board *board, struct worker *worker, int life)
{
	unsigned seed = (unsigned)life * 2654435761u + 1;

	tine_board_left(board);
	CHECK_INT(tine_board_enlist(board), ==, 0);
	tine_board_want(board);
	while (!atomic_load(&arena->stop))
		turn(board, worker, life, &seed);
	tine_board_close(board);
	_exit(0);
}

static void start(struct tine_board *board, struct worker *worker)
{
	int life = atomic_fetch_add(&arena->lives, 1);
	pid_t pid;

	CHECK_INT(life, <, sizeof(arena->is_doomed));
	atomic_store(&worker->life, life);
	atomic_store(&worker->waits_since_ns, 0);
	pid = fork();
	CHECK_INT(pid, >=, 0);
	if (pid == 0) {
		rig_end_with_parent();
		work(board, worker, life);
	}
	worker->pid = pid;
}

/* ---- the storm ------------------------------------------------------------------------------ */

static void kill_one(struct tine_board *board, struct worker *worker)
{
	int life = atomic_load(&worker->life);

	atomic_store(&arena->is_doomed[life], 1);
	rig_kill(worker->pid);
	/* What it held it holds no more, for our count. */
	for (int i = 0; i < BUDGET; i++) {
		int self = life + 1;

		if (atomic_compare_exchange_strong(&arena->holder[i], &self, 0))
			atomic_fetch_sub(&arena->held, 1);
	}
	start(board, worker);
}

static void stop_one(struct worker *worker)
{
	CHECK_INT(kill(worker->pid, SIGSTOP), ==, 0);
	usleep(5000);
	CHECK_INT(kill(worker->pid, SIGCONT), ==, 0);
}

static void check_sample(const struct tine_board *board)
{
	struct tine_permit_use use = rig_use(board);
	int64_t now_ns = tine_clock_ns();

	CHECK_INT(atomic_load(&arena->twice), ==, 0);
	CHECK_INT(use.taken, <=, BUDGET);
	for (int i = 0; i < WORKERS; i++) {
		int64_t since_ns = atomic_load(&arena->workers[i].waits_since_ns);

		if (since_ns && now_ns - since_ns > STARVED_NS)
			check_fail(__FILE__, __LINE__, "worker %d has waited for %lld ms", i,
				   (long long)((now_ns - since_ns) / MS));
	}
}

/* The last ones end, or are killed; then everything is there. */
static void check_end(struct tine_board *board)
{
	int64_t began_ns;

	for (int i = 0; i < WORKERS; i += 2)
		rig_kill(arena->workers[i].pid);
	atomic_store(&arena->stop, 1);
	for (int i = 1; i < WORKERS; i += 2)
		check_child(arena->workers[i].pid);
	began_ns = tine_clock_ns();
	for (int i = 0; i < BUDGET; i++)
		rig_take_soon(board, BACK_NS);
	printf("# all %d back after %lld ms\n", BUDGET,
	       (long long)((tine_clock_ns() - began_ns) / MS));
	CHECK_INT(tine_clock_ns() - began_ns, <=, BACK_NS);
	CHECK_INT(tine_permit_take(board, -1), ==, -1);
	tine_board_reap(board, true);
	CHECK_INT(rig_use(board).waiting, ==, 0);
	for (int i = 0; i < TINE_BOARD_TOKENS; i++)
		CHECK_INT(atomic_load(&board->map->tokens[i].word), ==, 0);
	for (int i = 0; i < TINE_BOARD_MEMBERS; i++)
		CHECK(i == board->place ||
		      tine_place_state(atomic_load(&board->map->members[i].word)) ==
			      TINE_PLACE_FREE);
}

static void make_arena(void)
{
	arena = mmap(NULL, sizeof(*arena), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	CHECK(arena != MAP_FAILED);
}

TEST(a_storm_of_kills)
{
	int kills = wanted_kills();
	struct tine_board board;
	unsigned seed = (unsigned)getpid();
	int64_t longest_ns = 0;
	int served = 0;

	alarm(0); /* samples tell sooner, and why */
	make_arena();
	rig_join(&board, "storm", BUDGET);
	tine_server_find(&board, 1);
	for (int i = 0; i < WORKERS; i++)
		start(&board, &arena->workers[i]);
	printf("# seed %u\n", seed);
	fflush(stdout);
	for (int i = 0; i < kills; i++) {
		struct worker *worker = &arena->workers[rand_r(&seed) % WORKERS];

		usleep(2000 + rand_r(&seed) % 12000);
		if (i % 20 == 0) {
			CHECK_INT(atomic_load(&arena->served), >=, served);
			served = atomic_load(&arena->served);
			stop_one(worker);
		}
		kill_one(&board, worker);
		check_sample(&board);
	}
	CHECK_INT(atomic_load(&arena->served), >, kills);
	for (int i = 0; i < WORKERS; i++)
		if (atomic_load(&arena->workers[i].longest_ns) > longest_ns)
			longest_ns = atomic_load(&arena->workers[i].longest_ns);
	printf("# %d killed, %d turns, longest wait %lld ms, most held at one time %d of %d\n",
	       kills, atomic_load(&arena->served), (long long)(longest_ns / MS),
	       atomic_load(&arena->most_held), BUDGET);
	check_end(&board);
	tine_board_close(&board);
}

/* ---- the bomb ------------------------------------------------------------------------------- */

#define PROCESSES 100
#define THREADS 10
#define BOMB_BUDGET 20

static struct tine_board *bomb;

static void *explode(void *unused)
{
	int64_t began_ns = tine_clock_ns(), took_ms;
	int permit = acquire(bomb), held, slowest;

	CHECK_INT(permit, >=, 0);
	took_ms = (tine_clock_ns() - began_ns) / MS;
	held = atomic_fetch_add(&arena->held, 1) + 1;
	CHECK_INT(held, <=, BOMB_BUDGET);
	if (atomic_exchange(&arena->holder[permit], 1))
		atomic_store(&arena->twice, 1);
	usleep(1000);
	atomic_store(&arena->holder[permit], 0);
	atomic_fetch_sub(&arena->held, 1);
	tine_permit_give(bomb, permit, 0);
	atomic_fetch_add(&arena->served, 1);
	slowest = atomic_load(&rig_word[0]);
	while (slowest < took_ms &&
	       !atomic_compare_exchange_weak(&rig_word[0], &slowest, (int)took_ms))
		continue;
	return unused;
}

static void be_a_bomb(struct tine_board *board)
{
	pthread_t threads[THREADS];

	bomb = board;
	for (int i = 0; i < THREADS; i++)
		CHECK_INT(pthread_create(&threads[i], NULL, explode, NULL), ==, 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	tine_board_close(board);
}

TEST(a_fork_bomb_is_served_within_the_budget)
{
	struct tine_board board;
	pid_t pids[PROCESSES];

	make_arena();
	rig_join(&board, "bomb", BOMB_BUDGET);
	for (int i = 0; i < PROCESSES; i++)
		pids[i] = rig_member(&board, be_a_bomb);
	for (int i = 0; i < PROCESSES; i++)
		check_child(pids[i]);
	CHECK_INT(atomic_load(&arena->served), ==, PROCESSES * THREADS);
	CHECK_INT(atomic_load(&arena->twice), ==, 0);
	CHECK_INT(rig_use(&board).taken, ==, 0);
	CHECK_INT(rig_use(&board).waiting, ==, 0);
	printf("# %d acquires, slowest %d ms\n", PROCESSES * THREADS, atomic_load(&rig_word[0]));
	tine_board_close(&board);
}

CHECK_TABLE(T(a_storm_of_kills), T(a_fork_bomb_is_served_within_the_budget))
