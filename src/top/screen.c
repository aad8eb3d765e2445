/* SPDX-License-Identifier: PostgreSQL */
/*
 * tine top on a terminal. The page is written as without one; here it is shown from a line on that
 * the user scrolls to, and keys change how it is written.
 *
 * Owns: the terminal's state, given back on every way out (SIGINT, SIGTERM included).
 */
#include <curses.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

#include "base/clock.h"
#include "base/exit.h"
#include "top/watch.h"

#define CONTROL(letter) ((letter)&0x1f)
#define ESCAPE 27

static volatile sig_atomic_t told_to_end;

struct screen {
	struct tine_watch *watch;
	int first; /* line of the page at the top */
	bool helping, ended;
	char filter[40];
	char says[80]; /* in the last line */
};

static void end(int signal_number)
{
	(void)signal_number;
	told_to_end = 1;
}

/* ---- drawing -------------------------------------------------------------------------------- */

static const char *const help[] = {
	"tine top: keys",
	"",
	"  q            quit",
	"  s o          sort by the next key: busy, worker, waits, age, opened",
	"  r            reverse the order",
	"  /            show only rows that contain a word; an empty one shows all",
	"  d            time between two looks (500ms, 2s)",
	"  space        look now",
	"  c            with or without the table of connections",
	"  e            with or without recent events",
	"  up down      scroll by a line; page up, page down, home, end",
	"  h ?          this help",
	"",
	"A process that is dead holds its permits until another one needs them.",
	"A foreign one is in another pid namespace: its pid means nothing here.",
	"",
	"Any key goes back.",
};

static attr_t look_of(enum tine_page_kind kind)
{
	if (kind == TINE_PAGE_HEAD)
		return A_REVERSE;
	return kind == TINE_PAGE_PLAIN ? A_NORMAL : A_BOLD;
}

static void draw_line(int row, enum tine_page_kind kind, const char *text)
{
	attrset(look_of(kind));
	move(row, 0);
	addnstr(text, COLS);
	if (kind == TINE_PAGE_HEAD)
		for (int column = (int)strlen(text); column < COLS; column++)
			addch(' ');
	attrset(A_NORMAL);
}

static void draw_page(struct screen *screen)
{
	const struct tine_page *page = &screen->watch->page;
	int last = page->count - (LINES - 1);

	if (screen->first > last)
		screen->first = last;
	if (screen->first < 0)
		screen->first = 0;
	for (int row = 0; row < LINES - 1 && screen->first + row < page->count; row++)
		draw_line(row, page->lines[screen->first + row].kind,
			  page->lines[screen->first + row].text);
}

static void draw(struct screen *screen)
{
	erase();
	if (screen->helping)
		for (int i = 0; i < (int)(sizeof(help) / sizeof(help[0])) && i < LINES; i++)
			draw_line(i, i ? TINE_PAGE_PLAIN : TINE_PAGE_TREE, help[i]);
	else
		draw_page(screen);
	if (LINES > 1 && !screen->helping)
		draw_line(LINES - 1, TINE_PAGE_PLAIN,
			  *screen->says ? screen->says : "q quit  s sort  / filter  h help");
	refresh();
}

/* ---- asking --------------------------------------------------------------------------------- */

static void draw_question(const char *question, const char *answer)
{
	move(LINES - 1, 0);
	clrtoeol();
	addnstr(question, COLS);
	addnstr(answer, COLS);
	refresh();
}

/* Nothing that the library for terminals waits for is interrupted by a signal, so poll() waits.
 * @return ERR when there was none until then, or one has been told to end */
static int next_key(int64_t until_ns)
{
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
	int key = told_to_end ? ERR : getch();

	if (key != ERR || told_to_end)
		return key;
	poll(&input, 1, tine_clock_poll_ms(until_ns, tine_clock_ns()));
	if (input.revents & (POLLHUP | POLLERR | POLLNVAL))
		told_to_end = 1;
	return told_to_end ? ERR : getch();
}

/* @return false when the user thought better of it */
static bool ask(const char *question, char *answer, size_t size)
{
	size_t length = 0;
	int key = ERR;

	*answer = '\0';
	while (!told_to_end && key != '\r' && key != '\n' && key != KEY_ENTER) {
		draw_question(question, answer);
		key = next_key(TINE_NEVER_NS);
		if (key == ESCAPE)
			return false;
		if ((key == KEY_BACKSPACE || key == 127 || key == CONTROL('h')) && length) {
			answer[--length] = '\0';
		} else if (key >= ' ' && key < 127 && length + 1 < size) {
			answer[length++] = (char)key;
			answer[length] = '\0';
		}
	}
	return !told_to_end;
}

static void ask_filter(struct screen *screen)
{
	char word[sizeof(screen->filter)];

	if (!ask("only rows with: ", word, sizeof(word)))
		return;
	memcpy(screen->filter, word, sizeof(word));
	screen->watch->tables.order.filter = *screen->filter ? screen->filter : NULL;
}

static void ask_interval(struct screen *screen)
{
	const struct tine_option *option = tine_option_find(TINE_COMMAND_TOP, "interval", 8);
	struct tine_settings settings = { 0 };
	char text[16], error[sizeof(screen->says)];

	if (!ask("time between two looks: ", text, sizeof(text)) || !*text)
		return;
	if (tine_option_set(option, &settings, text, "interval", error, sizeof(error)) == 0)
		screen->watch->interval_ms = settings.interval_ms;
	else
		memcpy(screen->says, error, sizeof(error));
}

/* ---- keys ----------------------------------------------------------------------------------- */

static bool scroll_by(struct screen *screen, int key)
{
	switch (key) {
	case KEY_UP:
		screen->first--;
		return true;
	case KEY_DOWN:
		screen->first++;
		return true;
	case KEY_PPAGE:
		screen->first -= LINES - 2;
		return true;
	case KEY_NPAGE:
		screen->first += LINES - 2;
		return true;
	case KEY_HOME:
		screen->first = 0;
		return true;
	case KEY_END:
		screen->first = screen->watch->page.count;
		return true;
	default:
		return false;
	}
}

static void look(struct screen *screen)
{
	if (tine_watch_look(screen->watch) < 0)
		strcpy(screen->says, "out of memory: what is shown is old");
	if (screen->watch->count && --screen->watch->count == 0)
		screen->ended = true;
}

static void change(struct screen *screen, int key)
{
	struct tine_tables *tables = &screen->watch->tables;

	switch (key) {
	case 's':
	case 'o':
		tables->order.key = (tables->order.key + 1) % TINE_ORDER_KEYS;
		break;
	case 'r':
		tables->order.reverse = !tables->order.reverse;
		break;
	case 'c':
		tables->connections = !tables->connections;
		break;
	case 'e':
		tables->events = tables->events ? 0 : TINE_WATCH_EVENTS;
		break;
	case '/':
		ask_filter(screen);
		break;
	case 'd':
		ask_interval(screen);
		break;
	case ' ':
		look(screen);
		break;
	default:
		break;
	}
}

static void obey(struct screen *screen, int key)
{
	*screen->says = '\0';
	if (key == 'q') {
		screen->ended = true;
	} else if (key == CONTROL('l')) {
		clearok(curscr, TRUE);
	} else if (screen->helping) {
		screen->helping = key == KEY_RESIZE;
	} else if (key == 'h' || key == '?') {
		screen->helping = true;
	} else if (!scroll_by(screen, key)) {
		change(screen, key);
	}
}

/* ---- the loop ------------------------------------------------------------------------------- */

static int64_t next_look_ns(const struct tine_watch *watch)
{
	return watch->looked_ns + watch->interval_ms * (int64_t)TINE_NS_PER_MS;
}

static void run(struct screen *screen)
{
	while (!screen->ended && !told_to_end) {
		int key;

		tine_watch_write_page(screen->watch);
		draw(screen);
		key = next_key(next_look_ns(screen->watch));
		if (key != ERR)
			obey(screen, key);
		else if (tine_clock_ns() >= next_look_ns(screen->watch))
			look(screen);
	}
}

/* Before the library for terminals would take them: its handler calls what a handler must not. */
static void catch_signals(void)
{
	struct sigaction action = { .sa_handler = end };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

static void set_terminal(void)
{
	set_escdelay(25);
	cbreak();
	noecho();
	nonl();
	keypad(stdscr, TRUE);
	curs_set(0);
	timeout(0);
}

int tine_top_screen(struct tine_watch *watch)
{
	struct screen screen = { .watch = watch };
	SCREEN *terminal;

	if (tine_watch_look(watch) < 0)
		return tine_top_fail(TINE_EXIT_SYSTEM, "out of memory");
	catch_signals();
	terminal = newterm(NULL, stdout, stdin);
	if (!terminal) {
		/* A terminal that nobody knows can still show text. */
		signal(SIGINT, SIG_DFL);
		signal(SIGTERM, SIG_DFL);
		return tine_top_plain(watch, false);
	}
	set_terminal();
	run(&screen);
	endwin();
	delscreen(terminal);
	return TINE_EXIT_OK;
}
