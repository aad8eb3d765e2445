/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a fork costs a process with much memory and many open sockets: prints the microseconds of
 * each fork, from the call until the child, which exits at once, has been waited for. Usage:
 * fork_cost MEBIBYTES SOCKETS FORKS
 */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static double now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void allow_descriptors(rlim_t wanted)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		die("getrlimit");
	if (limit.rlim_cur >= wanted)
		return;
	limit.rlim_cur = wanted;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		die("setrlimit");
}

/* Connections to ourselves: half of the sockets connect, half are accepted. */
static void open_sockets(int count)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(listener, 128) < 0 ||
	    getsockname(listener, (struct sockaddr *)&address, &length) < 0)
		die("listen");
	for (int i = 0; i < count / 2; i++) {
		int client = socket(AF_INET, SOCK_STREAM, 0);

		if (connect(client, (struct sockaddr *)&address, length) < 0 ||
		    accept(listener, NULL, NULL) < 0)
			die("connect");
		/* as any client does; the guard knows by it that this is not PostgreSQL */
		if (send(client, "PING\r\n", 6, 0) != 6)
			die("send");
	}
}

int main(int argc, char **argv)
{
	size_t bytes;
	int sockets, forks;

	if (argc != 4)
		return fputs("usage: fork_cost MEBIBYTES SOCKETS FORKS\n", stderr), 100;
	bytes = (size_t)atol(argv[1]) << 20;
	sockets = atoi(argv[2]);
	forks = atoi(argv[3]);
	allow_descriptors((rlim_t)sockets + 64);
	open_sockets(sockets);
	memset(malloc(bytes), 1, bytes);
	for (int i = 0; i < forks; i++) {
		double start = now_us();
		pid_t pid = fork();

		if (pid == 0)
			_exit(0);
		if (pid < 0 || waitpid(pid, NULL, 0) != pid)
			die("fork");
		printf("%.1f\n", now_us() - start);
	}
	return 0;
}
