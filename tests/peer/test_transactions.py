# SPDX-License-Identifier: PostgreSQL
"""The line about a fork says whether a connection was in a transaction, encrypted or not, whether
the guard reads it off the bytes or the level above follows it."""
import re
import subprocess

import pytest

PROGRAM = '''
import os, select, sys
import psycopg2

dsn, states = sys.argv[1], sys.argv[2:]
kept = []
for state in states:
    connection = psycopg2.connect(dsn)
    cursor = connection.cursor()
    if state == 'idle':
        cursor.execute("select repeat('x', 100000)")
        connection.rollback()
    elif state == 'open':
        cursor.execute("select repeat('x', 100000)")
    elif state == 'aborted':
        try:
            cursor.execute('select 1/0')
        except psycopg2.DatabaseError:
            pass
    elif state == 'busy':
        connection.close()
        connection = psycopg2.connect(dsn, async_=True)
        while (poll := connection.poll()) != psycopg2.extensions.POLL_OK:
            reads = poll == psycopg2.extensions.POLL_READ
            select.select([connection] * reads, [connection] * (not reads), [])
        cursor = connection.cursor()
        cursor.execute('select pg_sleep(60)')
    kept.append((connection, cursor))
child = os.fork()
if child == 0:
    os._exit(0)
os.waitpid(child, 0)
os._exit(0)
'''


def line(cluster, tine, transport, *states, options=()):
    """What tine said about the fork of a program with a connection in each state."""
    program = ['/usr/bin/python3', '-c', PROGRAM, cluster.conninfo(transport), *states]
    words = [*tine(*options), *program]
    result = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert result.stderr.count('\n') == 1, result.stderr
    return result.stderr


@pytest.mark.parametrize('options', [(), ('--no-revive',), ('--pool', '4')], ids=' '.join)
@pytest.mark.parametrize('transport', ['tls13', 'tls12', 'plain', 'unix'])
def test_states(cluster, tine, transport, options):
    said = line(cluster, tine, transport, 'idle', options=options)
    assert 'severed 1 inherited PostgreSQL connection (' in said
    assert 'none in a transaction' in said
    said = line(cluster, tine, transport, 'idle', 'open', 'aborted', 'busy', options=options)
    assert 'severed 4 inherited PostgreSQL connections (' in said
    assert ', 2 in a transaction, 1 in the middle of a request' in said
    assert 'not visible' not in said


def test_the_line_is_whole(cluster, tine):
    said = line(cluster, tine, 'tls13', 'open', 'open')
    assert re.fullmatch(r'tine\[\d+\] fork: parent \d+: severed 2 inherited PostgreSQL connections '
                        r'\(127\.0\.0\.1:%d x2\), 2 in a transaction\n' % cluster.port, said)
