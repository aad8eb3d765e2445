/* SPDX-License-Identifier: PostgreSQL */
#include "preload/report.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/un.h>

#include "fork/origin.h"
#include "preload/fdtable.h"

static void add_peer(struct tine_report *report, const struct sockaddr_storage *peer,
		     socklen_t length)
{
	for (size_t i = 0; i < TINE_REPORT_PEERS; i++) {
		struct tine_report_peer *known = &report->peers[i];

		if (!known->count) {
			known->address = *peer;
			known->length = length;
		}
		if (known->length == length && !memcmp(&known->address, peer, length)) {
			known->count++;
			return;
		}
	}
	report->more_peers++;
}

void tine_report_add(struct tine_report *report, const struct sockaddr_storage *peer,
		     socklen_t length, uint64_t word)
{
	uint64_t transaction = word & TINE_FD_TX_MASK;

	if (transaction == TINE_FD_TX_KEPT) {
		report->kept++;
		return;
	}
	report->severed++;
	report->open += transaction == TINE_FD_TX_OPEN;
	report->busy += transaction == TINE_FD_TX_BUSY;
	report->hidden += transaction == 0;
	add_peer(report, peer, length);
}

void tine_report_failed(struct tine_report *report, int error_number)
{
	if (!report->failed++)
		report->failed_errno = error_number;
}

static void add_unix(struct tine_text *text, const struct sockaddr_un *address, socklen_t length)
{
	size_t bytes = length - offsetof(struct sockaddr_un, sun_path);
	const char *path = address->sun_path;

	if (bytes && !*path) {
		tine_text_add(text, "@");
		path++;
		bytes--;
	}
	tine_text_add_foreign(text, path, strnlen(path, bytes));
}

static void add_address(struct tine_text *text, const struct tine_report_peer *peer)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&peer->address;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&peer->address;
	char host[INET6_ADDRSTRLEN];

	if (!peer->length) {
		tine_text_add(text, "connecting");
	} else if (peer->address.ss_family == AF_INET) {
		tine_text_add(text, inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host)));
		tine_text_add(text, ":");
		tine_text_add_number(text, ntohs(v4->sin_port));
	} else if (peer->address.ss_family == AF_INET6) {
		tine_text_add(text, "[");
		tine_text_add(text, inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host)));
		tine_text_add(text, "]:");
		tine_text_add_number(text, ntohs(v6->sin6_port));
	} else if (peer->address.ss_family == AF_UNIX) {
		add_unix(text, (const struct sockaddr_un *)&peer->address, peer->length);
	} else {
		tine_text_add(text, "address family ");
		tine_text_add_number(text, peer->address.ss_family);
	}
}

static void add_addresses(struct tine_text *text, const struct tine_report *report)
{
	for (size_t i = 0; i < TINE_REPORT_PEERS && report->peers[i].count; i++) {
		tine_text_add(text, i ? ", " : " (");
		add_address(text, &report->peers[i]);
		if (report->peers[i].count > 1) {
			tine_text_add(text, " x");
			tine_text_add_number(text, report->peers[i].count);
		}
	}
	if (report->more_peers) {
		tine_text_add(text, ", others x");
		tine_text_add_number(text, report->more_peers);
	}
	tine_text_add(text, ")");
}

static void add_count(struct tine_text *text, unsigned count, const char *what)
{
	if (!count)
		return;
	tine_text_add(text, ", ");
	tine_text_add_number(text, count);
	tine_text_add(text, what);
}

void tine_report_begin(struct tine_text *ret_text, char *buf, size_t size_bytes, const char *topic)
{
	tine_text_init(ret_text, buf, size_bytes);
	tine_text_add(ret_text, "tine[");
	tine_text_add_number(ret_text, (uint64_t)tine_origin.pid);
	tine_text_add(ret_text, "] ");
	tine_text_add(ret_text, topic);
	tine_text_add(ret_text, ": ");
}

void tine_report_text(const struct tine_report *report, pid_t parent, struct tine_text *ret_text)
{
	tine_text_add(ret_text, "parent ");
	tine_text_add_number(ret_text, (uint64_t)parent);
	tine_text_add(ret_text, ": severed ");
	tine_text_add_number(ret_text, report->severed);
	tine_text_add(ret_text, report->severed == 1 ? " inherited PostgreSQL connection"
						     : " inherited PostgreSQL connections");
	if (report->severed) {
		add_addresses(ret_text, report);
		add_count(ret_text, report->open, " in a transaction");
		add_count(ret_text, report->busy, " in the middle of a request");
		if (!report->open && !report->busy && !report->hidden)
			tine_text_add(ret_text, ", none in a transaction");
		add_count(ret_text, report->hidden, " whose transaction state is not visible");
	}
	add_count(ret_text, report->kept, " of the pool");
	if (report->failed) {
		add_count(ret_text, report->failed, " COULD NOT BE SEVERED and are shared: errno ");
		tine_text_add_number(ret_text, (uint64_t)report->failed_errno);
		if (report->failed_errno == EMFILE || report->failed_errno == ENFILE)
			tine_text_add(ret_text, " (no free file descriptor)");
	}
}
