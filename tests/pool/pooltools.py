# SPDX-License-Identifier: PostgreSQL
"""What the pool tests share: sessions as the server sees them, threads, children, C cases."""
import contextlib
import os
import select
import signal
import subprocess
import threading
import time
import traceback

from support import procs
from support.procs import wait_until

# What a busy machine may add to a bound, in seconds.
MARGIN = 2.0

CASE = os.path.join(os.path.dirname(procs.tine_path()), 'tests', 'pool', 'case')


def run_case(name, conninfo, seconds=60, **environment):
    """Run one case of the C program (case.c) in a process of its own; what it printed."""
    env = {**os.environ, 'TINE_CONNINFO': conninfo, **environment}
    done = subprocess.run([CASE, name], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout


# --- the server's view ---

def sessions(server, where='true', *params):
    """Backend pids of the user's sessions."""
    rows = server.admin_sql("select pid from pg_stat_activity where usename = 'app' and " + where,
                            params=params)
    return {row[0] for row in rows}


def is_gone(server, pid):
    return pid not in sessions(server)


def terminate(server, pid):
    """End a session and wait until it is gone."""
    server.admin_sql('select pg_terminate_backend(%s)', params=(pid,))
    wait_until(lambda: is_gone(server, pid), what='the end of a backend')


def wait_for_lock(server, pid):
    """Until a session waits for a lock."""
    wait_until(lambda: sessions(server, "pid = %s and wait_event_type = 'Lock'", pid),
               what='a session waiting for a lock')


def wait_for_query(server, text):
    """Until a statement of the user's that contains text runs: its backend's pid."""
    def running():
        return sessions(server, "state = 'active' and query like %s and pid <> pg_backend_pid()",
                        '%' + text + '%')
    return wait_until(running, what='the start of ' + text).pop()


# --- time ---

def grow_old(seconds=0.6):
    """Let idle connections become old enough to be looked at before they are handed out."""
    began = time.monotonic()
    wait_until(lambda: time.monotonic() - began >= seconds, seconds + 30)


class Timed:
    """The time a `with` block took, in .seconds."""

    def __enter__(self):
        self._began = time.monotonic()
        return self

    def __exit__(self, *exc):
        self.seconds = time.monotonic() - self._began


# --- threads and processes ---

class Thread(threading.Thread):
    """fn() in a thread; end() waits for it and gives its result, or raises what it raised."""

    def __init__(self, fn, *args):
        super().__init__(daemon=True)
        self._fn, self._args, self._result, self._raised = fn, args, None, None
        self.start()

    def run(self):
        try:
            self._result = self._fn(*self._args)
        except BaseException as err:  # it belongs to who calls end()
            self._raised = err

    def end(self, seconds=60):
        self.join(seconds)
        assert not self.is_alive(), 'a thread did not end within %s s' % seconds
        if self._raised:
            raise self._raised
        return self._result


class Child:
    """fn() in a forked child, which ends by _exit; end() fails when fn raised."""

    def __init__(self, fn, *args):
        self._pipe, theirs = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            self._run(fn, args, theirs)
        os.close(theirs)

    def _run(self, fn, args, pipe):
        try:
            os.close(self._pipe)
            fn(*args)
        except BaseException:  # told to the parent, which fails
            os.write(pipe, traceback.format_exc().encode()[-4000:])
        finally:
            os._exit(0)

    def end(self, seconds=60):
        said = b''
        deadline = time.monotonic() + seconds
        try:
            while True:
                left = deadline - time.monotonic()
                assert left > 0 and select.select([self._pipe], [], [], left)[0], \
                    'the child did not end within %s s' % seconds
                part = os.read(self._pipe, 4096)
                if not part:
                    break
                said += part
        finally:
            os.close(self._pipe)
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        assert not said, 'in the child:\n' + said.decode()


def in_child(fn, *args):
    Child(fn, *args).end()


@contextlib.contextmanager
def table(server, name, columns, rows=''):
    """A table of the user's for the length of a block."""
    server.admin_sql('create table %s (%s)' % (name, columns))
    try:
        server.admin_sql('grant all on %s to app' % name)
        if rows:
            server.admin_sql('insert into %s %s' % (name, rows))
        yield
    finally:
        server.admin_sql('drop table ' + name)
