# SPDX-License-Identifier: PostgreSQL
"""What a user leaves on a connection, and what the next one finds: each kind of reset."""
import ctypes

import pytest

from pooltools import MARGIN, Timed, is_gone, table
from support.libpq import Exec, Transaction, library
from support.libtine import Pool, Status
from support.procs import wait_until

RESETS = ['rollback', 'full', 'tracked', 'none']


@pytest.fixture(scope='module', autouse=True)
def objects(server):
    server.admin_sql('create role other; grant other to app; create sequence numbers;'
                     'grant usage on sequence numbers to app')
    with table(server, 'lots', 'id int'):
        yield


def pool_of(server, reset, **options):
    return Pool(server.conninfo('tls'), reset=reset,
                **{'pool_size': 1, 'max_overflow': 0, **options})


# ---- F43: the session on the server --------------------------------------------------------------

TEMPORARY_TABLES = 'select count(*) from pg_class where relnamespace = pg_my_temp_schema()'

# name: what leaves it, what shows it, whether it can be seen from the statement's answer
SESSION = {
    'set': ("set work_mem = '1234kB'", 'show work_mem', True),
    'set_config': ("select set_config('work_mem', '1234kB', false)", 'show work_mem', False),
    'search_path': ('set search_path = pg_catalog', 'show search_path', True),
    'role': ('set role other', 'select current_user', True),
    'isolation': ('set session characteristics as transaction isolation level serializable',
                  'show default_transaction_isolation', True),
    'client_encoding': ("set client_encoding = 'LATIN1'", 'show client_encoding', True),
    'timezone': ("set time zone 'Asia/Kathmandu'", 'show timezone', True),
    'temporary table': ('create temp table left_behind (id int)',
                        TEMPORARY_TABLES, True),
    'temporary table of a query': ('create temp table left_behind as select 1 as id',
                                   TEMPORARY_TABLES, True),
    'listen': ('listen news', 'select count(*) from pg_listening_channels()', True),
    'prepared statement': ('prepare left_behind as select 1',
                           'select count(*) from pg_prepared_statements', True),
    'cursor': ('declare left_behind cursor with hold for select 1',
               'select count(*) from pg_cursors', True),
    'advisory lock': ('select pg_advisory_lock(4711)',
                      "select count(*) from pg_locks where locktype = 'advisory'"
                      ' and pid = pg_backend_pid()', False),
    'sequence': ("select nextval('numbers')", 'select lastval()', False),
}


def look(conn, probe):
    result = conn.exec(probe)
    return result.sqlstate or result.rows[0][0]


def is_kept(reset, name):
    visible = SESSION[name][2]
    return reset in ('rollback', 'none') or (reset == 'tracked' and not visible)


@pytest.mark.parametrize('reset', RESETS)
@pytest.mark.parametrize('name', list(SESSION))
def test_f43_session_state(server, name, reset):
    """F43: full clears all of it; tracked what the answers of the server show; rollback and none
    leave it to the program, which is their meaning."""
    leave, probe, _visible = SESSION[name]
    with pool_of(server, reset) as pool:
        with pool.acquire() as conn:
            fresh = look(conn, probe)
            pid = conn.pg.backend_pid
            conn.query(leave)
            left = look(conn, probe)
            assert left != fresh
        with pool.acquire() as conn:
            found = look(conn, probe)
            assert conn.pg.backend_pid == pid
            assert found == (left if is_kept(reset, name) else fresh)


@pytest.mark.parametrize('reset', ['rollback', 'full', 'tracked'])
@pytest.mark.parametrize('statement, probe', [
    ("set local work_mem = '1234kB'", 'show work_mem'),
    ('select pg_advisory_xact_lock(4711)',
     "select count(*) from pg_locks where locktype = 'advisory'"),
    ('insert into lots values (1)', 'select count(*) from lots'),
    ('set constraints all deferred', 'show transaction_isolation'),
    ('select nothing', 'select 1')])
def test_f43_transactions(server, reset, statement, probe):
    """F43: a transaction is over with its user, also one that has failed."""
    with pool_of(server, reset) as pool:
        fresh = pool.query(probe)
        with pool.acquire() as conn:
            pid = conn.pg.backend_pid
            conn.query('begin isolation level serializable')
            conn.exec(statement)
        with pool.acquire() as conn:
            assert conn.pg.backend_pid == pid
            assert conn.pg.transaction_status == Transaction.IDLE
            assert conn.query(probe) == fresh


@pytest.mark.parametrize('state', ['begin', 'begin; select nothing'])
def test_f43_none_closes_a_connection_in_a_transaction(server, state):
    """F43: none sends nothing at all, so such a connection cannot stay."""
    with pool_of(server, 'none') as pool:
        with pool.acquire() as conn:
            pid = conn.pg.backend_pid
            conn.exec(state)
        with pool.acquire() as conn:
            assert conn.pg.backend_pid != pid
        assert pool.status()['closed']['reset'] == 1


def test_f43_notifications_of_a_stranger(server):
    """F43: what somebody listened to is not told to the next user."""
    with pool_of(server, 'full') as pool:
        with pool.acquire() as conn:
            conn.query('listen news')
            server.admin_sql("notify news, 'secret'")
        with pool.acquire() as conn:
            server.admin_sql("notify news, 'late'")
            assert conn.value('select 1') == '1'
            notifies = library().PQnotifies
            notifies.restype, notifies.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
            assert notifies(conn.pg.pointer) is None


def test_f43_statements_of_the_pool_come_back(server):
    """F43: after DISCARD ALL on_connect_sql holds again."""
    sql = "set work_mem = '2345kB'; set search_path = pg_catalog"
    with pool_of(server, 'full', on_connect_sql=sql) as pool:
        for _ in range(3):
            with pool.acquire() as conn:
                assert conn.value('show work_mem') == '2345kB'
                assert conn.value('show search_path') == 'pg_catalog'
                conn.query("set work_mem = '1234kB'; set search_path = public")
        assert pool.status()['opened'] == 1


def test_f43_tracked_skips_what_needs_no_reset(server):
    """F43: tracked sends DISCARD ALL only after a statement that can leave something."""
    server.admin_sql("alter system set log_statement = 'all'")
    server.admin_sql('select pg_reload_conf()')
    try:
        with pool_of(server, 'tracked') as pool:
            for statement in ('select 1', 'begin', 'insert into lots values (1)', 'rollback'):
                pool.query(statement)
            quiet = server.log_text().count('DISCARD ALL')
            pool.query("set work_mem = '1234kB'")
            assert pool.query('show work_mem') != [('1234kB',)]
            assert (quiet, server.log_text().count('DISCARD ALL')) == (0, 1)
    finally:
        server.admin_sql('alter system reset log_statement')
        server.admin_sql('select pg_reload_conf()')


# ---- F43: libpq's side of the connection ---------------------------------------------------------

NOTICE_FN = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)


def libpq_call(name, result, *types):
    function = getattr(library(), name)
    function.restype, function.argtypes = result, list(types)
    return function


class Side:
    """One thing that libpq remembers: read() shows it, change() leaves something."""

    def __init__(self, pg):
        self.pg = pg.pointer


class Notices(Side):
    name = 'PQsetNoticeProcessor'

    def _set(self, function):
        return libpq_call(self.name, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p,
                          ctypes.c_void_p)(self.pg, function, None)

    def change(self):
        self.heard = NOTICE_FN(lambda _arg, _what: None)
        self._set(ctypes.cast(self.heard, ctypes.c_void_p))

    def read(self):
        return self._set(None)


class Receiver(Notices):
    name = 'PQsetNoticeReceiver'


class Verbosity(Side):
    name, other = 'PQsetErrorVerbosity', 2

    def _set(self, value):
        return libpq_call(self.name, ctypes.c_int, ctypes.c_void_p, ctypes.c_int)(self.pg, value)

    def change(self):
        self._set(self.other)

    def read(self):
        value = self._set(0)
        self._set(value)
        return value


class Context(Verbosity):
    name = 'PQsetErrorContextVisibility'


class Nonblocking(Side):
    def change(self):
        libpq_call('PQsetnonblocking', ctypes.c_int, ctypes.c_void_p, ctypes.c_int)(self.pg, 1)

    def read(self):
        return libpq_call('PQisnonblocking', ctypes.c_int, ctypes.c_void_p)(self.pg)


SIDES = [Notices, Receiver, Verbosity, Context, Nonblocking]


@pytest.mark.parametrize('reset', ['rollback', 'full', 'tracked'])
@pytest.mark.parametrize('side', SIDES)
def test_f43_libpq_state(server, side, reset):
    """F43: as it was when the connection was new, or another connection."""
    with pool_of(server, reset) as pool:
        with pool.acquire() as conn:
            fresh = side(conn.pg).read()
            changed = side(conn.pg)
            changed.change()
            assert changed.read() != fresh
        with pool.acquire() as conn:
            assert side(conn.pg).read() == fresh
            assert conn.value('select 1') == '1'


@pytest.mark.parametrize('reset', ['rollback', 'full', 'tracked'])
def test_f43_tracing(server, reset, tmp_path):
    """F43: the next user's statements are not written to somebody's file."""
    libc = ctypes.CDLL(None)
    libc.fopen.restype = ctypes.c_void_p
    libc.fflush.argtypes = libc.fclose.argtypes = [ctypes.c_void_p]
    path = tmp_path / 'trace'
    file = libc.fopen(str(path).encode(), b'w')
    with pool_of(server, reset) as pool:
        with pool.acquire() as conn:
            libpq_call('PQtrace', None, ctypes.c_void_p, ctypes.c_void_p)(conn.pg.pointer, file)
            conn.query("select 'mine'")
        with pool.acquire() as conn:
            conn.query("select 'secret'")
    libc.fclose(file)
    traced = path.read_text()
    assert 'mine' in traced and 'secret' not in traced


@pytest.mark.parametrize('reset', ['full', 'tracked'])
def test_f43_prepared_by_protocol(server, reset):
    """F43: PQprepare, whose answer names no command."""
    with pool_of(server, reset) as pool:
        prepare = libpq_call('PQprepare', ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p,
                             ctypes.c_char_p, ctypes.c_int, ctypes.c_void_p)
        with pool.acquire() as conn:
            library().PQclear(prepare(conn.pg.pointer, b'left_behind', b'select 1', 0, None))
            assert conn.value('select count(*) from pg_prepared_statements') == '1'
        with pool.acquire() as conn:
            assert conn.value('select count(*) from pg_prepared_statements') == '0'


def test_f43_encoding_by_libpq(server):
    """F43: PQsetClientEncoding is a SET to the server; libpq's own idea follows the reset."""
    with pool_of(server, 'full') as pool:
        with pool.acquire() as conn:
            conn.pg.set_client_encoding('LATIN1')
        with pool.acquire() as conn:
            assert conn.value('show client_encoding') == 'UTF8'
            assert conn.pg.parameter_status('client_encoding') == 'UTF8'
            assert conn.value("select '\N{EURO SIGN}'") == '\N{EURO SIGN}'


# ---- F44: returned in the middle of something ----------------------------------------------------

def running(pg):
    pg.send_query('select pg_sleep(5)')


def unread(pg):
    pg.send_query('select 1')
    while pg.is_busy():
        pg.consume_input()


def half_read(pg):
    pg.send_query('select generate_series(1, 100000)')
    pg.set_single_row_mode()
    assert pg.get_result().rows == [('1',)]


def last_result_only(pg):
    """All rows are there; the end of the statement was not asked for."""
    pg.send_query('select 1')
    assert pg.get_result().rows == [('1',)]


def several(pg):
    pg.send_query('select 1; select 2; select 3')
    assert pg.get_result().rows == [('1',)]


def copy_in(pg):
    pg.exec('copy lots from stdin')
    pg.put_copy_data(b'1\n')


def copy_out(pg):
    pg.exec('copy (select generate_series(1, 100000)) to stdout')
    pg.get_copy_data()


def pipeline(pg):
    pg.enter_pipeline()


def pipeline_with_work(pg):
    pg.enter_pipeline()
    pg.send_query_params('insert into lots values (1)')
    pg.send_query_params('select 17')
    pg.flush()


def pipeline_synced(pg):
    pipeline_with_work(pg)
    pg.pipeline_sync()


def pipeline_aborted(pg):
    pg.enter_pipeline()
    pg.send_query_params('select nothing')
    pg.send_query_params('select 17')
    pg.pipeline_sync()
    assert pg.get_result().status == Exec.FATAL_ERROR


def unsent(pg):
    """More than the socket takes, to a backend that does not read."""
    pg.set_nonblocking(True)
    pg.send_query('select pg_sleep(5) /* %s */' % ('x' * 20_000_000))


BUSY = [running, unread, half_read, last_result_only, several, copy_in, copy_out, pipeline,
        pipeline_with_work, pipeline_synced, pipeline_aborted, unsent]

# What the server was told to do and not to finish.
UNFINISHED = {copy_in, pipeline_with_work}


@pytest.mark.parametrize('reset', ['rollback', 'full'])
@pytest.mark.parametrize('leave', BUSY)
def test_f44_returned_busy(server, leave, reset):
    """F44: the return does not wait, and the next user gets his own answers, on another session."""
    server.admin_sql('truncate lots')
    with pool_of(server, reset) as pool:
        conn = pool.acquire()
        pid = conn.pg.backend_pid
        leave(conn.pg)
        with Timed() as timed:
            assert conn.release() == Status.OK
        assert timed.seconds < MARGIN
        with Timed() as timed:
            for number in range(3):
                with pool.acquire() as conn:
                    assert conn.pg.backend_pid != pid
                    assert conn.query('select %d' % number) == [(str(number),)]
        assert timed.seconds < MARGIN
        assert pool.status()['closed']['reset'] == 1
    if leave in UNFINISHED:
        wait_until(lambda: is_gone(server, pid), what='the end of the session')
        assert server.admin_sql('select count(*) from lots') == [(0,)]


@pytest.mark.parametrize('how', ['invalidate', 'dispose', 'free'])
def test_f44_closed_busy(server, how):
    """F44: no other way to close it waits either."""
    pool = pool_of(server, 'rollback')
    conn = pool.acquire()
    unsent(conn.pg)
    with Timed() as timed:
        if how == 'invalidate':
            assert conn.invalidate() == Status.OK
        elif how == 'dispose':
            pool.dispose()
            assert conn.release() == Status.OK
        else:
            pool.free()
            assert conn.release() == Status.OK
    pool.free()
    assert timed.seconds < MARGIN
