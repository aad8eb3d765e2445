# SPDX-License-Identifier: PostgreSQL
"""tine_transact() against real conflicts: what is tried again, what is not, and how often."""
import os
import threading
import time

import psycopg2
import pytest

from pooltools import MARGIN, Thread, Timed, in_child, table, terminate, wait_for_query
from support import procs
from support.libpq import PgError
from support.libtine import Error, Pool, Status
from support.procs import wait_until

# The deadlock's victim is who looks first; the other side of these tests looks much later.
SERVER = {'settings': {'deadlock_timeout': '100ms'}}

QUICK = {'backoff_first_ms': 10, 'backoff_max_ms': 40}


@pytest.fixture
def pool(server):
    with Pool(server.conninfo('tls'), pool_size=2, max_overflow=0) as pool:
        yield pool


@pytest.fixture(autouse=True)
def accounts(server):
    with table(server, 'accounts', 'id int primary key, balance int',
               'values (1, 100), (2, 100)'):
        yield


@pytest.fixture
def rival(server):
    """Another session, of the superuser's."""
    conn = psycopg2.connect(host=server.socket_dir, port=server.port, user='postgres', dbname='app')
    with conn.cursor() as cursor:
        cursor.execute("set deadlock_timeout = '1h'")
        conn.commit()
        yield cursor
    conn.close()


def balances(server):
    return [row[0] for row in server.admin_sql('select balance from accounts order by id')]


class Work:
    """A function for transact() that counts its calls; attempt(pg, number) is what it does."""

    def __init__(self, attempt):
        self.attempt, self.calls, self.times = attempt, 0, []

    def __call__(self, pg):
        self.calls += 1
        self.times.append(time.monotonic())
        return self.attempt(pg, self.calls)


def transfer(pg, _number):
    pg.query('update accounts set balance = balance - 10 where id = 1')
    pg.query('update accounts set balance = balance + 10 where id = 2')


def fails(status, pool, work, **options):
    with pytest.raises(Error) as caught:
        pool.transact(work, **{**QUICK, **options})
    assert caught.value.status == status, caught.value
    return caught.value


# ---- tried again ---------------------------------------------------------------------------------

def test_committed_at_once(server, pool):
    work = Work(transfer)
    pool.transact(work)
    assert (work.calls, balances(server)) == (1, [90, 110])
    assert pool.status()['busy'] == 0


def conflict(rival):
    """Reads a row that the rival then changes, the first time, and writes it."""
    def attempt(pg, number):
        balance = int(pg.value('select balance from accounts where id = 1'))
        if number == 1:
            rival.execute('update accounts set balance = 50 where id = 1')
            rival.connection.commit()
        pg.query('update accounts set balance = %d where id = 1' % (balance - 10))
    return attempt


def test_serialization_failure(server, pool, rival):
    """F41: 40001, from a real conflict, is tried again and sees what the other one did."""
    work = Work(conflict(rival))
    pool.transact(work, isolation='repeatable_read', **QUICK)
    assert (work.calls, balances(server)) == (2, [40, 100])


def test_serialization_failure_that_the_function_does_not_notice(server, pool, rival):
    """F41: the commit of the failed transaction is the first to tell."""
    attempt = conflict(rival)

    def careless(pg, number):
        try:
            attempt(pg, number)
        except PgError:
            pass
    work = Work(careless)
    pool.transact(work, isolation='repeatable_read', **QUICK)
    assert (work.calls, balances(server)) == (2, [40, 100])


def write_skew(rival):
    """Each reads what the other one writes: PostgreSQL finds out at the second commit."""
    def attempt(pg, number):
        if number == 1:
            rival.execute('begin isolation level serializable')
            rival.execute('select sum(balance) from accounts')
        pg.query('select sum(balance) from accounts')
        pg.query('insert into accounts values (3, 0)')
        if number == 1:
            rival.execute('insert into accounts values (4, 0)')
            rival.connection.commit()
    return attempt


def test_serialization_failure_at_commit(server, pool, rival):
    """F41: 40001 as the answer to COMMIT itself is no doubt: it is tried again."""
    work = Work(write_skew(rival))
    pool.transact(work, isolation='serializable', **QUICK)
    assert (work.calls, balances(server)) == (2, [100, 100, 0, 0])


def test_deadlock(server, pool, rival):
    """F41: 40P01, from a real deadlock; the rival goes on once the victim has rolled back."""
    threads = []

    def attempt(pg, number):
        pg.query('update accounts set balance = balance - 10 where id = 1')
        if number == 1:
            rival.execute('update accounts set balance = balance + 1 where id = 2')
            threads.append(Thread(rival.execute,
                                  'update accounts set balance = balance + 1 where id = 1'))
            wait_for_lock_of_rival(server, rival)
        pg.query('update accounts set balance = balance + 10 where id = 2')

    def go_on():
        threads[0].end()
        rival.connection.commit()
    work = Work(attempt)
    failure = Thread(lambda: pool.transact(work, **QUICK))
    wait_until(lambda: threads, what='the deadlock')
    go_on()
    failure.end()
    assert (work.calls, balances(server)) == (2, [91, 111])


def wait_for_lock_of_rival(server, rival):
    pid = rival.connection.get_backend_pid()
    wait_until(lambda: server.admin_sql(
        "select 1 from pg_stat_activity where pid = %s and wait_event_type = 'Lock'",
        params=(pid,)), what="the rival's wait")


def test_connection_terminated_before_commit(server, pool):
    """F20: lost before COMMIT was sent, so nothing can have happened: tried again."""
    def attempt(pg, number):
        transfer(pg, number)
        if number == 1:
            terminate(server, pg.backend_pid)
    work = Work(attempt)
    pool.transact(work, **QUICK)
    assert (work.calls, balances(server)) == (2, [90, 110])


def test_connection_terminated_under_a_statement(server, pool):
    """F20: the function learns of it, fails, and is called again."""
    def attempt(pg, number):
        transfer(pg, number)
        if number == 1:
            pid = pg.backend_pid
            killer = Thread(lambda: terminate(server, wait_for_query(server, 'pg_sleep(60)')))
            with pytest.raises(PgError):
                pg.query('select pg_sleep(60)')
            killer.end()
            assert pid
            return 1
        return 0
    work = Work(attempt)
    pool.transact(work, **QUICK)
    assert (work.calls, balances(server)) == (2, [90, 110])


def test_server_restarted_in_the_middle(server, pool):
    """F22: the transaction is done once, after the restart."""
    def attempt(pg, number):
        transfer(pg, number)
        if number == 1:
            server.restart()
    work = Work(attempt)
    with Timed() as timed:
        pool.transact(work, max_attempts=100, **QUICK)
    assert balances(server) == [90, 110]
    assert timed.seconds < 10 + MARGIN


def test_no_connection_left_on_the_server(server, pool):
    """F37: 53300 is tried again until the limit is lifted."""
    server.admin_sql('alter role app connection limit 0')
    try:
        work = Work(transfer)
        thread = Thread(lambda: pool.transact(work, max_attempts=100, **QUICK))
        wait_until(lambda: pool.status()['open_failed'], what='a refused connect')
    finally:
        server.admin_sql('alter role app connection limit -1')
    thread.end()
    assert (work.calls, balances(server)) == (1, [90, 110])


# ---- not tried again -----------------------------------------------------------------------------

SLOW_COMMIT = '''
create function take_long() returns trigger language plpgsql as
    $$ begin perform pg_sleep(60); return null; end $$;
grant execute on function take_long() to app;
create constraint trigger take_long after update on accounts deferrable initially deferred
    for each row execute function take_long();
'''


def test_connection_terminated_during_commit(server, pool):
    """F20: TINE_E_IN_DOUBT, and never tried again."""
    server.admin_sql(SLOW_COMMIT)
    try:
        work = Work(transfer)
        thread = Thread(fails, Status.E_IN_DOUBT, pool, work)
        terminate(server, wait_for_query(server, 'COMMIT'))
        assert thread.end().sqlstate == '57P01'
        assert work.calls == 1
    finally:
        server.admin_sql('drop function take_long() cascade')
    assert pool.status()['busy'] == 0


def test_another_error_of_the_server(server, pool):
    def attempt(pg, _number):
        transfer(pg, _number)
        return 0 if pg.exec('insert into accounts values (1, 0)').sqlstate == '' else -20
    work = Work(attempt)
    error = fails(Status.E_SQL, pool, work)
    assert (work.calls, error.sqlstate) == (1, '23505')
    assert 'duplicate key' in error.text
    assert balances(server) == [100, 100]


def test_an_ignored_error_of_the_server(server, pool):
    def attempt(pg, _number):
        transfer(pg, _number)
        pg.exec('insert into accounts values (1, 0)')
    work = Work(attempt)
    error = fails(Status.E_ABORTED, pool, work)
    assert (work.calls, error.sqlstate) == (1, '23505')
    assert balances(server) == [100, 100]


@pytest.mark.parametrize('value, status', [(7, Status.E_ABORTED), (-2, Status.E_NOMEM),
                                           (Status.E_LOST, Status.E_LOST)])
def test_a_failure_of_the_functions_own(server, pool, value, status):
    """Not even when it looks like one of those that are tried again."""
    def attempt(pg, number):
        transfer(pg, number)
        return value
    work = Work(attempt)
    fails(status, pool, work)
    assert (work.calls, balances(server)) == (1, [100, 100])
    assert pool.status()['busy'] == 0


def test_a_transaction_that_the_function_ended_itself(server, pool, rival):
    """What it has committed by hand must not be done twice, whatever came after."""
    attempt = conflict(rival)

    def impatient(pg, number):
        pg.query('update accounts set balance = balance + 1 where id = 2')
        pg.query('commit; begin isolation level repeatable read')
        try:
            attempt(pg, number)
        except PgError as err:
            assert err.sqlstate == '40001'
            pg.query('rollback')
            return 1
        return 0
    work = Work(impatient)
    error = fails(Status.E_ABORTED, pool, work)
    assert (work.calls, error.sqlstate) == (1, '40001')
    assert balances(server) == [50, 101]


def test_permanent_failures_to_connect(server):
    """F35: a wrong password is not tried again."""
    work = Work(transfer)
    with Pool(server.conninfo('tls', password='wrong')) as pool:
        with Timed() as timed:
            error = fails(Status.E_AUTH, pool, work, backoff_first_ms=5000, backoff_max_ms=5000)
        assert pool.status()['open_failed'] == 1
    assert (work.calls, error.sqlstate) == (0, '28P01')
    assert timed.seconds < 5


def test_busy_pool(server):
    """Nobody gives a connection back: waiting once is enough."""
    work = Work(transfer)
    with Pool(server.conninfo('tls'), pool_size=1, max_overflow=0) as pool, pool.acquire():
        fails(Status.E_TIMEOUT, pool, work, wait_ms=50)
        assert pool.status()['timeouts'] == 1
    assert work.calls == 0


# ---- how often, how long -------------------------------------------------------------------------

def always(sqlstate):
    def attempt(pg, _number):
        pg.query("do $$ begin raise 'never' using errcode = '%s'; end $$" % sqlstate)
    return attempt


@pytest.mark.parametrize('sqlstate', ['40001', '40P01'])
def test_attempts_are_limited(pool, sqlstate):
    work = Work(always(sqlstate))
    error = fails(Status.E_SQL, pool, work, max_attempts=3)
    assert (work.calls, error.sqlstate) == (3, sqlstate)
    assert error.text.startswith('attempt 3 of 3: ')
    assert 'never' in error.text


def test_connects_are_limited_too():
    with Pool('host=127.0.0.1 port=%d' % procs.free_port()) as pool:
        error = fails(Status.E_CONNECT, pool, Work(transfer), max_attempts=3)
    assert error.text.startswith('attempt 3 of 3: ')


def test_pauses_grow_and_differ(pool):
    work = Work(always('40001'))
    fails(Status.E_SQL, pool, work, max_attempts=14, backoff_first_ms=10, backoff_max_ms=40)
    pauses = [after - before for before, after in zip(work.times, work.times[1:])]
    for least, pause in zip([0.005, 0.010] + [0.020] * 11, pauses):
        assert pause >= least
    # less up to half: of eleven at least one is far from the whole
    assert min(pauses[2:]) < 0.036


def test_no_connection_is_held_between_attempts(server):
    with Pool(server.conninfo('tls'), pool_size=1, max_overflow=0) as pool:
        failed = threading.Event()

        def attempt(pg, number):
            if number == 1:
                failed.set()
                always('40001')(pg, number)
        thread = Thread(lambda: pool.transact(Work(attempt), backoff_first_ms=2000))
        assert failed.wait(30)
        with Timed() as timed, pool.acquire():
            pass
        assert timed.seconds < 1
        thread.end()


@pytest.mark.parametrize('wrong, right', [
    ({'max_attempts': 0}, 'max_attempts: 0 is not a number from 1 to 100'),
    ({'max_attempts': 101}, 'max_attempts: 101'),
    ({'backoff_first_ms': -1}, 'backoff_first_ms: -1'),
    ({'backoff_max_ms': 5}, 'backoff_max_ms: 5 is less than backoff_first_ms, 10'),
    ({'wait_ms': -2}, 'wait_ms: -2'), ({'size': 0}, 'tine_transact_options_init'),
    ({'size': 100000}, 'tine_transact_options_init')])
def test_options_are_checked(pool, wrong, right):
    work = Work(transfer)
    assert right in fails(Status.E_INVALID, pool, work, **wrong).text
    assert work.calls == 0


@pytest.mark.parametrize('isolation', ['default', 'read_committed', 'repeatable_read',
                                       'serializable'])
@pytest.mark.parametrize('read_only', [False, True])
def test_isolation(server, pool, isolation, read_only):
    seen = []

    def attempt(pg, _number):
        seen.append((pg.value('show transaction_isolation'),
                     pg.value('show transaction_read_only')))
    pool.transact(Work(attempt), isolation=isolation, read_only=read_only)
    named = 'read committed' if isolation == 'default' else isolation.replace('_', ' ')
    assert seen == [(named, 'on' if read_only else 'off')]


# ---- fork ----------------------------------------------------------------------------------------

def test_the_function_forks(server, pool):
    """F4: the child comes out of it with TINE_E_FORKED, and the parent commits."""
    parent = os.getpid()
    statuses = []

    def attempt(pg, number):
        transfer(pg, number)
        pid = os.fork()
        if pid:
            statuses.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    status = 1
    try:
        pool.transact(Work(attempt))
    except Error as err:
        status = 0 if err.status == Status.E_FORKED else 2
    finally:
        if os.getpid() != parent:
            try:
                status = status or pool.query('select 1') != [('1',)]
            finally:
                os._exit(int(status))
    assert status == 1, 'no failure in the parent'
    assert (statuses, balances(server)) == ([0], [90, 110])


def test_children_do_their_own(server, pool):
    """F1: after a fork each process runs transactions of its own."""
    pool.transact(Work(transfer))
    in_child(lambda: pool.transact(Work(transfer)))
    pool.transact(Work(transfer))
    assert balances(server) == [70, 130]


def test_concurrent_increments(server):
    """F41: eight threads that conflict all the time lose nothing."""
    def increment():
        for _ in range(5):
            pool.transact(Work(add), isolation='serializable', max_attempts=100,
                          backoff_first_ms=1, backoff_max_ms=20)

    def add(pg, _number):
        balance = int(pg.value('select balance from accounts where id = 1'))
        pg.query('update accounts set balance = %d where id = 1' % (balance + 1))
    with Pool(server.conninfo('tls'), pool_size=4, max_overflow=0) as pool:
        threads = [Thread(increment) for _ in range(8)]
        for thread in threads:
            thread.end()
    assert balances(server)[0] == 100 + 8 * 5
