# SPDX-License-Identifier: PostgreSQL
"""Scopes as a request handler uses them: committed, rolled back, lost, in doubt, forked."""
import pytest

from pooltools import Thread, in_child, is_gone, sessions, table, terminate, wait_for_query
from support.libpq import Exec, PgError, Transaction
from support.libtine import Error, Pool, Scope, Status
from support.procs import wait_until


@pytest.fixture
def pool(server):
    with Pool(server.conninfo('tls'), pool_size=2, max_overflow=0) as pool:
        yield pool


@pytest.fixture(autouse=True)
def lots(server):
    with table(server, 'lots', 'id int unique deferrable initially deferred'):
        yield


def count(server):
    return server.admin_sql('select count(*) from lots')[0][0]


def fails(status, fn):
    with pytest.raises(Error) as caught:
        fn()
    assert caught.value.status == status, caught.value
    return caught.value


def test_a_scope_takes_no_connection_until_it_needs_one(pool):
    with pool.scope('request', 'GET /') as scope:
        assert pool.status()['opened'] == 0
        scope.commit()
        assert pool.status()['opened'] == 0
        pg = scope.conn()
        assert pg.transaction_status == Transaction.INTRANS
        assert scope.conn().pointer == pg.pointer
        assert pool.status()['busy'] == 1
    assert pool.status()['busy'] == 0


def test_committed_work_stays_and_the_connection_goes_back(server, pool):
    with pool.scope() as scope:
        scope.conn().query('insert into lots values (1)')
        scope.commit()
        assert pool.status()['busy'] == 0
        assert count(server) == 1
        # a second transaction of the same scope, this time not committed
        scope.conn().query('insert into lots values (2)')
    assert count(server) == 1
    assert pool.status()['opened'] == 1


def test_an_exception_rolls_back(server, pool):
    with pytest.raises(ZeroDivisionError):
        with pool.scope() as scope:
            scope.conn().query('insert into lots values (1)')
            1 // 0
    assert count(server) == 0
    assert pool.query('select count(*) from lots') == [('0',)]


def test_a_failed_statement_aborts_the_commit(server, pool):
    with pool.scope() as scope:
        scope.conn().query('insert into lots values (1)')
        with pytest.raises(PgError):
            scope.conn().query('select nothing')
        error = fails(Status.E_ABORTED, scope.commit)
        assert error.sqlstate == '42703'
        assert pool.status()['busy'] == 0
        # nothing is left of it, and the scope can begin anew
        scope.conn().query('insert into lots values (2)')
        scope.commit()
    assert server.admin_sql('select id from lots') == [(2,)]


def test_a_failed_statement_and_a_lost_connection(server, pool):
    """There is no doubt, and nothing to be tried again: it had failed before."""
    with pool.scope() as scope:
        pg = scope.conn()
        assert pg.exec('select nothing').sqlstate == '42703'
        terminate(server, pg.backend_pid)
        assert fails(Status.E_ABORTED, scope.commit).sqlstate == '42703'
    assert pool.query('select 1') == [('1',)]


def test_a_commit_that_the_server_refuses(server, pool):
    with pool.scope() as scope:
        scope.conn().query('insert into lots values (1), (1)')
        error = fails(Status.E_SQL, scope.commit)
        assert error.sqlstate == '23505'
        assert 'duplicate key' in error.text
    assert count(server) == 0
    assert pool.status()['idle'] == 1


@pytest.mark.parametrize('ending, rows', [('commit', 1), ('rollback', 0)])
def test_a_transaction_that_the_program_ended_itself(server, pool, ending, rows):
    with pool.scope() as scope:
        scope.conn().query('insert into lots values (1)')
        scope.conn().query(ending)
        scope.commit()
    assert count(server) == rows


def test_a_connection_lost_before_commit(server, pool):
    with pool.scope() as scope:
        pg = scope.conn()
        pg.query('insert into lots values (1)')
        terminate(server, pg.backend_pid)
        error = fails(Status.E_LOST, scope.commit)
        assert error.sqlstate == '57P01'
        fails(Status.E_LOST, scope.conn)
        fails(Status.E_LOST, scope.commit)
    assert count(server) == 0
    # nobody else is touched by it
    assert pool.query('select 1') == [('1',)]
    assert pool.status()['busy'] == 0


def test_a_connection_lost_under_a_statement(server, pool):
    with pool.scope() as scope:
        pg = scope.conn()
        query = Thread(pg.exec, 'select pg_sleep(60)')
        terminate(server, wait_for_query(server, 'pg_sleep(60)'))
        assert query.end().status == Exec.FATAL_ERROR
        assert fails(Status.E_LOST, scope.conn).sqlstate == '57P01'
        assert fails(Status.E_LOST, scope.commit).sqlstate == '57P01'
        fails(Status.E_LOST, scope.conn)
    assert pool.query('select 1') == [('1',)]


SLOW_COMMIT = '''
create function take_long() returns trigger language plpgsql as
    $$ begin perform pg_sleep(60); return null; end $$;
grant execute on function take_long() to app;
create constraint trigger take_long after insert on lots deferrable initially deferred
    for each row execute function take_long();
'''


def test_a_connection_lost_during_commit(server, pool):
    server.admin_sql(SLOW_COMMIT)
    try:
        with pool.scope() as scope:
            scope.conn().query('insert into lots values (1)')
            commit = Thread(fails, Status.E_IN_DOUBT, scope.commit)
            terminate(server, wait_for_query(server, 'COMMIT'))
            assert commit.end().sqlstate == '57P01'
            fails(Status.E_LOST, scope.conn)
            assert pool.status()['busy'] == 0
    finally:
        server.admin_sql('drop function take_long() cascade')
    assert count(server) == 0


def unread_rows(pg):
    pg.send_query('select generate_series(1, 100000)')


def copy_in(pg):
    pg.exec('copy lots from stdin')


def copy_out(pg):
    pg.exec('copy (select generate_series(1, 100000)) to stdout')


def pipeline(pg):
    pg.enter_pipeline()


def pipeline_with_work(pg):
    pg.enter_pipeline()
    pg.send_query_params('insert into lots values (2)')
    pg.pipeline_sync()


@pytest.mark.parametrize('leave, word', [
    (unread_rows, 'not read to the end'), (copy_in, 'COPY'), (copy_out, 'COPY'),
    (pipeline, 'pipeline'), (pipeline_with_work, 'pipeline')])
def test_a_statement_that_was_left_open_is_rolled_back(server, pool, leave, word):
    """F44: neither committed nor handed to the next user."""
    with pool.scope() as scope:
        pg = scope.conn()
        pid = pg.backend_pid
        pg.query('insert into lots values (1)')
        leave(pg)
        error = fails(Status.E_ABORTED, scope.commit)
        assert word in error.text
    wait_until(lambda: is_gone(server, pid))
    assert count(server) == 0
    assert pool.query('select 1') == [('1',)]


def test_lost_after_it_was_handed_out(server, pool):
    """F19: the pool cannot have seen it; BEGIN finds out, and another connection is taken."""
    killed = []

    def kill(event):
        if not killed:
            killed.append(event.pg.backend_pid)
            terminate(server, event.pg.backend_pid)
    pool.on('checkout', kill)
    with pool.scope() as scope:
        assert scope.conn().backend_pid not in killed
        assert scope.conn().value('select 1') == '1'
        scope.commit()
    assert (len(killed), pool.status()['closed']['lost']) == (1, 1)


def test_lost_each_time(server, pool):
    """F19: a second time is not bad luck any more."""
    pool.on('checkout', lambda event: terminate(server, event.pg.backend_pid))
    with pool.scope() as scope:
        assert fails(Status.E_LOST, scope.conn).sqlstate == '57P01'
    assert pool.status()['opened'] == 2


def test_no_connection_to_be_had(server):
    with Pool(server.conninfo('tls', password='wrong')) as pool, pool.scope() as scope:
        assert fails(Status.E_AUTH, scope.conn).sqlstate == '28P01'
        scope.commit()
        fails(Status.E_AUTH, scope.conn)
    with Pool(server.conninfo('tls'), pool_size=1, max_overflow=0, acquire_timeout_ms=50) as pool:
        with pool.acquire(30000), pool.scope() as scope:
            fails(Status.E_TIMEOUT, scope.conn)


def test_holders_are_told_by_the_name_of_the_scope(server):
    """F45: who waits in vain is told what the others are about."""
    with Pool(server.conninfo('tls'), pool_size=1, max_overflow=0) as pool:
        with pool.scope('request', 'GET /lots/17') as scope:
            scope.conn()
            assert 'GET /lots/17' in fails(Status.E_TIMEOUT, lambda: pool.acquire(50)).text
        with pool.scope('task') as scope:
            scope.conn()
            assert 'task' in fails(Status.E_TIMEOUT, lambda: pool.acquire(50)).text


def test_a_scope_without_memory_says_so(pool):
    scope = Scope(pool)
    scope.end()
    fails(Status.E_NOMEM, scope.conn)
    fails(Status.E_NOMEM, scope.commit)
    scope.end()


def test_a_child_cannot_touch_the_parents_scope(server, pool):
    """F4: neither by committing nor by ending it."""
    with pool.scope() as scope:
        pg = scope.conn()
        pg.query('insert into lots values (1)')

        def child():
            fails(Status.E_FORKED, scope.conn)
            fails(Status.E_FORKED, scope.commit)
            scope.end()
            with pool.scope() as own:
                own.conn().query('insert into lots values (2)')
                own.commit()
        in_child(child)
        assert server.admin_sql('select id from lots') == [(2,)]
        assert pg.value('select count(*) from lots') == '2'
        scope.commit()
    assert count(server) == 2


def test_a_scope_that_has_no_connection_yet_goes_on_in_the_child(server, pool):
    """F1: what was begun and has not taken a connection is nobody's."""
    with pool.scope() as scope:
        def child():
            scope.conn().query('insert into lots values (1)')
            scope.commit()
            scope.end()
        in_child(child)
        scope.conn().query('insert into lots values (2)')
        scope.commit()
    assert count(server) == 2


@pytest.mark.parametrize('transport', ['tls12', 'tls13', 'plain', 'unix'])
def test_every_transport(server, transport):
    options = {'tls': 'disable'} if transport == 'plain' else {}
    with Pool(server.conninfo(transport), **options) as pool, pool.scope() as scope:
        assert scope.conn().ssl_in_use == transport.startswith('tls')
        scope.conn().query('insert into lots values (1)')
        scope.commit()
    assert count(server) == 1
    wait_until(lambda: not sessions(server), what='the end of the sessions')
