# SPDX-License-Identifier: PostgreSQL
"""tine-web in a test: started on a port or a socket that is free, asked with plain sockets."""
import html.parser
import http.client
import json
import os
import socket
import time

from support import procs
from support.board import environment

POLICY = ("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
          "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__('localhost', timeout=60)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Web:
    """A running `tine web`.

        with Web(directory) as web:
            assert web.get('/health')[0] == 200
    """

    def __init__(self, directory, *words, listen='127.0.0.1:0', env=None):
        self._proc = procs.Proc(
            [procs.tine_path(), 'web', '--listen', listen, *words], clean_env=True,
            env={**environment(directory), **(env or {})})
        self.path = listen[len('unix:'):] if listen.startswith('unix:') else None

    def __enter__(self):
        self._proc.start()
        self._proc.wait_ready('unix:' if self.path else 'http://')
        return self

    def __exit__(self, *exc):
        self._proc.stop()

    @property
    def proc(self):
        return self._proc

    @property
    def pid(self):
        return self._proc.pid

    @property
    def url(self):
        return next(line for line in self._proc.text().splitlines() if line.startswith('http://'))

    @property
    def port(self):
        return int(self.url.rstrip('/').rpartition(':')[2])

    def connection(self):
        if self.path:
            return UnixConnection(self.path)
        return http.client.HTTPConnection('127.0.0.1', self.port, timeout=60)

    def socket(self):
        if not self.path:
            return socket.create_connection(('127.0.0.1', self.port), timeout=60)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(60)
        sock.connect(self.path)
        return sock

    def get(self, path, method='GET', headers=None, body=None):
        """(status, fields, body as text)"""
        connection = self.connection()
        connection.request(method, path, body=body, headers=headers or {})
        response = connection.getresponse()
        try:
            return response.status, response.headers, response.read().decode()
        finally:
            connection.close()

    def json(self, path='/json'):
        status, _, body = self.get(path)
        assert status == 200, body
        return json.loads(body)

    def raw(self, request):
        """What comes back to these bytes, until the server closes."""
        with self.socket() as sock:
            sock.sendall(request)
            sock.shutdown(socket.SHUT_WR)
            received = b''
            while chunk := sock.recv(65536):
                received += chunk
        return received

    def cpu_seconds(self):
        with open('/proc/%d/stat' % self.pid, encoding='latin-1') as stat:
            fields = stat.read().rpartition(')')[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')

    def connections(self):
        """How many it has accepted: its sockets but for the one that listens.

        Whatever else it has open comes and goes: boards, /proc, the pipe of an examination.
        """
        sockets = 0
        for fd in os.listdir('/proc/%d/fd' % self.pid):
            try:
                sockets += os.readlink('/proc/%d/fd/%s' % (self.pid, fd)).startswith('socket:')
            except FileNotFoundError:
                pass
        return sockets - 1

    def wait_json(self, condition, path='/json', timeout=60):
        """The first answer of which condition is true."""
        until = time.monotonic() + timeout
        while True:
            report = self.json(path)
            if condition(report):
                return report
            assert time.monotonic() < until, report
            time.sleep(0.1)


class Document(html.parser.HTMLParser):
    """Elements, and the rows of tables by their ids."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.tables, self._cell, self._table = [], {}, None, None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag == 'table':
            self._table = self.tables.setdefault(dict(attrs)['id'], [])
        elif tag == 'tr':
            self._table.append([])
        elif tag in ('td', 'th'):
            self._cell = []

    def handle_endtag(self, tag):
        if tag in ('td', 'th'):
            self._table[-1].append(''.join(self._cell))
            self._cell = None

    def handle_data(self, data):
        if self._cell is not None:
            self._cell.append(data)
