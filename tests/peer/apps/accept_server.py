# SPDX-License-Identifier: PostgreSQL
"""A server that looks like PostgreSQL from outside: it accepts, and forked children answer.

usage: accept_server.py MODE FAMILY ADDRESS    FAMILY: inet, inet6 (ADDRESS a port) or unix (a path)

MODE each     a child for each client, which answers on the accepted socket
     nested   that child closes the listening socket, and a child of its own answers
     late     two clients are accepted first, then one child answers both

It answers a line with the same line. It also holds a real connection to PostgreSQL, which is the
one thing that its children must not share: the answer says what they find.
"""
import json
import os
import signal
import socket
import sys

import psycopg2

with open(os.environ['APP_CONFIG'], encoding='utf-8') as config_file:
    conn = psycopg2.connect(json.load(config_file)['conninfo'])


def listen(family, address):
    if family == 'unix':
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(address)
    else:
        sock = socket.socket(socket.AF_INET6 if family == 'inet6' else socket.AF_INET)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(('::1' if family == 'inet6' else '127.0.0.1', int(address)))
    sock.listen()
    return sock


backend = conn.info.backend_pid


def database():
    """What becomes of the inherited connection when it is used."""
    try:
        with conn.cursor() as cursor:
            cursor.execute('select pg_backend_pid()')
            return 'shared' if cursor.fetchone()[0] == backend else 'revived'
    except psycopg2.Error:
        return 'severed'


def answer(clients):
    for client in clients:
        with client, client.makefile('rw') as lines:
            line = lines.readline()
            lines.write(database() + ' ' + line)
            lines.flush()


def in_child(work, clients):
    if os.fork() == 0:
        try:
            work(clients)
        finally:
            os._exit(0)
    for client in clients:
        client.close()


def nested(listener, clients):
    listener.close()
    in_child(answer, clients)


def main():
    mode, family, address = sys.argv[1:]
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listener = listen(family, address)
    print('listening', flush=True)
    while True:
        clients = [listener.accept()[0] for _ in range(2 if mode == 'late' else 1)]
        in_child((lambda c: nested(listener, c)) if mode == 'nested' else answer, clients)


if __name__ == '__main__':
    main()
