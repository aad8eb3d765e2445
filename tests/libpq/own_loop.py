# SPDX-License-Identifier: PostgreSQL
"""Connections in steps, through a relay that the program serves itself, in the same loop: what
waits for the server anywhere else waits in vain. CONNINFO says where the server is (host, port);
prints how many sessions were used."""
import os
import select
import socket
import time

import psycopg2
from psycopg2 import extensions

LIMIT_SECONDS = 8       # less than what is waited for an answer
ROUNDS = 6


class Relay:
    """Hands bytes on, when it is its turn."""

    def __init__(self, address):
        self._address = address
        self._listener = socket.create_server(('127.0.0.1', 0))
        self.port = self._listener.getsockname()[1]
        self._other = {}

    def sockets(self):
        return [self._listener, *self._other]

    def turn(self, sock):
        if sock is self._listener:
            client, server = sock.accept()[0], socket.create_connection(self._address)
            self._other.update({client: server, server: client})
        elif sock in self._other:
            data = sock.recv(65536)
            if data:
                self._other[sock].sendall(data)
            else:
                self.end(sock)

    def end(self, sock):
        other = self._other.pop(sock)
        del self._other[other]
        sock.close()
        other.close()


def wait(conn, relay):
    """Until what is under way on the connection is over."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while True:
        state = conn.poll()
        if state == extensions.POLL_OK:
            return
        reads, writes = relay.sockets(), []
        (reads if state == extensions.POLL_READ else writes).append(conn.fileno())
        left = deadline - time.monotonic()
        assert left > 0, 'no end within %d s' % LIMIT_SECONDS
        for ready in select.select(reads, writes, [], left)[0]:
            if ready in relay.sockets():
                relay.turn(ready)


def use(relay):
    start = time.monotonic()
    conn = psycopg2.connect(os.environ['CONNINFO'] + ' port=%d' % relay.port, async_=True)
    wait(conn, relay)
    cursor = conn.cursor()
    cursor.execute('select pg_backend_pid()')
    wait(conn, relay)
    pid, = cursor.fetchone()
    conn.close()
    assert time.monotonic() - start < LIMIT_SECONDS, 'something else has waited'
    return pid


def main():
    words = extensions.parse_dsn(os.environ['CONNINFO'])
    relay = Relay((words['host'], int(words['port'])))
    print(len({use(relay) for _ in range(ROUNDS)}))


main()
