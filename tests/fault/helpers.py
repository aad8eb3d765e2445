# SPDX-License-Identifier: PostgreSQL
"""What the fault tests share: threads that begin together, forked children, the age of a pool."""
import contextlib
import os
import select
import signal
import threading
import time
import traceback

from support.libtine import Pool
from support.procs import wait_until

# What a busy machine may add to a bound, in seconds.
MARGIN = 2.0

# A connection used within this time is handed out unseen, so tests of what is seen wait for it.
FRESH_SECONDS = 0.5


def pool_through(proxy, transport='tls', **options):
    """A pool of four at most whose connections go through the proxy."""
    return Pool(proxy.conninfo(transport), **{'pool_size': 4, 'max_overflow': 0, **options})


def fill(pool, count):
    """Have count connections open and idle; their backend pids, the last one returned last."""
    with contextlib.ExitStack() as stack:
        conns = [stack.enter_context(pool.acquire()) for _ in range(count)]
        pids = [conn.pg.backend_pid for conn in conns]
    # An ExitStack leaves in the reverse order.
    return pids[::-1]


def let_time_pass(seconds):
    """For what is defined by time alone: an idle time, a silence."""
    began = time.monotonic()
    wait_until(lambda: time.monotonic() - began >= seconds, seconds + 30)


def grow_old():
    """Wait until idle connections are looked at before they are handed out."""
    let_time_pass(FRESH_SECONDS + 0.1)


class Timed:
    """The time a `with` block took, in .seconds."""

    def __enter__(self):
        self._began = time.monotonic()
        return self

    def __exit__(self, *exc):
        self.seconds = time.monotonic() - self._began


class Thread(threading.Thread):
    """fn() in a thread; end() waits for it and gives its result, or raises what it raised."""

    def __init__(self, fn):
        super().__init__(daemon=True)
        self._fn, self._result, self._raised = fn, None, None
        self.seconds = None
        self.start()

    def run(self):
        with Timed() as timed:
            try:
                self._result = self._fn()
            except BaseException as err:  # it belongs to who calls end()
                self._raised = err
        self.seconds = timed.seconds

    def end(self, seconds=60):
        self.join(seconds)
        assert not self.is_alive(), 'a thread did not end within %s s' % seconds
        if self._raised:
            raise self._raised
        return self._result


def together(count, fn):
    """fn(number) in count threads that begin together: (results, seconds until the last)."""
    barrier = threading.Barrier(count + 1)

    def begin(number):
        barrier.wait(30)
        return fn(number)
    threads = [Thread(lambda number=number: begin(number)) for number in range(count)]
    barrier.wait(30)
    with Timed() as timed:
        results = [thread.end() for thread in threads]
    return results, timed.seconds


def _child(fn, pipe):
    try:
        fn()
    except BaseException:  # told to the parent, which fails
        os.write(pipe, traceback.format_exc().encode()[-4000:])


def in_child(fn, seconds=60):
    """fn() in a forked child that must end without an exception, by _exit."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(ours)
            _child(fn, theirs)
        finally:
            os._exit(0)
    os.close(theirs)
    try:
        assert select.select([ours], [], [], seconds)[0], 'the child did not end'
        said = os.read(ours, 4096).decode()
    finally:
        os.close(ours)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert not said, 'in the child:\n' + said


def activity(cluster, where, *params):
    """Rows (pid, state, query) of pg_stat_activity."""
    return cluster.admin_sql('select pid, state, query from pg_stat_activity where ' + where,
                             params=params)
