# SPDX-License-Identifier: PostgreSQL
"""Connections that go in other ways than by a word of the server's: cut, dropped in silence by the
network, with the server, with its role; and servers that are not there for a new one."""
import re
import time

import pytest

from libpq.programs import OPEN, Failed
from support import procs
from support.cluster import Cluster

ASKS = OPEN + """\
def timed(sql='select 1'):
    start = time.monotonic()
    try:
        ask(sql)
    except psycopg2.OperationalError as error:
        return time.monotonic() - start, str(error)
    return time.monotonic() - start, None
ask("set my.own = 'kept'")
time.sleep(0.02)
"""


@pytest.mark.parametrize('transport', ['tls', 'plain'])
@pytest.mark.parametrize('fault', ['fin', 'rst'])
def test_cut_while_idle(proxy, remote, transport, fault):
    python = remote(proxy.conninfo(transport))
    python(ASKS)
    for _ in range(3):
        before = python('ask()')
        getattr(proxy, fault)()
        procs.wait_until(lambda: python('import select\nbool(select.select([conn], [], [], 0)[0])'),
                         20, 'the end of the connection')
        time.sleep(0.02)
        assert python('ask()') != before
        assert python("ask('show my.own')") == 'kept'


@pytest.mark.parametrize('transport', ['tls', 'plain'])
def test_dropped_in_silence(proxy, remote, transport):
    """The next packet is answered by RST, as NAT gateways do: only a ping finds that out before a
    statement is on its way."""
    python = remote(proxy.conninfo(transport), '--ping-idle', '30ms')
    python(ASKS)
    for _ in range(3):
        before = python('ask()')
        proxy.drop_idle()
        time.sleep(0.1)
        assert python('ask()') != before
        assert python("ask('show my.own')") == 'kept'


def test_dropped_without_a_ping(proxy, remote):
    """What the test above shows is the ping's doing; and the second one is made good."""
    python = remote(proxy.conninfo('tls'))
    python(ASKS)
    proxy.drop_idle()
    time.sleep(0.1)
    with pytest.raises(Failed, match='OperationalError|DatabaseError'):
        python('ask()')


def test_a_ping_that_nobody_answers(proxy, remote):
    """Old connections are black holes, new ones work: 2 s for the ping, and the statement runs."""
    python = remote(proxy.conninfo('tls'), '--ping-idle', '30ms')
    python(ASKS)
    before = python('ask()')
    proxy.blackhole(old_only=True)
    time.sleep(0.1)
    seconds, error = python('timed()')
    assert error is None and 1.5 < seconds < 10
    assert python('ask()') != before


def test_no_server_for_a_new_one(proxy, remote):
    """It is lost then, as without tine; and libpq closes what is its own, and nothing else."""
    python = remote(proxy.conninfo('tls'))
    python(ASKS)
    numbers = python('sorted(os.listdir("/proc/self/fd"))')
    proxy.refuse()
    proxy.fin()
    time.sleep(0.1)
    _seconds, error = python('timed()')
    assert error and python('conn.closed') == 2
    python('others = [open("/dev/null") for _ in range(3)]\ndel conn, cursor')
    assert python('[os.fstat(other.fileno()).st_rdev == os.stat("/dev/null").st_rdev '
                  'for other in others]') == [True] * 3
    proxy.pass_all()
    python(ASKS + 'del others')
    assert python('ask()') and python('sorted(os.listdir("/proc/self/fd"))') == numbers


def test_a_new_one_that_is_not_answered(proxy, remote):
    """connect_timeout is the program's, and a statement is not kept for longer."""
    python = remote(proxy.conninfo('tls', connect_timeout=2))
    python(ASKS)
    proxy.mute_new()
    proxy.fin()
    time.sleep(0.1)
    seconds, error = python('timed()')
    assert error and 1.5 < seconds < 10


def test_an_event_loop_is_not_kept_for_long(proxy, remote):
    """What it sends waits 3 s for a server that does not answer, and the next ones not at all."""
    python = remote(proxy.conninfo('tls'))
    python("""\
import os, time
from psycopg import pq
conns = [pq.PGconn.connect(os.environ['CONNINFO'].encode()) for _ in range(4)]
def send(number):
    start = time.monotonic()
    try:
        conns[number].send_query(b'select 1')
    except Exception:
        pass
    return time.monotonic() - start
time.sleep(0.02)""")
    proxy.mute_new()
    proxy.fin()
    time.sleep(0.1)
    seconds = [python('send(%d)' % number) for number in range(4)]
    assert 2.5 < seconds[0] < 8 and max(seconds[1:]) < 1, seconds


def test_restart(remote):
    with Cluster() as server:
        python = remote(server.conninfo('tls'))
        python(ASKS)
        before = python('ask()')
        server.restart()
        assert python('ask()') != before
        assert python("ask('show my.own')") == 'kept'


def test_demoted(remote):
    """The first server begins to refuse writes: who asked for one that takes them is taken to the
    other."""
    with Cluster() as first, Cluster() as second:
        second.admin_sql("alter role app password '%s'" % first.password)
        python = remote(first.conninfo('tls', host='127.0.0.1,127.0.0.1',
                                       port='%d,%d' % (first.port, second.port),
                                       target_session_attrs='read-write'))
        python(ASKS.replace('ask("set', '# ("set'))
        assert python("ask('show port')") == str(first.port)
        first.admin_sql('alter system set default_transaction_read_only = on')
        first.admin_sql('select pg_reload_conf()')
        procs.wait_until(lambda: python("time.sleep(0.02)\nask('show port')") == str(second.port),
                         20, 'the other server')
        before = python('ask()')
        assert python('time.sleep(0.02)\nask()') == before


# ---- programs that do not wait ------------------------------------------------------------------

ASYNCIO = """\
import asyncio, os, psycopg
loop = asyncio.new_event_loop()
async def connect():
    return await psycopg.AsyncConnection.connect(os.environ['CONNINFO'], autocommit=True)
conn = loop.run_until_complete(connect())
async def ask_async():
    await asyncio.sleep(0.02)
    async with conn.cursor() as cursor:
        await cursor.execute('select pg_backend_pid()')
        return (await cursor.fetchone())[0]
def ask():
    return loop.run_until_complete(asyncio.wait_for(ask_async(), 20))
"""

READER = """\
import asyncio, os, psycopg2, psycopg2.extensions
loop = asyncio.new_event_loop()
conn = psycopg2.connect(os.environ['CONNINFO'], async_=1)
import psycopg2.extras
psycopg2.extras.wait_select(conn)
readable = asyncio.Event()
loop.add_reader(conn.fileno(), readable.set)
async def ask_async():
    await asyncio.sleep(0.02)
    cursor = conn.cursor()
    cursor.execute('select pg_backend_pid()')
    while (state := conn.poll()) != psycopg2.extensions.POLL_OK:
        if state == psycopg2.extensions.POLL_READ:
            readable.clear()
            await readable.wait()
    return cursor.fetchone()[0]
def ask():
    return loop.run_until_complete(asyncio.wait_for(ask_async(), 20))
"""


@pytest.mark.parametrize('transport', ['tls', 'plain', 'unix'])
@pytest.mark.parametrize('program', [ASYNCIO, READER], ids=['psycopg', 'reader'])
def test_asyncio(cluster, remote, transport, program):
    """psycopg 3, which tells the loop of its descriptor for each statement; and a psycopg2 program
    that does once for all."""
    python = remote(cluster.conninfo(transport))
    python(program)
    for _ in range(3):
        before = python('ask()')
        cluster.admin_sql('select pg_terminate_backend(%s, 20000)', params=[before])
        assert python('ask()') != before


# ---- what is said ------------------------------------------------------------------------------

def test_what_is_said(cluster, run_on):
    """One line for each kind after each fork; all of them with --verbose; none with --quiet."""
    program = """\
import os, psycopg2
conns = [psycopg2.connect(os.environ['CONNINFO']) for _ in range(3)]
if os.fork() == 0:
    for conn in conns:
        conn.cursor().execute('select 1')
    os._exit(0)
os.wait()
"""
    for options, lines in ([], 3), (['--strict'], 1), (['--quiet'], 0):
        runner = run_on(cluster.conninfo('tls'))
        seen = len(re.findall('opened anew: an inherited connection', runner.log()))
        runner(['/usr/bin/python3', '-c', program], options=options)
        said = len(re.findall('opened anew: an inherited connection', runner.log())) - seen
        assert said == lines
