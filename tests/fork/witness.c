/* SPDX-License-Identifier: PostgreSQL */
/*
 * Descriptors that are no PostgreSQL sessions of this process and must come through a fork as they
 * are: a listening socket, a connection to it and its accepted side, a socketpair, a pipe, a file,
 * and a number that was a PostgreSQL connection, was closed and is another connection now.
 */
#include "cell.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum what {
	LISTENER,
	CLIENT,
	ACCEPTED,
	REUSED,
	REUSED_PEER,
	PAIR_A,
	PAIR_B,
	PIPE_OUT,
	PIPE_IN,
	PLAIN_FILE,
	WITNESSES
};

static struct {
	int fd, flags;
	dev_t dev;
	ino_t ino;
} seen[WITNESSES];

static const char *const name[WITNESSES] = {
	"the listening socket",      "a connection to another server",
	"an accepted connection",    "a connection on a number that was a PostgreSQL connection",
	"its accepted side",         "a socketpair",
	"a socketpair's other end",  "the writing end of a pipe",
	"the reading end of a pipe", "a file",
};

static struct sockaddr_in address;

static void watch(enum what w, int fd)
{
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		die(SETUP, "%s: %m", name[w]);
	seen[w].fd = fd;
	seen[w].flags = fcntl(fd, F_GETFL);
	seen[w].dev = st.st_dev;
	seen[w].ino = st.st_ino;
}

static void open_listener(const struct cell *c)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
	socklen_t len = sizeof(address);

	address.sin_family = AF_INET;
	address.sin_port = htons((in_port_t)c->serve_port);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	/* Every process has an address of its own in 127.64.0.0/10, where nobody has the port. */
	if (c->serve_port)
		address.sin_addr.s_addr = htonl(0x7f400000 | ((in_addr_t)getpid() & 0x3fffff));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 8) ||
	    getsockname(fd, (struct sockaddr *)&address, &len))
		die(SETUP, "listening socket: %m");
	watch(LISTENER, fd);
}

static int dial(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return -1;
	return fd;
}

static int take_call(void)
{
	struct pollfd p = { .fd = seen[LISTENER].fd, .events = POLLIN };

	if (poll(&p, 1, scene->deadline_ms) != 1)
		return -1;
	return accept4(seen[LISTENER].fd, NULL, NULL, SOCK_CLOEXEC);
}

/*
 * The client's first bytes: an HTTP request; or, where the port says PostgreSQL (serve_port), what
 * a PostgreSQL client begins with, so that the accepted side is a server's and no connection of
 * this process.
 */
static void greet(const struct cell *c)
{
	static const char http[] = "GET /";
	static const char ssl_request[] = { 0, 0, 0, 8, 4, (char)0xd2, 0x16, 0x2f };
	const char *text = c->serve_port ? ssl_request : http;
	size_t len = c->serve_port ? sizeof(ssl_request) : sizeof(http);

	if (write(seen[CLIENT].fd, text, len) != (ssize_t)len)
		die(SETUP, "greeting: %m");
	for (size_t got = 0; got < len;) {
		char buf[16];
		ssize_t n = read(seen[ACCEPTED].fd, buf, len - got);
		if (n <= 0)
			die(SETUP, "greeting: %m");
		got += (size_t)n;
	}
}

/* A connection that got as far as its first bytes to the server; then its number is used anew. */
static void open_reused(const struct cell *c)
{
	PGconn *conn = PQconnectStart(c->conninfo);
	PostgresPollingStatusType st = PGRES_POLLING_WRITING;

	while (PQstatus(conn) != CONNECTION_SSL_STARTUP &&
	       PQstatus(conn) != CONNECTION_AWAITING_RESPONSE) {
		if (st == PGRES_POLLING_FAILED)
			die(SETUP, "cannot connect: %s", PQerrorMessage(conn));
		pq_drive(conn, &st, 1);
	}

	int number = PQsocket(conn), fd;
	PQfinish(conn);
	fd = dial();
	if (fd != number) {
		if (dup3(fd, number, O_CLOEXEC) < 0)
			die(SETUP, "dup3: %m");
		close(fd);
	}
	watch(REUSED, number);
	watch(REUSED_PEER, take_call());
}

void witness_open(const struct cell *c)
{
	char path[] = "/tmp/tine-cell-XXXXXX";
	int pair[2], ends[2], fd;

	open_listener(c);
	watch(CLIENT, dial());
	watch(ACCEPTED, take_call());
	greet(c);
	if (c->state->reuse)
		open_reused(c);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) || pipe2(ends, O_CLOEXEC))
		die(SETUP, "socketpair or pipe: %m");
	watch(PAIR_A, pair[0]);
	watch(PAIR_B, pair[1]);
	watch(PIPE_IN, ends[0]);
	watch(PIPE_OUT, ends[1]);
	fd = mkostemp(path, O_CLOEXEC);
	watch(PLAIN_FILE, fd);
	unlink(path);
	if (write(fd, "witness", 7) != 7)
		die(SETUP, "file: %m");
}

/*
 * Not opened in this cell (no witness has descriptor 0). Or the process serves the port: then its
 * clients' ends count as PostgreSQL connections for the child, because of their peer's port; they
 * are in this process only for the test's sake.
 */
static bool exempt(const struct cell *c, enum what w)
{
	return !seen[w].fd || (c->serve_port && self() == CHILD && (w == CLIENT || w == REUSED));
}

static void carry(const struct cell *c, enum what from, enum what to)
{
	if (exempt(c, from) || exempt(c, to))
		return;

	char sent[24], got[sizeof(sent)] = "";
	struct pollfd p = { .fd = seen[to].fd, .events = POLLIN };

	snprintf(sent, sizeof(sent), "%d:%d", (int)getpid(), (int)from);
	if (write(seen[from].fd, sent, sizeof(sent)) != (ssize_t)sizeof(sent))
		die(BROKE, "%s cannot be written: %m", name[from]);
	if (poll(&p, 1, scene->deadline_ms) != 1 ||
	    read(seen[to].fd, got, sizeof(got)) != (ssize_t)sizeof(got) || strcmp(sent, got) != 0)
		die(BROKE, "%s does not bring what was sent", name[to]);
}

static void check_identity(const struct cell *c)
{
	for (enum what w = 0; w < WITNESSES; w++) {
		struct stat st;
		if (exempt(c, w))
			continue;
		if (fstat(seen[w].fd, &st))
			die(BROKE, "%s is closed: %m", name[w]);
		if (st.st_dev != seen[w].dev || st.st_ino != seen[w].ino)
			die(BROKE, "%s was replaced", name[w]);
		if (fcntl(seen[w].fd, F_GETFL) != seen[w].flags)
			die(BROKE, "%s changed its flags", name[w]);
	}
}

static void check_file(void)
{
	char buf[8] = "";

	if (pread(seen[PLAIN_FILE].fd, buf, 7, 0) != 7 || strcmp(buf, "witness") != 0)
		die(BROKE, "%s cannot be read", name[PLAIN_FILE]);
}

static void check_listener(void)
{
	int from = dial(), to = take_call();
	char byte = 0;

	if (from < 0 || to < 0 || write(from, "x", 1) != 1 || read(to, &byte, 1) != 1 ||
	    byte != 'x')
		die(BROKE, "%s does not take connections: %m", name[LISTENER]);
	close(from);
	close(to);
}

/*
 * The child answers clients on what was accepted; the parent, as the client, reads the answer.
 * Once: the parent may be dead when the child looks again.
 */
static void check_served(void)
{
	static enum role done = ORACLE;
	char byte = 0;

	if (done == self())
		return;
	done = self();
	if (self() == CHILD && write(seen[ACCEPTED].fd, "s", 1) != 1)
		die(BROKE, "%s cannot be written: %m", name[ACCEPTED]);
	if (self() != CHILD && (read(seen[CLIENT].fd, &byte, 1) != 1 || byte != 's'))
		die(BROKE, "%s did not bring the child's answer", name[ACCEPTED]);
}

/* Called in the child, and in the parent when the child is gone: never by both at a time. */
void witness_check(const struct cell *c)
{
	check_identity(c);
	if (c->serve_port)
		check_served();
	carry(c, CLIENT, ACCEPTED);
	carry(c, ACCEPTED, CLIENT);
	carry(c, REUSED, REUSED_PEER);
	carry(c, REUSED_PEER, REUSED);
	carry(c, PAIR_A, PAIR_B);
	carry(c, PAIR_B, PAIR_A);
	carry(c, PIPE_OUT, PIPE_IN);
	check_file();
	check_listener();
}

/* No descriptor of this process, under whatever number, is a socket of the parent's sessions. */
void sessions_severed(void)
{
	DIR *dir = opendir("/proc/self/fd");

	for (struct dirent *e; dir && (e = readdir(dir)) != NULL;) {
		int fd = atoi(e->d_name), n = atomic_load(&scene->n_sockets);
		struct stat st;
		if (e->d_name[0] == '.' || fstat(fd, &st))
			continue;
		for (int i = 0; i < n; i++)
			if (st.st_dev == scene->socket[i].dev && st.st_ino == scene->socket[i].ino)
				die(BROKE, "descriptor %d is still a session of the parent", fd);
	}
	if (!dir)
		die(SETUP, "/proc/self/fd: %m");
	closedir(dir);
}

/*
 * What was written to a TCP connection, by whichever process: the kernel counts per socket, so a
 * byte the child writes shows in the parent. -1 where it cannot be told (unix sockets).
 */
long long bytes_written(int fd)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	memset(&info, 0, sizeof(info));
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len))
		return -1;
	return (long long)(info.tcpi_bytes_sent - info.tcpi_bytes_retrans) +
	       info.tcpi_notsent_bytes;
}
