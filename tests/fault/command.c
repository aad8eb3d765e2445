/* SPDX-License-Identifier: PostgreSQL */
/*
 * The commands. LINK is the number of a link as `count` shows it; without it the command is for
 * every link. Each is answered by one line: {"ok":true,...} or {"ok":false,"error":"..."}.
 */
#include "proxy.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 3
#define ULL(number) ((unsigned long long)(number))

struct request {
	struct proxy *proxy;
	int count; /* of arguments */
	const char *text[WORDS_MAX];
	uint64_t number[WORDS_MAX];
};

struct command {
	const char *name;
	const char *arguments; /* n: a number; s: a text; after '?': may be missing */
	void (*run)(const struct request *request);
};

__attribute__((format(printf, 1, 2))) static void answer(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

static void refuse(const char *why)
{
	answer("{\"ok\":false,\"error\":\"%s\"}", why);
}

/* Call act for each open link with a client, or for the one whose number is in argument `at`. */
static unsigned each_link(const struct request *request, int at,
			  bool (*act)(struct link *link, const struct request *request))
{
	struct link *link = TAILQ_FIRST(&request->proxy->open), *next;
	unsigned done = 0;

	for (; link; link = next) {
		next = TAILQ_NEXT(link, next);
		if (at < request->count && link->number != request->number[at])
			continue;
		if (link_has_client(link))
			done += act(link, request);
	}
	return done;
}

/* ---- modes ----------------------------------------------------------------------------------- */

static void set_mode_of_new(struct proxy *proxy, enum mode mode)
{
	proxy->mode = mode;
	listener_open(proxy);
	socket_set_deaf(proxy->listener.fd, mode == MODE_VANISH);
}

static void set_mode_of_old(struct proxy *proxy, enum mode mode)
{
	struct link *link, *next;

	for (link = TAILQ_FIRST(&proxy->open); link; link = next) {
		next = TAILQ_NEXT(link, next);
		link_set_mode(link, mode);
	}
}

/* For new links and those there are, or with the argument "old" for the latter alone. */
static void set_mode(const struct request *request, enum mode mode)
{
	bool old = request->count > 0;

	if (old && strcmp(request->text[0], "old") != 0) {
		refuse("wrong arguments");
		return;
	}
	if (!old)
		set_mode_of_new(request->proxy, mode);
	set_mode_of_old(request->proxy, mode);
	answer("{\"ok\":true}");
}

static void command_pass(const struct request *request)
{
	struct proxy *proxy = request->proxy;

	proxy->latency_us = proxy->connect_delay_us = 0;
	proxy->cut.armed = proxy->corrupt.armed = proxy->rst_after.armed = false;
	set_mode(request, MODE_PASS);
}

static void command_mute_new(const struct request *request)
{
	set_mode_of_new(request->proxy, MODE_MUTE);
	answer("{\"ok\":true}");
}

static void command_blackhole(const struct request *request)
{
	set_mode(request, MODE_BLACKHOLE);
}

static void command_oneway(const struct request *request)
{
	set_mode(request, MODE_ONEWAY);
}

static void command_vanish(const struct request *request)
{
	if (!vanish_works()) {
		refuse("unsupported: the kernel lets us attach no filter to a socket");
		return;
	}
	set_mode(request, MODE_VANISH);
}

static void command_refuse(const struct request *request)
{
	listener_close(request->proxy);
	answer("{\"ok\":true}");
}

static void command_latency(const struct request *request)
{
	request->proxy->latency_us = request->number[0] * 1000;
	answer("{\"ok\":true}");
}

static void command_connect_delay(const struct request *request)
{
	request->proxy->connect_delay_us = request->number[0] * 1000;
	answer("{\"ok\":true}");
}

/* ---- what is done to links now ----------------------------------------------------------------
 */

static bool act_drop(struct link *link, const struct request *request)
{
	(void)request;
	return link_drop(link);
}

static bool act_rst(struct link *link, const struct request *request)
{
	(void)request;
	link_rst(link);
	return true;
}

static bool act_fin(struct link *link, const struct request *request)
{
	(void)request;
	link_fin(link);
	return true;
}

static bool act_count(struct link *link, const struct request *request)
{
	(void)link;
	(void)request;
	return true;
}

static void command_drop_idle(const struct request *request)
{
	unsigned links = each_link(request, 0, act_count);
	unsigned closed = each_link(request, 0, act_drop);

	answer("{\"ok\":true,\"links\":%u,\"how\":\"%s\"}", links,
	       closed == links ? "repair" : "trap");
}

static void command_rst(const struct request *request)
{
	answer("{\"ok\":true,\"links\":%u}", each_link(request, 0, act_rst));
}

static void command_fin(const struct request *request)
{
	answer("{\"ok\":true,\"links\":%u}", each_link(request, 0, act_fin));
}

/* ---- what waits for its occasion ---------------------------------------------------------------
 */

static void set_trigger(struct trigger *trigger, const struct request *request)
{
	*trigger = (struct trigger){
		.armed = true,
		.value = request->number[0],
		.link = request->count > 1 ? request->number[1] : 0,
	};
	answer("{\"ok\":true}");
}

static void command_cut_record(const struct request *request)
{
	set_trigger(&request->proxy->cut, request);
}

static void command_corrupt(const struct request *request)
{
	set_trigger(&request->proxy->corrupt, request);
}

static void command_rst_after_bytes(const struct request *request)
{
	struct link *link;

	TAILQ_FOREACH(link, &request->proxy->open, next)
	link->rst_base_bytes = link->end[SERVER].received_bytes;
	set_trigger(&request->proxy->rst_after, request);
}

/* ---- counts ------------------------------------------------------------------------------------
 */

/* The most connects within any window of that length. */
static uint64_t busiest_window(const struct proxy *proxy, uint64_t window_us)
{
	uint64_t most = 0, first = 0;

	if (proxy->accepted > CONNECT_TIMES)
		first = proxy->accepted - CONNECT_TIMES;
	for (uint64_t last = first; last < proxy->accepted; last++) {
		while (proxy->connect_us[last % CONNECT_TIMES] -
			       proxy->connect_us[first % CONNECT_TIMES] >=
		       window_us)
			first++;
		if (last - first + 1 > most)
			most = last - first + 1;
	}
	return most;
}

static void print_totals(const struct proxy *proxy)
{
	const struct link_list *lists[] = { &proxy->open, &proxy->closed };
	uint64_t open = 0, from_client = 0, from_server = 0;
	const struct link *link;

	for (int i = 0; i < 2; i++) {
		TAILQ_FOREACH(link, lists[i], next)
		{
			open += i == 0 && link_has_client(link);
			from_client += link->end[CLIENT].received_bytes;
			from_server += link->end[SERVER].received_bytes;
		}
	}
	printf("{\"ok\":true,\"accepted\":%llu,\"open\":%llu,\"peak\":%llu,\"from_client\":%llu,"
	       "\"from_server\":%llu",
	       ULL(proxy->accepted), ULL(open), ULL(proxy->peak), ULL(from_client),
	       ULL(from_server));
}

static void print_link(const struct link *link, bool first)
{
	const struct end *client = &link->end[CLIENT], *server = &link->end[SERVER];

	printf("%s{\"link\":%llu,\"open\":%s,\"mode\":\"%s\",\"opened_us\":%llu,"
	       "\"from_client\":%llu,\"to_server\":%llu,\"from_server\":%llu,\"to_client\":%llu}",
	       first ? "" : ",", ULL(link->number), link_has_client(link) ? "true" : "false",
	       mode_names[link->mode], ULL(link->opened_us), ULL(client->received_bytes),
	       ULL(client->delivered_bytes), ULL(server->received_bytes),
	       ULL(server->delivered_bytes));
}

/* count [WINDOW_MS]: totals, the most connects in a window (1 s), and each link. */
static void command_count(const struct request *request)
{
	const struct proxy *proxy = request->proxy;
	const struct link_list *lists[] = { &proxy->closed, &proxy->open };
	uint64_t window_ms = request->count > 0 ? request->number[0] : 1000;
	const struct link *link;
	bool first = true;

	print_totals(proxy);
	printf(",\"window_ms\":%llu,\"window_peak\":%llu,\"links\":[", ULL(window_ms),
	       ULL(busiest_window(proxy, window_ms * 1000)));
	for (int i = 0; i < 2; i++) {
		TAILQ_FOREACH(link, lists[i], next)
		{
			print_link(link, first);
			first = false;
		}
	}
	answer("]}");
}

/* stat: totals and settings. */
static void command_stat(const struct request *request)
{
	const struct proxy *proxy = request->proxy;

	print_totals(proxy);
	answer(",\"mode\":\"%s\",\"listening\":%s,\"latency_ms\":%llu,\"connect_delay_ms\":%llu,"
	       "\"armed\":%d}",
	       mode_names[proxy->mode], proxy->listener.fd >= 0 ? "true" : "false",
	       ULL(proxy->latency_us / 1000), ULL(proxy->connect_delay_us / 1000),
	       proxy->cut.armed + proxy->corrupt.armed + proxy->rst_after.armed);
}

/* reset-stat: forget closed links, count from zero; links keep their numbers. */
static void command_reset_stat(const struct request *request)
{
	struct proxy *proxy = request->proxy;
	struct link *link;

	links_forget(proxy);
	proxy->accepted = proxy->peak = 0;
	TAILQ_FOREACH(link, &proxy->open, next)
	{
		proxy->peak += link_has_client(link);
		for (enum side side = CLIENT; side < SIDES; side++)
			link->end[side].received_bytes = link->end[side].delivered_bytes = 0;
		link->rst_base_bytes = 0;
	}
	answer("{\"ok\":true}");
}

/* record FILE: begin a new record; record: end it. */
static void command_record(const struct request *request)
{
	struct proxy *proxy = request->proxy;

	if (proxy->record)
		fclose(proxy->record);
	proxy->record = NULL;
	if (request->count > 0) {
		proxy->record = fopen(request->text[0], "we");
		if (!proxy->record) {
			refuse(strerror(errno));
			return;
		}
	}
	answer("{\"ok\":true}");
}

/* ---- reading a line ----------------------------------------------------------------------------
 */

static const struct command commands[] = {
	{ "pass", "", command_pass },
	{ "mute-new", "", command_mute_new },
	{ "refuse", "", command_refuse },
	{ "blackhole", "?s", command_blackhole },        /* [old] */
	{ "oneway", "?s", command_oneway },              /* [old] */
	{ "vanish", "?s", command_vanish },              /* [old] */
	{ "latency", "n", command_latency },             /* MS, in each direction */
	{ "connect-delay", "n", command_connect_delay }, /* MS, for the first bytes of new links */
	{ "drop-idle", "?n", command_drop_idle },        /* [LINK] */
	{ "rst", "?n", command_rst },                    /* [LINK] */
	{ "fin", "?n", command_fin },                    /* [LINK] */
	{ "cut-record", "n?n", command_cut_record },     /* BYTES [LINK]: then FIN */
	{ "corrupt", "n?n", command_corrupt },           /* OFFSET [LINK]: flip a bit there */
	{ "rst-after-bytes", "n?n", command_rst_after_bytes }, /* BYTES [LINK], from now on */
	{ "count", "?n", command_count },
	{ "stat", "", command_stat },
	{ "reset-stat", "", command_reset_stat },
	{ "record", "?s", command_record },
};

static bool parse_number(const char *text, uint64_t *ret_number)
{
	char *end;

	errno = 0;
	*ret_number = strtoull(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end && !errno && *ret_number <= INT_MAX;
}

/* Split what follows the command's name as its row says. @return false when it does not fit */
static bool parse_arguments(struct request *request, const char *wanted, char **rest)
{
	bool optional = false;

	for (; *wanted; wanted++) {
		const char *word;

		if (*wanted == '?') {
			optional = true;
			continue;
		}
		word = strtok_r(NULL, " ", rest);
		if (!word)
			return optional;
		if (*wanted == 'n' && !parse_number(word, &request->number[request->count]))
			return false;
		request->text[request->count++] = word;
	}
	return !strtok_r(NULL, " ", rest);
}

static void find_and_run(struct request *request, char *line)
{
	char *rest;
	const char *name = strtok_r(line, " ", &rest);

	for (size_t i = 0; name && i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(commands[i].name, name) != 0)
			continue;
		if (parse_arguments(request, commands[i].arguments, &rest))
			commands[i].run(request);
		else
			refuse("wrong arguments");
		return;
	}
	refuse("no such command");
}

void command_run(struct proxy *proxy, char *line)
{
	struct request request = { .proxy = proxy };

	find_and_run(&request, line);
	/* Whoever reads the answer may read the record too. */
	if (proxy->record)
		fflush(proxy->record);
	if (fflush(stdout) != 0)
		proxy->done = true;
}
