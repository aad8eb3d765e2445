/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a fork severed, and the one line that says so. Plain data on the child's stack; no
 * allocation.
 */
#ifndef TINE_PRELOAD_REPORT_H
#define TINE_PRELOAD_REPORT_H

#include <sys/socket.h>

#include "base/line.h"

#define TINE_REPORT_PEERS 4

struct tine_report {
	unsigned severed;
	unsigned failed;
	int failed_errno; /* of the first failure */
	unsigned open;    /* in a transaction */
	unsigned busy;    /* in the middle of a request */
	unsigned hidden;  /* encrypted or never watched: the state cannot be seen */
	unsigned kept;    /* in the pool, severed too: no hazard that anybody has made */
	struct tine_report_peer {
		struct sockaddr_storage address;
		socklen_t length; /* 0 = not connected yet */
		unsigned count;
	} peers[TINE_REPORT_PEERS];
	unsigned more_peers; /* connections to further addresses */
};

/** Count one severed socket. @param word its entry in the table, 0 when unknown */
void tine_report_add(struct tine_report *report, const struct sockaddr_storage *peer,
		     socklen_t length, uint64_t word);

/** Count one socket that could not be severed. */
void tine_report_failed(struct tine_report *report, int error_number);

/** The line, e.g. "tine[4711] fork: parent 4710: severed 2 inherited PostgreSQL connections
 *  (127.0.0.1:5432 x2), 1 in a transaction". */
void tine_report_text(const struct tine_report *report, pid_t parent, struct tine_text *ret_text);

/** Start a line with "tine[pid] topic: ". */
void tine_report_begin(struct tine_text *ret_text, char *buf, size_t size_bytes, const char *topic);

#endif
