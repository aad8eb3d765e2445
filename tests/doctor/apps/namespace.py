# SPDX-License-Identifier: PostgreSQL
"""In a network namespace of its own: a listener, connections to it, and children that hold them.

    namespace.py FAMILY...      of 4, 6, mapped (IPv4 by a socket of IPv6)

It speaks no protocol: that is not what the doctor looks at. The port is PostgreSQL's. Prints one
line of JSON when the scene is set, and waits for ever.
"""
import json
import os
import signal
import socket
import subprocess
import sys
import time

PORT = 5432


def connect(family):
    if family == '4':
        server = socket.create_server(('127.0.0.1', PORT))
        return server, socket.create_connection(('127.0.0.1', PORT))
    server = socket.create_server(('::1', PORT), family=socket.AF_INET6) if family == '6' else \
        socket.create_server(('127.0.0.2', PORT))
    client = socket.socket(socket.AF_INET6)
    client.connect(('::1' if family == '6' else '::ffff:127.0.0.2', PORT))
    return server, client


def let_ticks_pass(number=10):
    """So that the start of a child can be told from that of the connection."""
    per_second = os.sysconf('SC_CLK_TCK')
    until = time.clock_gettime(time.CLOCK_BOOTTIME) * per_second + number
    while time.clock_gettime(time.CLOCK_BOOTTIME) * per_second < until:
        time.sleep(0.005)


def main():
    subprocess.run(['ip', 'link', 'set', 'lo', 'up'], check=True)
    pairs = [connect(family) for family in sys.argv[1:]]
    accepted = [server.accept() for server, _ in pairs]
    let_ticks_pass()
    children = []
    for _ in range(2):
        pid = os.fork()
        if pid == 0:
            for connection, _ in accepted:
                connection.close()
            while True:
                signal.pause()
        children.append(pid)
    print(json.dumps({'opener': os.getpid(), 'children': children,
                      'fds': [client.fileno() for _, client in pairs],
                      'netns': os.stat('/proc/self/ns/net').st_ino}), flush=True)
    while True:
        signal.pause()


main()
