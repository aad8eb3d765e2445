# SPDX-License-Identifier: PostgreSQL
"""Running the program `soak` on a private server, with the server going away in between."""
import base64
import hashlib
import hmac
import os
import signal
import subprocess
import sys
import threading
import time

from support import procs
from support.cluster import Cluster

SOAK = os.path.join(os.path.dirname(procs.tine_path()), 'tests', 'soak', 'soak')

# More than all pools of all processes can open: who is refused is refused because of a leak.
MAX_CONNECTIONS = 320

# The runtimes of sanitizers keep memory back, and have locks that do not survive a fork while other
# threads run; so do without both.
SANITIZED = 'TINE_SANITIZER' in os.environ
FOR_SANITIZERS = ('--no-forks', '--growth-kib', 1000000) if SANITIZED else ()

# What the program adds to its seconds: the start of its pools, and the end of everything.
MARGIN_SECONDS = 90


def cheap_verifier(password):
    """A SCRAM verifier of one iteration: same protocol, so that connects do not cost the most."""
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac('sha256', password.encode(), salt, 1)
    stored = hashlib.sha256(hmac.digest(salted, b'Client Key', 'sha256')).digest()
    server = hmac.digest(salted, b'Server Key', 'sha256')
    return 'SCRAM-SHA-256$1:' + '$'.join((
        base64.b64encode(salt).decode(),
        ':'.join(base64.b64encode(key).decode() for key in (stored, server))))


class Server(Cluster):
    """A server for a soak."""

    def __init__(self):
        super().__init__(max_connections=MAX_CONNECTIONS, settings={'log_min_messages': 'panic'})

    def start(self):
        super().start()
        self.admin_sql('alter role app password %s', params=[cheap_verifier(self.password)])
        return self

    def admin_conninfo(self):
        return 'host=%s port=%d user=postgres dbname=app' % (self.socket_dir, self.port)


class Soak:
    """One run of the program: run() waits for its end. Its output is in text."""

    def __init__(self, server, transport, *options, tell=None, env=None):
        self._server = server
        self._command = [SOAK, '--conninfo', server.conninfo(transport),
                         '--admin', server.admin_conninfo(),
                         *map(str, FOR_SANITIZERS + options)]
        self._tell = tell or (lambda line: None)
        self._env = {name: value for name, value in {**os.environ, **(env or {})}.items()
                     if not name.startswith('PG') and '://' not in value}
        self._lines = []
        self._process = None

    @property
    def text(self):
        return ''.join(self._lines)

    def run(self, seconds, restarts=()):
        """Run for so long; restarts: when the server is restarted, in seconds.

        @return the exit status."""
        began = time.monotonic()
        guard = self._start(seconds)
        reader = threading.Thread(target=self._read)
        try:
            reader.start()
            for moment in restarts:
                self._wait_until(began + moment)
                self._restart()
            return self._process.wait(seconds + MARGIN_SECONDS)
        except subprocess.TimeoutExpired:
            raise AssertionError('the soak does not end:\n' + self.text) from None
        finally:
            self._kill()
            reader.join()
            guard.disarm()

    def _start(self, seconds):
        with procs.signals_later():
            # A group of its own, which is killed as a whole.
            self._process = subprocess.Popen(
                [*self._command, '--seconds', str(seconds)], env=self._env, bufsize=0,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                start_new_session=True)
            return procs.Guard('kill -s KILL -- "-$1"', self._process.pid)

    def _read(self):
        for line in self._process.stdout:
            line = line.decode('utf-8', 'replace')
            self._lines.append(line)
            self._tell(line)

    def _ended(self):
        return self._process.poll() is not None

    def _wait_until(self, moment):
        procs.wait_until(lambda: self._ended() or time.monotonic() >= moment, 1e6, 'the moment')

    def _order(self, word):
        try:
            self._process.stdin.write(word.encode() + b'\n')
        except BrokenPipeError:
            pass

    def _restart(self):
        noted = self.text.count('noted')
        self._order('begin')
        procs.wait_until(lambda: self._ended() or self.text.count('noted') > noted, 60,
                         'the note that the server goes away')
        if not self._ended():
            self._server.restart()
            self._order('end')

    def _kill(self):
        with procs.signals_later():
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self._process.wait()
            self._process.stdin.close()


def play(server, transport, seconds, options=(), restarts=()):
    """Run and show what it says as it comes; its exit status."""
    def tell(line):
        if line != 'noted\n':
            sys.stdout.write('  ' + line)
            sys.stdout.flush()
    print('%s, %d s' % (transport, seconds), flush=True)
    return Soak(server, transport, *options, tell=tell).run(seconds, restarts)
