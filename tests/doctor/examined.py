# SPDX-License-Identifier: PostgreSQL
"""`tine doctor CONNINFO` from a test, and servers to point it at."""
import contextlib
import json
import os
import socket
import subprocess
import threading
import time

from support.cluster import Cluster
from support.procs import tine_path

DOCTOR_SECONDS = 120
GRADES = ['ok', 'note', 'warning', 'hazard']


class Report:
    """What the doctor found. Attributes: status, json, text (standard error), seconds."""

    def __init__(self, done, seconds):
        self.status, self.text, self.seconds = done.returncode, done.stderr, seconds
        assert self.status in (0, 1), '%d: %s%s' % (self.status, done.stdout, self.text)
        self.json = json.loads(done.stdout)
        worst = max(GRADES.index(found['grade']) for found in self.json['findings'])
        assert self.status == (1 if worst > 1 else 0)
        assert self.json['grade'] == GRADES[worst]

    @property
    def facts(self):
        return self.json['database']

    def codes(self):
        return {found['code'] for found in self.json['findings']}

    def finding(self, code):
        """The one finding of a code."""
        found = [found for found in self.json['findings'] if found['code'] == code]
        assert len(found) == 1, (code, self.json['findings'])
        return found[0]

    def grade(self, code):
        return self.finding(code)['grade']


def run(*words, secrets=(), env=None, before=()):
    """tine doctor with these words, and others before the command; none of the secrets may show.
    (CompletedProcess, seconds)"""
    began = time.monotonic()
    base = {name: value for name, value in os.environ.items() if not name.startswith('PG')}
    done = subprocess.run([*before, tine_path(), 'doctor', *map(str, words)], capture_output=True,
                          text=True, timeout=DOCTOR_SECONDS, stdin=subprocess.DEVNULL,
                          env={**base, 'HOME': '/nonexistent', **(env or {})})
    for secret in secrets:
        assert secret not in done.stdout + done.stderr
    return done, time.monotonic() - began


def examine(conninfo, *options, **how):
    return Report(*run('--json', *options, conninfo, **how))


class Server(Cluster):
    """A server whose settings and pg_hba.conf can be changed while it runs."""

    def start(self):
        super().start()
        self._hba = self._read_hba()
        return self

    def examine(self, *options, transport='tls', **extra):
        return examine(self.conninfo(transport, **extra), *options, secrets=[self.password])

    @contextlib.contextmanager
    def set(self, **settings):
        """Settings for the time of a `with` block."""
        self.reload(**settings)
        try:
            yield
        finally:
            for name in settings:
                self.admin_sql('alter system reset %s' % name)
            self.reload()

    def _read_hba(self):
        with open(os.path.join(self.data, 'pg_hba.conf'), encoding='ascii') as file:
            return file.read()

    def _write_hba(self, text):
        # In place: the owner stays the server's.
        with open(os.path.join(self.data, 'pg_hba.conf'), 'w', encoding='ascii') as file:
            file.write(text)
        self.reload()

    @contextlib.contextmanager
    def access(self, *rules):
        """These rules come first in pg_hba.conf for the time of a `with` block."""
        self._write_hba(''.join(rule + '\n' for rule in rules) + self._hba)
        try:
            yield
        finally:
            self._write_hba(self._hba)


class Liar(threading.Thread):
    """A server of a test's own: serve(sock) is called for each client, in a thread."""

    host = '127.0.0.1'

    def __init__(self, serve):
        super().__init__(daemon=True)
        self._serve = serve
        self._listener = socket.create_server((self.host, 0))
        self._clients = []
        self.port = self._listener.getsockname()[1]

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for client in self._clients:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
            client.close()
        self.join(20)

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                self._clients.append(client)
                threading.Thread(target=self._one, args=(client,), daemon=True).start()

    def _one(self, client):
        # A client that leaves is no failure of this server's.
        with contextlib.suppress(OSError, ValueError):
            self._serve(client)

    def conninfo(self, **extra):
        params = {'host': self.host, 'port': self.port, 'user': 'app', 'dbname': 'app',
                  'sslmode': 'disable', **extra}
        return ' '.join("%s='%s'" % item for item in params.items())
