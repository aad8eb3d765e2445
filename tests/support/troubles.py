# SPDX-License-Identifier: PostgreSQL
"""What happens to a service and its database, for the time of a `with` block or for a while.

Each trouble is a thread that does its thing at an interval until the block ends, and counts how
often it did; or a function that returns when it is over, and says when it began and ended.
"""
import contextlib
import os
import random
import signal
import time

import psycopg2

from .repeated import Repeated

# Of a server that is to be killed and to have what it acknowledged, which a Cluster does without.
DURABLE = {'synchronous_commit': 'on', 'full_page_writes': 'on'}

TERMINATE = ("with sessions as (select pid from pg_stat_activity where usename = 'app' and "
             "backend_type = 'client backend') "
             "select pid, pg_terminate_backend(pid) from (select pid from sessions where "
             "(select count(*) from sessions) > %s order by random() limit 1) one")


@contextlib.contextmanager
def terminated_backends(cluster, interval_s=0.1, spared=0):
    """One session of the service's, any of them, is ended at the server each interval, unless there
    are so few of them."""
    conn = psycopg2.connect(host=cluster.socket_dir, port=cluster.port, user='postgres',
                            dbname='app')
    conn.autocommit = True

    def act():
        with conn.cursor() as cursor:
            cursor.execute(TERMINATE, [spared])
            return cursor.fetchall()
    try:
        with Repeated(act, interval_s=interval_s) as repeated:
            yield repeated
    finally:
        conn.close()


def killed_workers(service, interval_s=1.0, kind='web'):
    """One worker, any of them, is killed each interval; for a `with` block."""
    def act():
        workers = service.workers(kind)
        if workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(random.choice(workers), signal.SIGKILL)
        return workers
    return Repeated(act, interval_s=interval_s)


class Window:
    """From when to when something was so; the end is now until it is over."""

    def __init__(self):
        self.began, self._ended = time.monotonic(), None

    @property
    def ended(self):
        return self._ended or time.monotonic()

    def close(self):
        self._ended = time.monotonic()

    def holds(self, began, ended, grace_s):
        """True when that span touches the window, or the time of recovery after it."""
        return ended >= self.began and began <= self.ended + grace_s


@contextlib.contextmanager
def _window():
    window = Window()
    try:
        yield window
    finally:
        window.close()


def restart(cluster, sig=signal.SIGINT):
    """The server stops and starts: fast shutdown by SIGINT, immediate by SIGQUIT. The window."""
    with _window() as window:
        cluster.restart(sig)
    return window


def away(cluster, seconds, meanwhile=None):
    """No server for so long; meanwhile() is called as soon as it is gone. The window."""
    with _window() as window, cluster.away():
        end = time.monotonic() + seconds
        if meanwhile:
            meanwhile()
        time.sleep(max(0.0, end - time.monotonic()))
    return window


def without_tls(cluster, seconds, meanwhile=None):
    """The server speaks no TLS for so long, and its sessions are ended. The window."""
    with _window() as window:
        cluster.reload(ssl='off')
        try:
            cluster.admin_sql("select pg_terminate_backend(pid) from pg_stat_activity "
                              "where usename = 'app'")
            end = time.monotonic() + seconds
            if meanwhile:
                meanwhile()
            time.sleep(max(0.0, end - time.monotonic()))
        finally:
            cluster.reload(ssl='on')
    return window
