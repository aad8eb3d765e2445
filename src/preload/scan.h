/* SPDX-License-Identifier: PostgreSQL */
/*
 * In a forked child: find every inherited PostgreSQL socket and sever it.
 *
 * Two passes. First the entries that the hooks left in the table, each checked against the
 * descriptor's inode. Then, since a driver loaded with RTLD_DEEPBIND or one that makes its own
 * system calls is never seen by the hooks, every number of which nothing is known is asked for its
 * peer's address.
 *
 * What the hooks saw being made and never saw connect, or saw speak another protocol, is not asked:
 * with 1,000 open sockets asking costs 5 % of the fork of a 256 MiB process, not asking nothing.
 *
 * Runs in the child only, single-threaded, async-signal-safe; static buffers are used for that
 * reason.
 */
#ifndef TINE_PRELOAD_SCAN_H
#define TINE_PRELOAD_SCAN_H

#include "preload/report.h"

/** Sever all; what was done is added to report. */
void tine_scan_sever(struct tine_report *report);

/** Sever one descriptor that is known to be an ancestor's PostgreSQL connection. */
void tine_scan_sever_one(int fd, struct tine_report *report);

#endif
