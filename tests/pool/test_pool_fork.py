# SPDX-License-Identifier: PostgreSQL
"""Forks as programs do them: what the child finds, and what the parent still has."""
import contextlib
import os
import signal

import pytest

from pooltools import Child, in_child, is_gone, sessions, table
from support.libpq import Connection, Exec, PgError, Transaction
from support.libtine import Error, Pool, Status
from support.procs import wait_until

TRANSPORTS = ['tls12', 'tls13', 'plain', 'unix']


@pytest.fixture(params=TRANSPORTS)
def pool(server, request):
    with Pool(server.conninfo(request.param), pool_size=3, max_overflow=0) as pool:
        yield pool


@pytest.fixture
def lots(server):
    with table(server, 'lots', 'id int'):
        yield


def backend(pool):
    with pool.acquire() as conn:
        return conn.pg.backend_pid


def descriptors():
    return len(os.listdir('/proc/self/fd'))


def test_f1_idle_connections(server, pool):
    """F1: the child opens its own; the parent's backends are the same, before, while and after."""
    with contextlib.ExitStack() as stack:
        conns = [stack.enter_context(pool.acquire()) for _ in range(3)]
        before = {conn.pg.backend_pid for conn in conns}
    forked = []
    pool.on('fork', lambda event: forked.append(event.count))

    def child():
        assert pool.status()['open'] == 0
        assert pool.query('select 1') == [('1',)]
        assert backend(pool) not in before
        assert forked == [3]
        stats = pool.status()
        assert (stats['open'], stats['opened'], stats['checkouts']) == (1, 1, 2)
        pool.free()
    in_child(child)
    in_child(lambda: os._exit(0))
    # the child's own session, and those of earlier tests, may be about to end
    wait_until(lambda: sessions(server) == before)
    assert backend(pool) in before
    assert (forked, pool.status()['opened']) == ([], 3)


def test_f1_both_at_the_same_time(server, pool):
    """F1: parent and child query side by side, each on its own connection."""
    assert pool.query('select 1') == [('1',)]
    children = [Child(lambda number=number: ask(pool, number)) for number in range(4)]
    ask(pool, 9)
    for child in children:
        child.end()
    assert pool.status()['opened'] == 1


def ask(pool, number):
    for i in range(50):
        nonce = number * 1000 + i
        assert pool.query('select %d' % nonce) == [(str(nonce),)]


def test_f1_generations(server, pool):
    """F1: children of children; neither descriptors nor connections add up."""
    def generation(depth, before):
        assert pool.query('select 1') == [('1',)]
        assert pool.status()['open'] == 1
        if before is not None:
            assert descriptors() <= before
        if depth:
            in_child(generation, depth - 1, descriptors() + 1)  # the pipe
    generation(4, None)
    before = descriptors()
    for _ in range(20):
        in_child(pool.query, 'select 1')
    assert descriptors() == before
    assert pool.status()['opened'] == 1


# ---- handles of the parent's ---------------------------------------------------------------------

def idle(_pg):
    return lambda pg: pg.value('select 17') == '17'


def transaction(pg):
    pg.query('begin')
    pg.query('insert into lots values (1)')

    def check(pg):
        pg.query('insert into lots values (2)')
        pg.query('commit')
        return pg.value('select count(*) from lots') == '2'
    return check


def cursor(pg):
    pg.query('begin')
    pg.query('declare c cursor for select generate_series(1, 1000)')
    pg.query('fetch 10 from c')

    def check(pg):
        return pg.value('fetch 1 from c') == '11' and pg.exec('commit').command == 'COMMIT'
    return check


def copy_in(pg):
    pg.exec('copy lots from stdin')
    pg.put_copy_data(b'1\n')

    def check(pg):
        pg.put_copy_data(b'2\n')
        pg.put_copy_end()
        done = pg.get_result()
        assert pg.get_result() is None
        return done.command == 'COPY 2'
    return check


def copy_out(pg):
    pg.exec('copy (select generate_series(1, 5000)) to stdout')
    pg.get_copy_data()

    def check(pg):
        rows = 1
        while pg.get_copy_data() is not None:
            rows += 1
        done = pg.get_result()
        assert pg.get_result() is None
        return (rows, done.command) == (5000, 'COPY 5000')
    return check


def pipeline(pg):
    pg.enter_pipeline()
    pg.send_query_params('insert into lots values (1)')
    pg.send_query_params('select 17')
    pg.flush()

    def check(pg):
        pg.pipeline_sync()
        results = [pg.get_result() for _ in range(5)]
        assert [result and result.status for result in results] == \
            [Exec.COMMAND_OK, None, Exec.TUPLES_OK, None, Exec.PIPELINE_SYNC]
        pg.exit_pipeline()
        return results[2].rows == [('17',)]
    return check


def unread(pg):
    pg.send_query('select generate_series(1, 5000)')

    def check(pg):
        rows = pg.get_result().rows
        assert pg.get_result() is None
        return len(rows) == 5000
    return check


STATES = [idle, transaction, cursor, copy_in, copy_out, pipeline, unread]


def use_it(pg):
    """What a program does that does not look: it must get an error, not the parent's data."""
    for statement in ('commit', 'select 4'):
        with pytest.raises(PgError):
            pg.query(statement)
    pg.consume_input()
    assert pg.status == Connection.BAD


def by_use(conn, pg, _pool):
    use_it(pg)
    assert conn.pg is None


def by_release(conn, _pg, pool):
    assert conn.release() == Status.E_FORKED
    assert conn.release() == Status.E_FORKED
    assert pool.query('select 1') == [('1',)]


def by_invalidate(conn, _pg, _pool):
    assert conn.invalidate() == Status.E_FORKED


def by_detach(conn, _pg, _pool):
    assert conn.detach() is None


def by_finish(_conn, pg, _pool):
    pg.finish()


def by_free(_conn, _pg, pool):
    pool.free()


def by_pool_first(conn, pg, pool):
    assert pool.query('select 1') == [('1',)]
    assert conn.pg is None
    conn.label('mine')
    pool.dispose('close')
    pool.resize(1, 0)
    assert conn.release() == Status.E_FORKED


ACTS = [by_use, by_release, by_invalidate, by_detach, by_finish, by_free, by_pool_first]


@pytest.mark.parametrize('state', STATES)
def test_f2_f3_f4_a_checked_out_connection(pool, lots, state):
    """F2, F3, F4: whatever the child does with the handle, the parent goes on where it was."""
    for act in ACTS:
        with pool.acquire() as conn:
            pg = conn.pg
            pid = pg.backend_pid
            check = state(pg)
            in_child(act, conn, pg, pool)
            assert check(pg), act.__name__
            assert pg.transaction_status == Transaction.IDLE
            pg.query('truncate lots')
            assert pg.backend_pid == pid
    assert pool.status()['opened'] == 1


def test_f4_a_child_cannot_commit(server, pool, lots):
    """F4: rows of the parent's transaction are there when the parent commits, and not before."""
    with pool.acquire() as conn:
        pg = conn.pg
        pg.query('begin')
        pg.query('insert into lots values (1)')
        in_child(lambda: pytest.raises(PgError, pg.query, 'commit'))
        assert server.admin_sql('select count(*) from lots') == [(0,)]
        pg.query('commit')
    assert server.admin_sql('select count(*) from lots') == [(1,)]


def test_f2_the_child_lives_longer(server, lots):
    """F2: the parent is killed in a transaction: its session ends although the child lives."""
    ready, told = os.pipe()

    def parent():
        pool = Pool(server.conninfo('tls'))
        conn = pool.acquire()
        conn.query('begin')
        conn.query('insert into lots values (1)')
        if os.fork() == 0:
            signal.pause()
        os.write(told, b'%d' % conn.pg.backend_pid)
        signal.pause()
    pid = os.fork()
    if pid == 0:
        os.setsid()
        try:
            parent()
        finally:
            os._exit(1)
    try:
        session = int(os.read(ready, 20))
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: is_gone(server, session), what="the end of the parent's session")
    finally:
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(ready)
        os.close(told)


def test_f9_exec_with_connections(server, pool):
    """F9: another program in the same process: the sockets are closed at exec, not at its end."""
    pid = os.fork()
    if pid == 0:
        try:
            held = pool.acquire()
            assert held.query('select 1') == [('1',)]
            assert pool.query('select 1') == [('1',)]
            os.execvp('sleep', ['sleep', '60'])
        finally:
            os._exit(1)
    try:
        wait_until(lambda: os.readlink('/proc/%d/exe' % pid).endswith('sleep'))
        wait_until(lambda: not sessions(server), what='the end of the sessions')
        assert os.waitpid(pid, os.WNOHANG) == (0, 0)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_a_paused_and_a_full_pool_are_empty_in_the_child(pool):
    """F1: limits and queues are those of a process."""
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(pool.acquire())
        with pytest.raises(Error) as caught:
            pool.acquire(20)
        assert caught.value.status == Status.E_TIMEOUT

        def child():
            conns = [pool.acquire() for _ in range(3)]
            assert len({conn.pg.backend_pid for conn in conns}) == 3
            pool.free()
        in_child(child)
