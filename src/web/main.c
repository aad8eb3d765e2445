/* SPDX-License-Identifier: PostgreSQL */
/*
 * tine-web: reads the command line, listens, serves. tine(1) has already read the same options from
 * the same table, and prints the help.
 */
#include <arpa/inet.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/exit.h"
#include "base/option.h"
#include "base/text.h"
#include "web/server.h"
#include "web/web.h"

#define HOSTS_MAX 32
#define OWN_HOSTS 4

/* What a Host field may name, with memory of its own. */
struct hosts {
	const char *names[HOSTS_MAX + 1];
	int count;
	char listened_on[INET6_ADDRSTRLEN];
	char *more;
};

static int fail(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int fail(int status, const char *format, ...)
{
	char text[600], line[600];
	struct tine_text out;
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	tine_text_init(&out, line, sizeof(line));
	tine_text_add_foreign(&out, text, strlen(text));
	fprintf(stderr, "tine: web: %s\n", line);
	return status;
}

static int read_options(int argc, char **argv, struct tine_settings *settings, int *rest)
{
	char error[512];

	for (size_t i = 0; i < tine_options_count; i++)
		if ((tine_options[i].commands & TINE_COMMAND_WEB) && tine_options[i].initial)
			tine_option_set(&tine_options[i], settings, tine_options[i].initial,
					tine_options[i].name, error, sizeof(error));
	if (tine_option_environment(TINE_COMMAND_WEB, settings, error, sizeof(error)) < 0 ||
	    tine_option_arguments(TINE_COMMAND_WEB, argc, argv, settings, rest, error,
				  sizeof(error)) < 0)
		return fail(TINE_EXIT_USAGE, "%s", error);
	return TINE_EXIT_OK;
}

/* ---- hosts ---------------------------------------------------------------------------------- */

static bool add_host(struct hosts *hosts, const char *name)
{
	if (hosts->count == HOSTS_MAX)
		return false;
	hosts->names[hosts->count++] = name;
	return true;
}

/* @return false: they are too many, or there is no memory */
static bool allow(struct hosts *hosts, const struct tine_address *address, const char *more)
{
	char *rest, *name;

	add_host(hosts, "localhost");
	add_host(hosts, "127.0.0.1");
	add_host(hosts, "::1");
	if (!address->is_unix) {
		bool six = address->at.any.sa_family == AF_INET6;
		const void *bytes = six ? (const void *)&address->at.ip6.sin6_addr
					: (const void *)&address->at.ip4.sin_addr;

		inet_ntop(address->at.any.sa_family, bytes, hosts->listened_on,
			  sizeof(hosts->listened_on));
		add_host(hosts, hosts->listened_on);
	}
	if (!more)
		return true;
	hosts->more = strdup(more);
	for (name = hosts->more ? strtok_r(hosts->more, ", ", &rest) : NULL; name;
	     name = strtok_r(NULL, ", ", &rest))
		if (!add_host(hosts, name))
			return false;
	return hosts->more != NULL;
}

/* ---- serving -------------------------------------------------------------------------------- */

/* The signals that end it are waited for, also while it begins. */
static void take_signals(void)
{
	sigset_t signals;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
}

static int serve(tine_web *web, const struct tine_socket *listener, int doctor_s)
{
	struct tine_examiner *examiner = doctor_s ? tine_examiner_new(doctor_s) : NULL;
	char name[160];
	int rc;

	if (doctor_s && !examiner)
		return fail(TINE_EXIT_SYSTEM, "out of memory");
	if (examiner) {
		web->examine = tine_examiner_ask;
		web->examine_arg = examiner;
	}
	printf("%s\n", tine_socket_name(listener, name, sizeof(name)));
	if (fflush(stdout) != 0)
		fail(0, "cannot write to standard output; listening all the same");
	rc = tine_server_run(web, listener, examiner);
	tine_examiner_free(examiner);
	return rc < 0 ? fail(TINE_EXIT_SYSTEM, "%s", strerror(-rc)) : TINE_EXIT_OK;
}

static int listen_and_serve(tine_web *web, const struct tine_address *address,
			    const struct tine_settings *settings)
{
	struct tine_socket listener;
	char error[300];
	int status;

	if (tine_socket_open(address, &listener, error, sizeof(error)) < 0)
		return fail(TINE_EXIT_SYSTEM, "cannot listen on %s: %s", settings->listen, error);
	status = serve(web, &listener, settings->doctor_s);
	/* The daemon has closed the descriptor. */
	tine_socket_remove(&listener);
	return status;
}

static int read_address(const struct tine_settings *settings, struct tine_address *ret)
{
	char error[300];

	if (tine_address_read(settings->listen, ret, error, sizeof(error)) < 0)
		return fail(TINE_EXIT_USAGE, "%s", error);
	if (ret->is_unix || ret->is_loopback)
		return TINE_EXIT_OK;
	if (!settings->public)
		return fail(TINE_EXIT_USAGE,
			    "listen: %s can be reached from other machines, and whoever reaches it "
			    "sees everything; use 127.0.0.1 or unix:PATH behind a server that asks "
			    "who it is, or say --public",
			    settings->listen);
	fail(0, "warning: %s can be reached from other machines: no password, no TLS",
	     settings->listen);
	return TINE_EXIT_OK;
}

/* @param trees  names, with NULL behind
 * @return NULL, having said why */
static tine_web *make(const struct tine_address *address, const char *more_hosts,
		      const char *const *trees, int *ret_status)
{
	struct hosts hosts = { 0 };
	tine_web_config config = { 0 };
	tine_error error;
	tine_web *web = NULL;

	tine_web_config_init(&config);
	config.own = false;
	config.trees = *trees ? trees : NULL;
	config.hosts = hosts.names;
	if (allow(&hosts, address, more_hosts)) {
		web = tine_web_new(&config, &error);
		if (!web)
			*ret_status = fail(TINE_EXIT_SYSTEM, "%s", error.text);
	} else {
		*ret_status =
			fail(TINE_EXIT_USAGE, "host: more than %d names", HOSTS_MAX - OWN_HOSTS);
	}
	free(hosts.more);
	return web;
}

int main(int argc, char **argv)
{
	struct tine_settings settings = { 0 };
	struct tine_address address;
	tine_web *web;
	int rest = argc, status = read_options(argc, argv, &settings, &rest);

	if (status == TINE_EXIT_OK)
		status = read_address(&settings, &address);
	if (status != TINE_EXIT_OK)
		return status;
	take_signals();
	web = make(&address, settings.hosts, (const char *const *)argv + rest, &status);
	if (web)
		status = listen_and_serve(web, &address, &settings);
	tine_web_free(web);
	return status;
}
