/* SPDX-License-Identifier: PostgreSQL */
/*
 * The way to one host, up to the point where a password would be sent: its addresses, TCP to each
 * of them, TLS, and how the server wants a login to be made.
 *
 * Locks: none. Fork: nothing to do.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "doctor/database.h"
#include "doctor/report.h"

/* ---- addresses ------------------------------------------------------------------------------ */

static bool is_loopback(const char *address)
{
	return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0;
}

static bool take_addresses(struct tine_examined *host, int count)
{
	host->endpoint_count = host->host->is_socket ? 1 : count;
	host->endpoints = calloc((size_t)host->endpoint_count, sizeof(host->endpoints[0]));
	if (!host->endpoints) {
		host->endpoint_count = 0;
		return false;
	}
	host->is_local = true;
	for (int i = 0; i < host->endpoint_count; i++) {
		host->endpoints[i].address =
			host->host->is_socket ? host->host->host : host->addresses[i];
		host->endpoints[i].fd = -1;
		if (!host->host->is_socket)
			host->is_local &= is_loopback(host->endpoints[i].address);
	}
	return true;
}

static bool resolve(struct tine_database *database, struct tine_examined *host)
{
	int64_t began_ns = tine_clock_ns(), us;
	tine_error error;
	int count =
		tine_session_resolve(host->host, database->timeout_ms, &host->addresses, &error);

	us = (tine_clock_ns() - began_ns) / TINE_NS_PER_US;
	json_object_set_new(host->facts, "resolve_ms", json_real((double)us / 1e3));
	if (count < 0) {
		tine_report_add(database->report, "name-unresolved", host->label,
				"%s, after %.1f ms", error.text, (double)us / 1e3);
		return false;
	}
	if (!take_addresses(host, count))
		return false;
	if (!host->host->is_socket)
		tine_grade_lookup(database, host, count, us);
	return true;
}

/* ---- TCP ------------------------------------------------------------------------------------ */

static void note_endpoint(struct tine_examined *host, const struct tine_endpoint *endpoint)
{
	json_t *list = json_object_get(host->facts, "addresses");
	json_t *entry = json_object();

	if (!list) {
		list = json_array();
		json_object_set_new(host->facts, "addresses", list);
	}
	json_object_set_new(entry, "address", tine_report_string(endpoint->address));
	json_object_set_new(entry, "connect_ms", json_real((double)endpoint->us / 1e3));
	if (endpoint->os_errno)
		json_object_set_new(entry, "problem",
				    tine_report_string(strerror(endpoint->os_errno)));
	json_array_append_new(list, entry);
}

static void grade_endpoint(struct tine_database *database, struct tine_examined *host,
			   const struct tine_endpoint *endpoint)
{
	if (!endpoint->os_errno)
		tine_report_add(database->report, "address-connected", host->label,
				"TCP: %s in %.1f ms", endpoint->address,
				(double)endpoint->us / 1e3);
	else
		tine_report_add(database->report,
				host->chosen ? "address-unreachable" : "host-unreachable",
				host->label, "%s: %s, after %.1f ms", endpoint->address,
				strerror(endpoint->os_errno), (double)endpoint->us / 1e3);
}

static bool connect_all(struct tine_database *database, struct tine_examined *host)
{
	tine_endpoints_connect(host->endpoints, host->endpoint_count, host->host->port,
			       host->host->is_socket, database->timeout_ms);
	for (int i = 0; i < host->endpoint_count; i++)
		if (!host->endpoints[i].os_errno && !host->chosen)
			host->chosen = &host->endpoints[i];
	for (int i = 0; i < host->endpoint_count; i++) {
		note_endpoint(host, &host->endpoints[i]);
		grade_endpoint(database, host, &host->endpoints[i]);
	}
	if (host->chosen && !host->host->is_socket)
		host->hostaddr = host->chosen->address;
	return host->chosen != NULL;
}

/* ---- TLS and the start of a login ----------------------------------------------------------- */

static bool is_mode(const struct tine_database *database, const char *sslmode)
{
	return strcmp(database->sslmode, sslmode) == 0;
}

/* The connection that was made first, or a new one. */
static struct tine_wire open_wire(struct tine_database *database, struct tine_examined *host)
{
	struct tine_endpoint again = *host->chosen;
	struct tine_wire wire = { .fd = again.fd };

	if (wire.fd < 0) {
		tine_endpoints_connect(&again, 1, host->host->port, host->host->is_socket,
				       database->timeout_ms);
		wire.fd = again.fd;
	}
	host->chosen->fd = -1;
	wire.until_ns = tine_clock_ns() + (int64_t)database->timeout_ms * TINE_NS_PER_MS;
	return wire;
}

static void greet(struct tine_database *database, struct tine_wire *wire,
		  struct tine_greeting *greeting)
{
	tine_wire_greet(wire, tine_dsn_value(&database->dsn, "user"),
			tine_dsn_value(&database->dsn, "dbname"), NULL, greeting);
	tine_dsn_hide(&database->dsn, greeting->message);
}

static void look_at_tls(struct tine_database *database, struct tine_examined *host)
{
	struct tine_wire wire = open_wire(database, host);

	if (wire.fd < 0)
		return;
	tine_tls_look(&wire, &database->dsn, host->host, &host->tls);
	if (host->tls.is_up) {
		greet(database, &wire, &host->greeting);
		host->is_greeting_encrypted = true;
	}
	tine_wire_close(&wire);
	json_object_set_new(host->facts, "tls", tine_tls_facts(&host->tls));
}

/* The names of user and database go over the network readably, so only where they do so anyway. */
static bool may_greet_in_clear_text(const struct tine_database *database,
				    const struct tine_examined *host)
{
	return host->is_local || is_mode(database, "disable") || is_mode(database, "allow") ||
	       is_mode(database, "prefer");
}

static void greet_in_clear_text(struct tine_database *database, struct tine_examined *host)
{
	struct tine_wire wire = open_wire(database, host);
	bool is_usual;

	if (wire.fd < 0)
		return;
	greet(database, &wire, &host->clear_text);
	tine_wire_close(&wire);
	is_usual = host->host->is_socket || is_mode(database, "disable") ||
		   (is_mode(database, "allow") && host->clear_text.kind == 'R') ||
		   (is_mode(database, "prefer") && !host->tls.is_up);
	if (is_usual) {
		host->greeting = host->clear_text;
		host->is_greeting_encrypted = false;
	}
}

/* What is there speaks PostgreSQL's protocol. A server before TLS, such as CockroachDB's oldest,
 * answers the question for it with an error. */
static bool is_postgres(const struct tine_examined *host)
{
	char answer = host->tls.answer;

	return host->host->is_socket || answer == 'S' || answer == 'N' || answer == 'E';
}

static bool is_answering(struct tine_database *database, struct tine_examined *host)
{
	const struct tine_greeting *said =
		host->host->is_socket ? &host->clear_text : &host->greeting;

	if (!is_postgres(host) && host->tls.answer) {
		tine_report_add(database->report, "not-postgres", host->label,
				"the answer to a question for TLS begins with byte 0x%02x",
				(unsigned char)host->tls.answer);
		return false;
	}
	if (!is_postgres(host) || (host->host->is_socket && !said->kind)) {
		tine_report_add(database->report, "no-answer", host->label, "%s",
				host->host->is_socket ? said->message : host->tls.problem);
		return false;
	}
	return true;
}

void tine_host_reach(struct tine_database *database, struct tine_examined *host)
{
	if (!resolve(database, host) || !connect_all(database, host))
		return;
	if (!host->host->is_socket)
		look_at_tls(database, host);
	if (host->host->is_socket || (is_postgres(host) && may_greet_in_clear_text(database, host)))
		greet_in_clear_text(database, host);
	tine_endpoints_close(host->endpoints, host->endpoint_count);
	if (!is_answering(database, host)) {
		host->chosen = NULL;
		return;
	}
	if (!host->host->is_socket)
		tine_grade_tls(database, host);
	tine_grade_authentication(database, host);
}

void tine_host_done(struct tine_examined *host)
{
	tine_session_close(host->session);
	if (host->endpoints)
		tine_endpoints_close(host->endpoints, host->endpoint_count);
	for (int i = 0; host->addresses && i < host->endpoint_count; i++)
		free(host->addresses[i]);
	free(host->addresses);
	free(host->endpoints);
}
