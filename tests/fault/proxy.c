/* SPDX-License-Identifier: PostgreSQL */
#include "proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_MAX 64
#define LINE_MAX_BYTES 4096
#define TURNS_BEFORE_COMMAND 64

/* The one proxy: watches point into it. */
static struct proxy the_proxy;

uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void die(const char *format, ...)
{
	va_list args;

	fputs("proxy: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

void watch_set(struct proxy *proxy, struct watch *watch, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = watch };
	int how = !watch->armed ? EPOLL_CTL_ADD : events ? EPOLL_CTL_MOD : EPOLL_CTL_DEL;

	if (events == watch->armed)
		return;
	if (epoll_ctl(proxy->epoll, how, watch->fd, &event) < 0)
		die("epoll_ctl: %m");
	watch->armed = events;
}

void watch_close(struct proxy *proxy, struct watch *watch)
{
	if (watch->fd < 0)
		return;
	watch_set(proxy, watch, 0);
	close(watch->fd);
	watch->fd = -1;
}

/* ---- listener ---------------------------------------------------------------------------------
 */

static int bound_socket(int port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		die("a socket on port %d: %m", port);
	return fd;
}

static void listener_ready(struct watch *watch, uint32_t events)
{
	(void)events;
	while (watch->fd >= 0) {
		int fd = accept4(watch->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0)
			link_open(&the_proxy, fd);
		else if (errno == EAGAIN || errno == EWOULDBLOCK)
			return;
		else if (errno != EINTR && errno != ECONNABORTED)
			die("accept: %m");
	}
}

void listener_open(struct proxy *proxy)
{
	if (proxy->listener.fd >= 0)
		return;
	proxy->listener.fd = bound_socket(proxy->port);
	proxy->listener.ready = listener_ready;
	if (listen(proxy->listener.fd, SOMAXCONN) < 0)
		die("listen: %m");
	watch_set(proxy, &proxy->listener, EPOLLIN);
}

void listener_close(struct proxy *proxy)
{
	watch_close(proxy, &proxy->listener);
}

static void choose_port(struct proxy *proxy)
{
	struct sockaddr_in address = { 0 };
	socklen_t length = sizeof(address);

	proxy->keeper = bound_socket(0);
	if (getsockname(proxy->keeper, (struct sockaddr *)&address, &length) < 0)
		die("getsockname: %m");
	proxy->port = ntohs(address.sin_port);
}

/* ---- input ------------------------------------------------------------------------------------
 */

static void input_ready(struct watch *watch, uint32_t events)
{
	(void)watch;
	(void)events;
	the_proxy.input_ready = true;
}

/* Run the complete lines of what was read so far. @return what is left of it */
static size_t run_lines(struct proxy *proxy, char *lines, size_t length)
{
	char *begin = lines, *end;

	while ((end = memchr(begin, '\n', length))) {
		*end++ = '\0';
		command_run(proxy, begin);
		length -= (size_t)(end - begin);
		begin = end;
	}
	memmove(lines, begin, length);
	return length;
}

static void read_commands(struct proxy *proxy)
{
	static char lines[LINE_MAX_BYTES];
	static size_t kept;
	ssize_t length = read(STDIN_FILENO, lines + kept, sizeof(lines) - kept);

	proxy->input_ready = false;
	if (length < 0 && errno == EINTR)
		return;
	if (length <= 0) {
		proxy->done = true;
		return;
	}
	kept = run_lines(proxy, lines, kept + (size_t)length);
	if (kept == sizeof(lines))
		die("a line of more than %d bytes", LINE_MAX_BYTES);
}

static void signals_ready(struct watch *watch, uint32_t events)
{
	(void)watch;
	(void)events;
	the_proxy.done = true;
}

static void watch_signals(struct proxy *proxy)
{
	sigset_t ending;

	sigemptyset(&ending);
	sigaddset(&ending, SIGTERM);
	sigaddset(&ending, SIGINT);
	sigprocmask(SIG_BLOCK, &ending, NULL);
	signal(SIGPIPE, SIG_IGN);
	proxy->signals.fd = signalfd(-1, &ending, SFD_CLOEXEC);
	if (proxy->signals.fd < 0)
		die("signalfd: %m");
	proxy->signals.ready = signals_ready;
	watch_set(proxy, &proxy->signals, EPOLLIN);
}

/* ---- loop -------------------------------------------------------------------------------------
 */

static int timeout_ms(const struct proxy *proxy)
{
	uint64_t due = UINT64_MAX, now = now_us();
	const struct link *link;

	TAILQ_FOREACH(link, &proxy->open, next)
	{
		uint64_t link_due = link_due_us(link);

		if (link_due < due)
			due = link_due;
	}
	if (due == UINT64_MAX)
		return -1;
	return due <= now ? 0 : (int)((due - now + 999) / 1000);
}

static void go_on_due(struct proxy *proxy)
{
	struct link *link = TAILQ_FIRST(&proxy->open), *next;
	uint64_t now = now_us();

	for (; link; link = next) {
		next = TAILQ_NEXT(link, next);
		if (link_due_us(link) <= now)
			link_go_on(link);
	}
}

/* @return whether anything but the input happened */
static bool turn(struct proxy *proxy, int wait_ms)
{
	struct epoll_event events[EVENTS_MAX];
	int count = epoll_wait(proxy->epoll, events, EVENTS_MAX, wait_ms);
	bool happened = false;

	for (int i = 0; i < count; i++) {
		struct watch *watch = events[i].data.ptr;

		watch->ready(watch, events[i].events);
		happened |= watch != &proxy->input;
	}
	go_on_due(proxy);
	return happened;
}

static void run(struct proxy *proxy)
{
	while (!proxy->done) {
		turn(proxy, timeout_ms(proxy));
		if (!proxy->input_ready)
			continue;
		/* What arrived before the command is counted and passed on before it. */
		for (int i = 0; i < TURNS_BEFORE_COMMAND && turn(proxy, 0); i++)
			;
		read_commands(proxy);
	}
}

static void put_away(struct proxy *proxy)
{
	while (!TAILQ_EMPTY(&proxy->open))
		link_close(TAILQ_FIRST(&proxy->open));
	links_forget(proxy);
	listener_close(proxy);
	close(proxy->keeper);
	close(proxy->signals.fd);
	close(proxy->epoll);
	if (proxy->record)
		fclose(proxy->record);
}

/* ---- start ------------------------------------------------------------------------------------
 */

static void set_unix_server(struct proxy *proxy, const char *path)
{
	struct sockaddr_un *address = (struct sockaddr_un *)&proxy->server;

	if (strlen(path) >= sizeof(address->sun_path))
		die("the path is too long: %s", path);
	address->sun_family = AF_UNIX;
	strcpy(address->sun_path, path);
	proxy->server_length = sizeof(*address);
}

static void set_tcp_server(struct proxy *proxy, const char *place)
{
	struct sockaddr_in *address = (struct sockaddr_in *)&proxy->server;
	const char *colon = strrchr(place, ':');
	char host[INET_ADDRSTRLEN] = "";

	if (colon && (size_t)(colon - place) < sizeof(host))
		memcpy(host, place, (size_t)(colon - place));
	address->sin_family = AF_INET;
	address->sin_port = colon ? htons((uint16_t)atoi(colon + 1)) : 0;
	if (inet_pton(AF_INET, host, &address->sin_addr) != 1 || address->sin_port == 0)
		die("not an address: %s", place);
	proxy->server_length = sizeof(*address);
}

static void set_server(struct proxy *proxy, int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "--no-repair") == 0) {
		proxy->no_repair = true;
		argv++;
	} else if (argc != 2) {
		die("usage: proxy [--no-repair] HOST:PORT | SOCKET-PATH");
	}
	if (argv[1][0] == '/')
		set_unix_server(proxy, argv[1]);
	else
		set_tcp_server(proxy, argv[1]);
}

static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

int main(int argc, char **argv)
{
	struct proxy *proxy = &the_proxy;

	proxy->listener.fd = -1;
	set_server(proxy, argc, argv);
	raise_descriptor_limit();
	TAILQ_INIT(&proxy->open);
	TAILQ_INIT(&proxy->closed);
	proxy->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (proxy->epoll < 0)
		die("epoll_create1: %m");
	watch_signals(proxy);
	proxy->input = (struct watch){ .fd = STDIN_FILENO, .ready = input_ready };
	watch_set(proxy, &proxy->input, EPOLLIN);
	choose_port(proxy);
	listener_open(proxy);
	printf("{\"ready\":true,\"host\":\"127.0.0.1\",\"port\":%d}\n", proxy->port);
	fflush(stdout);
	run(proxy);
	put_away(proxy);
	return 0;
}
