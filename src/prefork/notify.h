/* SPDX-License-Identifier: PostgreSQL */
/*
 * Telling the service manager (sd_notify(3)): one datagram to the socket in NOTIFY_SOCKET. Without
 * that variable nothing happens, and failures are silent: a service is not worse off for them.
 *
 * Locks: none. Fork: the master alone calls it; systemd asks for the main process.
 */
#ifndef TINE_PREFORK_NOTIFY_H
#define TINE_PREFORK_NOTIFY_H

#include <stdint.h>

/** Send lines such as "READY=1\nSTATUS=4 workers". */
void tine_notify(const char *lines);

/** How often the manager wants a sign of life (WATCHDOG_USEC, WATCHDOG_PID), halved.
 *  @return nanoseconds; 0 = not at all */
int64_t tine_notify_watchdog_ns(void);

#endif
