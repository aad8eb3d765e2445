# SPDX-License-Identifier: PostgreSQL
"""One process with a PostgreSQL connection and every other kind of descriptor; its child says
which descriptors are no longer the same, and whether the others still work.

usage: descriptors.py    prints one JSON object
"""
import json
import os
import select
import socket
import ssl
import tempfile

import psycopg2

from verdict import CONFIG, Fork

def redis_command(sock, *words):
    """One command in Redis's protocol; the first line of the answer."""
    request = b''.join(b'$%d\r\n%s\r\n' % (len(word), word) for word in words)
    sock.sendall(b'*%d\r\n' % len(words) + request)
    return sock.recv(4096).decode().strip()


def http_status(sock):
    """A request on a connection that is kept alive; the first line of the answer."""
    sock.sendall(b'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
    return sock.recv(4096).decode().split('\r\n')[0]


def through(writer, reader):
    writer.sendall(b'sent')
    return reader.recv(10).decode()


def attempt(use):
    try:
        return use()
    except OSError as error:
        return type(error).__name__


def listening(family, address):
    sock = socket.socket(family)
    sock.bind(address)
    sock.listen()
    return sock


def accepted_pair(listener, family):
    client = socket.socket(family)
    client.connect(listener.getsockname())
    return client, listener.accept()[0]


class Descriptors:
    """Everything but PostgreSQL a server may hold at a fork."""

    def __init__(self):
        self.redis = socket.create_connection((CONFIG['redis_host'], CONFIG['redis_port']))
        redis_command(self.redis, b'AUTH', CONFIG['redis_password'].encode())
        self.http = socket.create_connection(('127.0.0.1', CONFIG['http_port']))
        self.https = self.https_client()
        self.tcp = listening(socket.AF_INET, ('127.0.0.1', 0))
        self.tcp_client, self.tcp_accepted = accepted_pair(self.tcp, socket.AF_INET)
        self.unix = listening(socket.AF_UNIX, '\0tine-peer-%d' % os.getpid())
        self.unix_client, self.unix_accepted = accepted_pair(self.unix, socket.AF_UNIX)
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.connect(('127.0.0.1', CONFIG['params']['port']))
        self.left, self.right = socket.socketpair()
        self.pipe = os.pipe()
        self.file = tempfile.TemporaryFile()
        self.epoll = select.epoll()
        self.epoll.register(self.tcp)
        self.unconnected = socket.socket()

    @staticmethod
    def https_client():
        """TLS without a word of cleartext first, as PostgreSQL 17 clients can do it too."""
        context = ssl.create_default_context(cafile=CONFIG['ca'])
        context.set_alpn_protocols(['http/1.1'])
        sock = socket.create_connection(('127.0.0.1', CONFIG['https_port']))
        return context.wrap_socket(sock, server_hostname='localhost')

    def works(self):
        """Use each that can be used; what came of it."""
        return {'redis': attempt(lambda: redis_command(self.redis, b'PING')),
                'http': attempt(lambda: http_status(self.http)),
                'https': attempt(lambda: http_status(self.https)),
                'tcp': attempt(lambda: through(self.tcp_client, self.tcp_accepted)),
                'unix': attempt(lambda: through(self.unix_client, self.unix_accepted)),
                'pair': attempt(lambda: through(self.left, self.right)),
                'pipe': attempt(self.through_pipe), 'file': attempt(self.through_file),
                'udp': attempt(lambda: self.udp.getpeername()[1])}

    def through_pipe(self):
        os.write(self.pipe[1], b'sent')
        return os.read(self.pipe[0], 10).decode()

    def through_file(self):
        os.write(self.file.fileno(), b'sent')
        return os.pread(self.file.fileno(), 10, 0).decode()


def table():
    """Every open descriptor and what it stands for."""
    found = {}
    for name in os.listdir('/proc/self/fd'):
        try:
            st = os.fstat(int(name))
        except OSError:
            continue  # the one that listed the directory
        found[int(name)] = [st.st_dev, st.st_ino]
    return found


def changed(before, after):
    return sorted(fd for fd in before.keys() | after.keys() if before.get(fd) != after.get(fd))


def main():
    conn = psycopg2.connect(CONFIG['conninfo'])
    others = Descriptors()
    duplicates = [os.dup(conn.fileno()), os.dup2(conn.fileno(), 900)]
    before = table()
    fork = Fork()
    if fork.pid == 0:
        after = table()
        # The pipe to the parent belongs to the fork itself.
        pipe = {fork._pipe.fileno()} | (before.keys() ^ after.keys())
        report = {'changed': [fd for fd in changed(before, after) if fd not in pipe]}
        report['works'] = others.works()
        fork.finish(report)
    result = {'postgres': sorted([conn.fileno(), *duplicates]), 'child': fork.report()}
    with conn.cursor() as cursor:
        cursor.execute('select 1')
        result['parent'] = cursor.fetchone()[0]
    print(json.dumps(result))


if __name__ == '__main__':
    main()
