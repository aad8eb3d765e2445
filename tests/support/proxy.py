# SPDX-License-Identifier: PostgreSQL
"""The fault proxy (tests/fault/proxy.c) from Python.

    with Proxy(cluster) as proxy:
        conn = psycopg2.connect(proxy.conninfo('tls'))
        proxy.drop_idle()

The server is a Cluster, a pair (host, port) or the path of a unix socket. The proxy ends with the
`with` block, and by itself when this process is gone, since its standard input ends then. Any
thread may give commands; a forked child must not, and stop() does nothing there.
"""
import json
import os
import select
import subprocess
import threading
import time

from . import procs

ANSWER_SECONDS = 20


class ProxyError(Exception):
    """The proxy refused a command, or did not answer it in time."""


class Unsupported(ProxyError):
    """This kernel, or this user, cannot have that fault; the text says why."""


def proxy_path():
    """The built proxy, beside the tine that is tested."""
    return os.path.join(os.path.dirname(procs.tine_path()), 'tests', 'fault', 'proxy')


def _place(server):
    if isinstance(server, str):
        return server
    host, port = server if isinstance(server, tuple) else (server.host, server.port)
    return '%s:%d' % (host, port)


class Proxy:
    """One proxy. Attributes: host, port, pid. repair=False: never use TCP_REPAIR."""

    host = '127.0.0.1'

    def __init__(self, server, repair=True):
        self.server = server
        self.port = None
        self._args = [proxy_path(), *([] if repair else ['--no-repair']), _place(server)]
        self._popen = None
        self._owner = None
        self._unread = b''
        self._lock = threading.Lock()

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()

    @property
    def pid(self):
        return self._popen.pid

    def start(self):
        with procs.signals_later():
            self._owner = os.getpid()
            self._popen = subprocess.Popen(self._args, stdin=subprocess.PIPE,
                                           stdout=subprocess.PIPE, start_new_session=True)
        try:
            self.port = self._answer()['port']
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self):
        """End the proxy; its exit status. Safe to call again; in a forked child: nothing."""
        if self._popen is None or os.getpid() != self._owner:
            return None
        with procs.signals_later():
            self._popen.stdin.close()
            try:
                self._popen.wait(10)
            except subprocess.TimeoutExpired:
                self._popen.kill()
                self._popen.wait()
            self._popen.stdout.close()
        return self._popen.returncode

    def command(self, *words):
        """Give one command and return its answer; ProxyError when it was refused."""
        line = ' '.join(str(word) for word in words if word is not None)
        with self._lock:
            assert os.getpid() == self._owner, 'the proxy belongs to another process'
            os.write(self._popen.stdin.fileno(), line.encode() + b'\n')
            answer = self._answer()
        if not answer['ok']:
            kind = Unsupported if answer['error'].startswith('unsupported') else ProxyError
            raise kind('%s: %s' % (line, answer['error']))
        return answer

    def _answer(self):
        out = self._popen.stdout.fileno()
        deadline = time.monotonic() + ANSWER_SECONDS
        while b'\n' not in self._unread:
            if not select.select([out], [], [], max(0, deadline - time.monotonic()))[0]:
                raise ProxyError('no answer within %d s' % ANSWER_SECONDS)
            part = os.read(out, 65536)
            if not part:
                raise ProxyError('the proxy ended with %s' % self._popen.wait(10))
            self._unread += part
        line, self._unread = self._unread.split(b'\n', 1)
        return json.loads(line)

    # --- how to reach the server through it; for a Cluster ---

    def params(self, transport='tls', **extra):
        """Cluster.params() with the proxy's place."""
        return self.server.params(transport, **{'host': self.host, 'port': self.port, **extra})

    def conninfo(self, transport='tls', **extra):
        """Cluster.conninfo() with the proxy's place."""
        return self.server.conninfo(transport, **{'host': self.host, 'port': self.port, **extra})

    # --- modes: for connections to come and those there are; old_only: for the latter alone ---

    def pass_all(self):
        """No fault, no delay, nothing armed. Links that were accepted mute stay so."""
        return self.command('pass')

    def mute_new(self):
        """New connections are accepted and never answered."""
        return self.command('mute-new')

    def refuse(self):
        """New connections are refused, until another mode is set; the port stays the same."""
        return self.command('refuse')

    def blackhole(self, old_only=False):
        """Nothing is passed on; TCP still acknowledges what it has room for."""
        return self.command('blackhole', 'old' if old_only else None)

    def oneway(self, old_only=False):
        """Queries arrive, answers do not."""
        return self.command('oneway', 'old' if old_only else None)

    def vanish(self, old_only=False):
        """Packets of clients are lost, SYN too: nothing is acknowledged."""
        return self.command('vanish', 'old' if old_only else None)

    def latency(self, each_way_ms):
        return self.command('latency', each_way_ms)

    def connect_delay(self, delay_ms):
        """The first bytes of each new connection take so much longer."""
        return self.command('connect-delay', delay_ms)

    # --- what happens at once, to one link or to all ---

    def drop_idle(self, link=None):
        """The client hears nothing and its next packet is answered by RST."""
        return self.command('drop-idle', link)

    def rst(self, link=None):
        return self.command('rst', link)

    def fin(self, link=None):
        """Closed without a close_notify."""
        return self.command('fin', link)

    # --- what happens once, at the next occasion, to one link or to the first that has one ---

    def cut_record(self, after_bytes, link=None):
        """The server's next record ends after so many bytes, and the connection with it."""
        return self.command('cut-record', after_bytes, link)

    def corrupt(self, offset=0, link=None):
        """One bit at that offset in the body of the server's next application record is wrong."""
        return self.command('corrupt', offset, link)

    def rst_after_bytes(self, count, link=None):
        """RST once the server has sent so many bytes from now on, in the midst of a result."""
        return self.command('rst-after-bytes', count, link)

    # --- what was seen ---

    def count(self, window_ms=None):
        """Totals, the most connects within a window, and `links`: the bytes of each."""
        return self.command('count', window_ms)

    def stat(self):
        """Totals and settings."""
        return self.command('stat')

    def reset_stat(self):
        """Forget closed links and count from zero."""
        return self.command('reset-stat')

    def open_links(self):
        """Numbers of the links whose client is connected, oldest first."""
        return [link['link'] for link in self.count()['links'] if link['open']]

    def record(self, path):
        """Note every chunk in a file, for read_record()."""
        return self.command('record', path)

    def record_off(self):
        return self.command('record')

    def read_record(self, path):
        """The chunks recorded up to now: dictionaries with t_us, link, from, bytes, records."""
        self.stat()
        with open(path, encoding='ascii') as file:
            return [json.loads(line) for line in file]
