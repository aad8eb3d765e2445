# SPDX-License-Identifier: PostgreSQL
"""Child processes for the tests and the demo: ports, deadlines, groups that are always stopped.

Everything started here is stopped by stop(), by leaving its `with` block, at interpreter exit, and,
through a Guard, when this process dies in any other way (SIGTERM, SIGKILL, a crash).
"""

import atexit
import contextlib
import os
import random
import secrets
import signal
import socket
import subprocess
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# Ports where tine recognises PostgreSQL by number alone: a private server must not sit there, or
# a test could not tell which kind of recognition worked.
WELL_KNOWN_PORTS = {5432, 6432}

# Below the range the kernel gives to outgoing connections (32768 and up), so that a client's own
# port does not take ours between two starts of the same server.
PORT_RANGE = (20000, 32000)


def have_ipv6():
    """True when ::1 can be bound; containers are often without it."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as sock:
            sock.bind(('::1', 0))
        return True
    except OSError:
        return False


def _can_bind(family, address, port):
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        # As servers do: a port with old connections in TIME_WAIT is free all the same.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((address, port))
        except OSError:
            return False
    return True


def free_port():
    """A TCP port nobody listens on now, on 127.0.0.1 nor (where it exists) on ::1."""
    ipv6 = have_ipv6()
    for _ in range(1000):
        port = random.SystemRandom().randrange(*PORT_RANGE)
        if port in WELL_KNOWN_PORTS or not _can_bind(socket.AF_INET, '127.0.0.1', port):
            continue
        if not ipv6 or _can_bind(socket.AF_INET6, '::1', port):
            return port
    raise RuntimeError('no free port between %d and %d' % PORT_RANGE)


def port_open(port, host='127.0.0.1'):
    """True when something accepts connections there."""
    try:
        socket.create_connection((host, port), timeout=1).close()
        return True
    except OSError:
        return False


def wait_until(fn, timeout=30.0, what='the condition', interval=0.02):
    """Call fn until its result is true and return that; TimeoutError names what, and why not.

    An exception from fn counts as "not yet"; the last one is the cause of the TimeoutError.
    AssertionError is no "not yet": it goes through at once, so fn can say that waiting is vain.
    """
    deadline = time.monotonic() + timeout
    while True:
        cause = None
        try:
            result = fn()
            if result:
                return result
        except AssertionError:
            raise
        except Exception as err:  # whatever the poll meets is reported when time is up
            cause = err
        if time.monotonic() >= deadline:
            detail = '; last: %s: %s' % (type(cause).__name__, cause) if cause else ''
            raise TimeoutError('%s did not happen within %g s%s'
                               % (what, timeout, detail)) from cause
        time.sleep(interval)


def tine_path():
    """The built tine: build/tine of this repository, or of the build folder named by TINE_BUILD."""
    build = os.environ.get('TINE_BUILD') or os.path.join(ROOT, 'build')
    return os.path.join(os.path.abspath(build), 'tine')


def tine_command(*options):
    """The words to put before a command: [build/tine, 'run', options…, '--']."""
    return [tine_path(), 'run', *[str(option) for option in options], '--']


def group_members(pgid):
    """Pids of the living (not zombie) processes of a process group."""
    members = []
    for name in os.listdir('/proc'):
        if not name.isdigit():
            continue
        try:
            with open('/proc/%s/stat' % name, encoding='latin-1') as stat:
                # The name in parentheses may hold anything, so count from its end.
                state, _ppid, pgrp = stat.read().rpartition(')')[2].split()[:3]
        except (OSError, ValueError):
            continue
        if int(pgrp) == pgid and state not in 'ZX':
            members.append(int(name))
    return members


@contextlib.contextmanager
def signals_later():
    """SIGINT, SIGTERM and SIGHUP take effect only after the block: to start or put away things.

    Python raises KeyboardInterrupt between any two steps, also between the start of a child and
    the note that it exists. Handlers, not a signal mask: a child would inherit the mask.
    """
    caught = []
    saved = {}
    if threading.current_thread() is threading.main_thread():
        for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(sig) not in (signal.SIG_IGN, None):
                saved[sig] = signal.signal(sig, lambda number, _frame: caught.append(number))
    try:
        yield
    finally:
        for sig, handler in saved.items():
            signal.signal(sig, handler)
        if caught:
            os.kill(os.getpid(), caught[0])


class Guard:
    """A shell that acts when this process is gone without having said `done`.

    It waits on a pipe whose other end only this process (and children it forks) holds.
    """

    def __init__(self, action, *args):
        script = 'read -r answer; [ "$answer" = done ] && exit 0\n' + action
        self._shell = subprocess.Popen(
            ['/bin/sh', '-c', script, 'guard', *map(str, args)], stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, cwd='/',
            env={'PATH': '/usr/sbin:/usr/bin:/sbin:/bin'})

    def disarm(self):
        """Everything was put away in the ordinary manner: end the shell without its action."""
        try:
            self._shell.stdin.write(b'done\n')
            self._shell.stdin.close()
        except BrokenPipeError:
            pass
        self._shell.wait()


class Proc:
    """A command in a process group of its own, with its output (both streams) kept in a file.

        with Proc(['gunicorn', ...], env={'DATABASE_URL': url}) as p:
            p.wait_ready(lambda: port_open(port))
            ...
        print(p.text())

    env is added to this process's environment (a value of None removes a name); with
    clean_env=True it is the whole environment.
    """

    def __init__(self, args, env=None, cwd=None, clean_env=False):
        self.args = [os.fspath(arg) for arg in args]
        base = {} if clean_env else dict(os.environ)
        base.update(env or {})
        self.env = {name: value for name, value in base.items() if value is not None}
        self.cwd = cwd
        self.popen = None
        self._owner = None
        self._guard = None
        self._output = tempfile.TemporaryFile(prefix='tine-proc-')

    def __enter__(self):
        return self if self.popen else self.start()

    def __exit__(self, *exc):
        self.stop()

    @property
    def pid(self):
        return self.popen.pid

    def start(self):
        with signals_later():
            self._owner = os.getpid()
            self.popen = subprocess.Popen(
                self.args, env=self.env, cwd=self.cwd, stdin=subprocess.DEVNULL,
                stdout=self._output, stderr=subprocess.STDOUT, start_new_session=True)
            self._guard = Guard('kill -s KILL -- "-$1"', self.popen.pid)
            atexit.register(self.stop)
        return self

    def text(self):
        """All output so far."""
        size = os.fstat(self._output.fileno()).st_size
        return os.pread(self._output.fileno(), size, 0).decode('utf-8', 'replace')

    def wait_ready(self, ready, timeout=60.0):
        """Wait until ready() is true, or, given a string, until the output contains it."""
        def poll():
            done = self.popen.poll()
            if isinstance(ready, str) and ready in self.text():
                return True
            assert done is None, '%s ended with %s before it was ready:\n%s' % (
                self.args[0], done, self.text())
            return not isinstance(ready, str) and ready()
        try:
            return wait_until(poll, timeout, '%s being ready' % self.args[0])
        except TimeoutError as err:
            raise TimeoutError('%s; its output:\n%s' % (err, self.text())) from err

    def wait(self, timeout=60.0):
        """Wait for the command itself to end; its exit status (negative: killed by a signal)."""
        return self.popen.wait(timeout)

    def members(self):
        """Pids of the living processes of the group."""
        return group_members(self.popen.pid)

    def stop(self, sig=signal.SIGTERM, timeout=10.0):
        """Ask the leader to end, then kill what is left of the group. Safe to call again.

        sig=SIGKILL kills the whole group at once. Returns the leader's exit status.
        """
        if self.popen is None or os.getpid() != self._owner:
            return None
        if self._guard is not None:
            with signals_later():
                self._end_group(sig, timeout)
        return self.popen.returncode

    def _end_group(self, sig, timeout):
        if sig != signal.SIGKILL and self.popen.poll() is None:
            self.popen.send_signal(sig)
            try:
                self.popen.wait(timeout)
            except subprocess.TimeoutExpired:
                pass
        self._kill_group()
        self._guard.disarm()
        self._guard = None
        atexit.unregister(self.stop)

    def _kill_group(self):
        def gone():
            # Repeated, since a member may fork between the look and the signal.
            try:
                os.killpg(self.popen.pid, signal.SIGKILL)
            except ProcessLookupError:
                return True
            self.popen.poll()
            return not self.members()
        wait_until(gone, 20, 'the end of process group %d' % self.popen.pid)
        self.popen.wait()


class Redis:
    """A private redis-server: free port, random password, nothing written to disk."""

    def __init__(self):
        self.host = '127.0.0.1'
        self.port = None
        self.password = secrets.token_urlsafe(18)
        self._proc = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()

    @property
    def url(self):
        return 'redis://:%s@%s:%d/0' % (self.password, self.host, self.port)

    def start(self):
        for attempt in range(5):
            self.port = free_port()
            # The password is in the environment of the server alone, never on a command line.
            self._proc = Proc(
                ['/bin/sh', '-c', 'printf "%s\\n" "$CONF" | exec redis-server -'], cwd='/',
                env={'CONF': self._config()}).start()
            try:
                self._proc.wait_ready(self._ping, 30)
                return self
            except AssertionError:
                # Somebody else was faster to take the port: try another one.
                text = self._proc.text()
                self.stop()
                if attempt == 4 or 'in use' not in text:
                    raise

    def _config(self):
        return '\n'.join([
            'bind %s' % self.host, 'port %d' % self.port, 'requirepass %s' % self.password,
            'save ""', 'appendonly no', 'dir /', 'daemonize no'])

    def _ping(self):
        with socket.create_connection((self.host, self.port), timeout=5) as sock:
            sock.sendall(b'AUTH %s\r\nPING\r\n' % self.password.encode())
            received = b''
            while b'+PONG' not in received:
                chunk = sock.recv(256)
                assert chunk, 'redis-server closed the connection: %r' % received
                received += chunk
        return True

    def stop(self):
        if self._proc:
            self._proc.stop(signal.SIGKILL)
            self._proc = None
