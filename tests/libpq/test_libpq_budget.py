# SPDX-License-Identifier: PostgreSQL
"""tine run --budget counts what unmodified programs open, and lends between them."""
import json
import os
import re
import shutil
import subprocess

import pytest

from support import procs
from support.cluster import Cluster
from support.sampler import Sampler

from test_pool import PYTHON, STEPS, environment, steps

BUILD = os.path.dirname(procs.tine_path())
TREE = os.path.join(BUILD, 'tests', 'board', 'tree')


@pytest.fixture(scope='module')
def server():
    with Cluster(max_connections=60) as cluster:
        yield cluster


WORKERS = '''
import os, sys, time
import psycopg2
workers, turns, way = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
def work():
    conn = None
    for turn in range(turns):
        if not conn:
            conn = psycopg2.connect('')
            conn.autocommit = True
        with conn.cursor() as cursor:
            cursor.execute("set time zone 'Asia/Tokyo'")
            cursor.execute("select %s::int, current_setting('timezone')", [turn])
            assert cursor.fetchone() == (turn, 'Asia/Tokyo')
        if way == 'each':
            conn.close()
            conn = None
        time.sleep(0.01)
if way == 'inherited':
    first = psycopg2.connect('')
    first.autocommit = True
    connect, psycopg2.connect = psycopg2.connect, lambda dsn: first
children = []
for _ in range(workers):
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except Exception as error:
            print('worker', os.getpid(), error, file=sys.stderr)
            os._exit(1)
    children.append(pid)
sys.exit(sum(os.waitpid(pid, 0)[1] != 0 for pid in children))
'''


@pytest.mark.parametrize('options, way', [
    (['--budget', 3], 'kept'), (['--budget', 3], 'each'), (['--budget', 4], 'inherited'),
    (['--budget', 3, '--pool', 2], 'each'), (['--budget', 8, '--pool', 2], 'each'),
])
def test_workers_share_a_budget(server, boards, options, way):
    budget = options[1]
    env = environment(server, TINE_BOARD_DIRECTORY=boards)
    with Sampler(server) as census:
        done = subprocess.run([*procs.tine_command('--quiet', *options), PYTHON, '-c', WORKERS,
                               '6', '15', way], env=env, text=True, capture_output=True,
                              timeout=300)
    assert done.returncode == 0, done.stderr
    assert 0 < census.most <= budget


CHROOT = '''
import os, sys, psycopg2
conn = psycopg2.connect('')
os.chroot(sys.argv[1])
os.chdir('/')
os.setuid(65534)
if os.fork() == 0:
    conn.close()
    os._exit(0)
os.wait()
'''


@pytest.mark.skipif(os.geteuid() != 0, reason='needs root')
def test_the_log_is_the_same_in_a_chroot(server, tmp_path):
    """What has its path there is somebody else's."""
    log, root = tmp_path / 'log', tmp_path / 'root'
    other = root / str(log)[1:]
    other.parent.mkdir(parents=True)
    done = subprocess.run([*procs.tine_command('--log', log), PYTHON, '-c', CHROOT, root],
                          env=environment(server), text=True, capture_output=True, timeout=60,
                          check=False)
    assert done.returncode == 0 and done.stderr == '', done.stderr
    assert 'severed 1 inherited' in log.read_text()
    assert not other.exists()


ONE_WORKS = '''
import os, signal, psycopg2
def ask(cursor):
    cursor.execute('select pg_backend_pid()')
    return cursor.fetchone()[0]
def open_one():
    conn = psycopg2.connect('')
    conn.autocommit = True
    cursor = conn.cursor()
    ask(cursor)
    return cursor
sleepers = []
for _ in range(4):
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        kept = open_one()
        os.write(writing, b'.')
        signal.pause()
    assert os.read(reading, 1) == b'.'
    sleepers.append(pid)
cursor = open_one()
print(len({ask(cursor) for _ in range(300)}))
for pid in sleepers:
    os.kill(pid, signal.SIGKILL)
'''


def test_who_works_while_others_sleep_keeps_its_session(server, boards):
    """Also where there are more processes than permits; those who sleep have theirs for 2 s."""
    env = environment(server, TINE_BOARD_DIRECTORY=boards)
    done = subprocess.run([*procs.tine_command('--budget', 3, '--lend-after', '2s'), PYTHON, '-c',
                           ONE_WORKS], env=env, text=True, capture_output=True, timeout=60,
                          check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) <= 3, done.stdout


KEPT_BY_THREADS = '''
import sys, threading, psycopg2
failed = []
def work(number):
    try:
        conn = psycopg2.connect('')
        conn.autocommit = True
        cursor = conn.cursor()
        for turn in range(int(sys.argv[2])):
            cursor.execute('select %s::int, pg_sleep(0.01)', [number])
            assert cursor.fetchone()[0] == number
    except Exception as error:
        failed.append(error)
threads = [threading.Thread(target=work, args=[number]) for number in range(int(sys.argv[1]))]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
sys.exit('%d failed: %s' % (len(failed), failed[0]) if failed else 0)
'''


def test_threads_that_keep_more_than_the_budget(server, boards):
    """A pool for each thread, as servers of threads have."""
    env = environment(server, TINE_BOARD_DIRECTORY=boards)
    with Sampler(server) as census:
        done = subprocess.run(
            [*procs.tine_command('--budget', 1, '--acquire-timeout', '4s'), PYTHON, '-c',
             KEPT_BY_THREADS, '2', '450'], env=env, text=True, capture_output=True, timeout=100,
            check=False)
    assert done.returncode == 0, done.stderr
    assert census.most == 1


# As Apache, PHP-FPM and uWSGI do, or the process itself, before it has connected.
OTHER_USERS = '''
import os, sys, psycopg2
way, call = sys.argv[1], sys.argv[2]
def become():
    os.setgroups([])
    getattr(os, call)(*[65534] * {'setuid': 1, 'seteuid': 1, 'setreuid': 2, 'setresuid': 3}[call])
def work():
    if way == 'children':
        become()
    try:
        kept = [psycopg2.connect(''), psycopg2.connect('')]
    except psycopg2.OperationalError as error:
        if 'no permit' in str(error):
            os._exit(3)
        print(error, file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)
if way == 'parent':
    become()
pid = os.fork()
if pid == 0:
    work()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
'''


@pytest.mark.skipif(os.geteuid() != 0, reason='needs root')
@pytest.mark.parametrize('call', ['setuid', 'seteuid', 'setreuid', 'setresuid'])
@pytest.mark.parametrize('way', ['children', 'parent'])
def test_who_becomes_another_user_is_counted(server, boards, tmp_path, way, call):
    """The board is this user's, and so is the log."""
    log = tmp_path / 'log'
    env = environment(server, TINE_BOARD_DIRECTORY=boards, HOME='/nonexistent')
    for budget, status in (1, 3), (2, 0):
        done = subprocess.run(
            [*procs.tine_command('--budget', budget, '--acquire-timeout', '300ms', '--verbose',
                                 '--log', log), PYTHON, '-c', OTHER_USERS, way, call],
            env=env, text=True, capture_output=True, timeout=60, check=False)
        assert done.returncode == status, done.stderr
        assert done.stderr == '', done.stderr
    assert 'not counted' not in log.read_text()
    assert 'reaches' in log.read_text() or 'watching' in log.read_text()


def test_who_gets_no_permit_is_told_who_has_them(server, boards):
    for begin in ('open', 'start'):
        done = subprocess.run(
            [*procs.tine_command('--budget', 1, '--acquire-timeout', '300ms'), STEPS, 'open',
             begin], text=True, capture_output=True, timeout=60,
            env=environment(server, TINE_BOARD_DIRECTORY=boards))
        assert done.returncode == 1
        assert re.fullmatch(r'tine: no permit within \d+ ms: of the budget of 1 connections for '
                            r'all processes 1 are in use, 1 acquires wait: w\d+:\d+ has 1\n',
                            done.stderr), done.stderr


TASKS = '''
import asyncio, sys, psycopg
async def work(number):
    conn = await psycopg.AsyncConnection.connect('')
    async with conn:
        row = await (await conn.execute('select %s::int, pg_sleep(0.01)', [number])).fetchone()
    return row[0]
async def main():
    return await asyncio.gather(*[work(number) for number in range(12)])
print(asyncio.run(main()) == list(range(12)))
'''

THREADS = '''
import threading, psycopg
done = []
def work(number):
    for turn in range(5):
        with psycopg.connect('') as conn:
            done.append(conn.execute('select %s::int', [number]).fetchone()[0])
threads = [threading.Thread(target=work, args=[number]) for number in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(done) == 40)
'''

FORKS = '''
import os, select
from psycopg import pq
def finish(conn, what=pq.PollingStatus.READING):
    while what not in (pq.PollingStatus.OK, pq.PollingStatus.FAILED):
        poll = select.poll()
        poll.register(conn.socket, select.POLLIN if what == pq.PollingStatus.READING
                      else select.POLLOUT)
        assert poll.poll(20000)
        what = conn.connect_poll()
    return what == pq.PollingStatus.OK
def status(pid):
    return os.waitpid(pid, 0)[1]
first = pq.PGconn.connect_start(b'')
assert finish(first, pq.PollingStatus.WRITING)
second = pq.PGconn.connect_start(b'')
assert second.connect_poll() == pq.PollingStatus.READING
assert second.status == pq.ConnStatus.STARTED and second.error_message == b''
gone = os.fork()
if gone == 0:
    second.finish()
    os._exit(0)
stays = os.fork()
if stays == 0:
    good = finish(second) and second.exec_(b'select 1').get_value(0, 0) == b'1'
    second.finish()
    os._exit(not good)
assert status(gone) == 0
assert second.connect_poll() == pq.PollingStatus.READING
first.finish()
assert finish(second)
assert second.exec_(b'select 1').get_value(0, 0) == b'1'
third = pq.PGconn.connect_start(b'')
third.finish()
number = os.open('/dev/null', os.O_RDONLY)
second.reset_start()
what = second.reset_poll()
while what not in (pq.PollingStatus.OK, pq.PollingStatus.FAILED):
    what = second.reset_poll()
assert second.exec_(b'select 1').get_value(0, 0) == b'1'
second.finish()
print(status(stays) == 0)
'''


@pytest.mark.parametrize('options', [['--budget', 3], ['--budget', 3, '--pool', 2]])
@pytest.mark.parametrize('program', [TASKS, THREADS], ids=['tasks', 'threads'])
def test_nobody_is_held_up_by_who_waits(server, boards, program, options):
    budget = options[1]
    with Sampler(server) as census:
        done = subprocess.run(
            [*procs.tine_command('--quiet', '--acquire-timeout', '60s', *options), PYTHON, '-c',
             program], text=True, capture_output=True, timeout=50,
            env=environment(server, TINE_BOARD_DIRECTORY=boards))
    assert done.stdout == 'True\n', done.stderr
    assert 0 < census.most <= budget


def test_fork_while_one_waits(server, boards):
    done = subprocess.run(
        [*procs.tine_command('--quiet', '--budget', 1), PYTHON, '-c', FORKS], text=True,
        capture_output=True, timeout=60, env=environment(server, TINE_BOARD_DIRECTORY=boards))
    assert (done.stdout, done.stderr) == ('True\n', '')


# The child's own connection has the permit that its inherited one needs to be opened anew.
REVIVES = '''
import os, sys, time, psycopg
from psycopg import pq
inherited = pq.PGconn.connect(b'')
if os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
own = pq.PGconn.connect(b'')
began = time.monotonic()
for _ in range(2):
    try:
        inherited.send_query(b'select 1')
    except psycopg.OperationalError as error:
        print(error)
print(time.monotonic() - began < 10)
own.finish()
print(inherited.exec_(b'select 1').get_value(0, 0) == b'1' and not inherited.error_message)
'''


def test_revive_is_refused_soon(server, boards):
    done = subprocess.run(
        [*procs.tine_command('--quiet', '--budget', 2), PYTHON, '-c', REVIVES], text=True,
        capture_output=True, timeout=100, env=environment(server, TINE_BOARD_DIRECTORY=boards))
    *refusals, in_time, works = done.stdout.splitlines()
    assert (in_time, works) == ('True', 'True'), (done.stdout, done.stderr)
    assert len(refusals) == 2 and all('of the budget of 2' in text for text in refusals)


def test_waiting_ends_with_a_reason(server, boards):
    program = ("import psycopg; first = psycopg.connect(''); first.execute('begin')\n"
               "try: psycopg.connect('')\n"
               "except psycopg.OperationalError as error: print(error)")
    done = subprocess.run(
        [*procs.tine_command('--budget', 1, '--acquire-timeout', '300ms'), PYTHON, '-c', program],
        text=True, capture_output=True, timeout=60,
        env=environment(server, TINE_BOARD_DIRECTORY=boards))
    assert re.search(r'no permit within \d+ ms: of the budget of 1 connections for all '
                     r'processes 1 are in use, 1 acquires wait: w\d+:\d+ has 1', done.stdout), (
        done.stdout, done.stderr)
    assert 'could not create socket' not in done.stdout


def test_what_is_wrong_is_said_after_waiting(server, boards):
    """What libpq was told while it waited is not in the error of the connect itself."""
    program = ("import os, psycopg, threading; first = psycopg.connect('')\n"
               "threading.Timer(0.3, first.close).start()\n"
               "try: psycopg.connect('password=wrong')\n"
               "except psycopg.OperationalError as error: print(error)")
    done = subprocess.run(
        [*procs.tine_command('--budget', 1), PYTHON, '-c', program], text=True,
        capture_output=True, timeout=60, env=environment(server, TINE_BOARD_DIRECTORY=boards))
    assert 'password authentication failed' in done.stdout, done.stderr
    assert 'socket' not in done.stdout


def test_own_parked_connection_makes_room(server, boards):
    first, second = steps(server, ['--budget', 1, '--pool', 2], 'open pid finish appname=x open '
                                                                'pid finish',
                          TINE_BOARD_DIRECTORY=boards)
    assert first != second


def test_ps_shows_them(server, boards):
    words = 'open open sql=begin ps'.split()
    done = subprocess.run([*procs.tine_command('--budget', 5), STEPS, *words], text=True,
                          capture_output=True, timeout=60,
                          env=environment(server, TINE_BOARD_DIRECTORY=boards,
                                          TINE=procs.tine_path()))
    assert done.returncode == 0, done.stderr
    tree, = json.loads(done.stdout)['trees']
    assert tree['permits']['held'] == 2
    states = sorted((one['state'], one['transaction']) for one in tree['connections'])
    assert states == [('busy', 'open'), ('idle', 'none')], tree['connections']
    assert all(one['backend_pid'] for one in tree['connections'])


def test_name_leads_to_the_process(server, boards):
    program = ("import os, psycopg2; conn = psycopg2.connect(application_name='shop'); "
               "print(conn.info.parameter_status('application_name'), os.getpid())")
    for more, expected in (([], r'shop\[w\d+:(\d+)\] (\d+)'), (['--no-identity'], r'shop (\d+)')):
        done = subprocess.run([*procs.tine_command('--budget', 5, *more), PYTHON, '-c', program],
                              text=True, capture_output=True, timeout=60,
                              env=environment(server, TINE_BOARD_DIRECTORY=boards))
        found = re.fullmatch(expected, done.stdout.strip())
        assert found, done.stdout + done.stderr
        assert len(set(found.groups())) == 1


def test_libtine_counts_once(server, boards):
    env = environment(server, TINE_BOARD_DIRECTORY=boards, TINE_CONNINFO=server.conninfo())
    with Sampler(server) as census:
        done = subprocess.run([*procs.tine_command('--budget', 2, '--pool', 2), TREE, '2', '2',
                               '1', '1'], env=env, text=True, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert ' timeouts=0 errors=0 wrong=0 ' in done.stdout
    assert 0 < census.most <= 2


def test_permit_of_one_that_the_program_closed_comes_back(server, boards):
    """A parked one whose descriptor is gone is left alone; its permit is not."""
    steps(server, ['--pool', 2, '--budget', 2, '--acquire-timeout', '10s'],
          'open finish closeall ' * 8 + 'open open', TINE_BOARD_DIRECTORY=boards)


@pytest.fixture(scope='module')
def goodbye(tmp_path_factory):
    if not shutil.which('gcc'):
        pytest.skip('gcc is not installed')
    directory = tmp_path_factory.mktemp('goodbye')
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'goodbye.c')
    command = ['gcc', '-O1', '-I/usr/include/postgresql', source]
    library = os.path.join(directory, 'libgoodbye.so')
    subprocess.run([*command, '-shared', '-fPIC', '-o', library, '-lpq'], check=True)
    subprocess.run([*command, '-DPROGRAM', '-o', directory / 'goodbye', library, '-lpq',
                    '-Wl,-rpath,%s' % directory], check=True)
    return directory / 'goodbye'


@pytest.mark.parametrize('options', [['--budget', 2], ['--budget', 2, '--pool', 2]])
def test_destructors_of_libraries_use_connections(server, boards, goodbye, options):
    """They come after the board was left."""
    done = subprocess.run([*procs.tine_command(*options), goodbye], text=True,
                          capture_output=True, timeout=60,
                          env=environment(server, TINE_BOARD_DIRECTORY=boards))
    assert (done.returncode, done.stdout.split()) == (0, ['0', 'goodbye', 'goodbye', 'over'])


RESET = '''
import ctypes, os, sys
lib = ctypes.CDLL('libpq.so.5')
lib.PQconnectdb.restype = lib.PQexec.restype = ctypes.c_void_p
lib.PQerrorMessage.restype = ctypes.c_char_p
conn = ctypes.c_void_p(lib.PQconnectdb(b''))
def query(sql):
    result = ctypes.c_void_p(lib.PQexec(conn, sql))
    status = lib.PQresultStatus(result)
    lib.PQclear(result)
    return status
gone, go_on = os.pipe(), os.pipe()
if os.fork():
    os.read(gone[0], 1)
    lib.PQfinish(conn)
    os.write(go_on[1], b'x')
    sys.exit(os.wait()[1] != 0)
lib.PQreset(conn)
assert b'no permit' in lib.PQerrorMessage(conn)
os.write(gone[1], b'x')
os.read(go_on[0], 1)
assert query(b'select 1') == 2, lib.PQerrorMessage(conn)
assert query(b'select nonsense') == 7
assert b'nonsense' in lib.PQerrorMessage(conn), lib.PQerrorMessage(conn)
'''


# All that begins something; what each returns when it has failed.
BEGIN = '''
import ctypes, os, sys
lib = ctypes.CDLL('libpq.so.5')
for name in ('PQconnectdb', 'PQexec', 'PQencryptPasswordConn'):
    getattr(lib, name).restype = ctypes.c_void_p
lib.PQerrorMessage.restype = ctypes.c_char_p
conn = ctypes.c_void_p(lib.PQconnectdb(b''))
if os.fork():
    sys.exit(os.wait()[1] != 0)
for name, words, failed in (
        ('PQexec', [b'select 1'], None), ('PQsendQuery', [b'select 1'], 0),
        ('PQsetClientEncoding', [b'LATIN1'], -1), ('PQenterPipelineMode', [], 0),
        ('PQencryptPasswordConn', [b'a', b'b', None], None), ('lo_open', [1, 0], -1),
        ('lo_creat', [0], 0), ('lo_create', [0], 0), ('lo_unlink', [1], -1),
        ('lo_import', [b'/etc/passwd'], 0), ('lo_import_with_oid', [b'/etc/passwd', 1], 0),
        ('lo_export', [1, b'/dev/null'], -1)):
    got = getattr(lib, name)(conn, *words)
    assert got == failed, (name, got)
    assert b'no permit' in lib.PQerrorMessage(conn), (name, lib.PQerrorMessage(conn))
    assert lib.PQstatus(conn) == 0, name
'''


def test_what_is_refused_fails(server, boards):
    done = subprocess.run([*procs.tine_command('--budget', 1, '--acquire-timeout', '100ms'),
                           PYTHON, '-c', BEGIN], text=True, capture_output=True, timeout=60,
                          env=environment(server, TINE_BOARD_DIRECTORY=boards))
    assert done.returncode == 0, done.stderr


def test_refusal_is_not_the_error_of_what_comes_later(server, boards):
    done = subprocess.run([*procs.tine_command('--budget', 1, '--acquire-timeout', '1s'), PYTHON,
                           '-c', RESET], text=True, capture_output=True, timeout=60,
                          env=environment(server, TINE_BOARD_DIRECTORY=boards))
    assert done.returncode == 0, done.stderr


WATCHED = '''
import os, select, sys
import psycopg2
is_watched = sys.argv[1] == 'watched'
conn = psycopg2.connect('')
conn.autocommit = True
cursor = conn.cursor()
loop = select.epoll()
if is_watched:
    loop.register(conn.fileno(), select.EPOLLIN)
child = os.fork()
if child == 0:
    try:
        psycopg2.connect('dbname=app').close()
        os._exit(0)
    except psycopg2.OperationalError as error:
        os._exit(3 if 'no permit' in str(error) else 4)
while True:
    cursor.execute('select 1')
    pid, status = os.waitpid(child, os.WNOHANG)
    if pid:
        break
print(os.waitstatus_to_exitcode(status))
'''


def test_watched_connection_is_not_lent(server, boards):
    for how, expected in (('free', ['0']), ('watched', ['3'])):
        done = subprocess.run([*procs.tine_command('--budget', 1, '--acquire-timeout', '3s'),
                               PYTHON, '-c', WATCHED, how], text=True, capture_output=True,
                              timeout=60, env=environment(server, TINE_BOARD_DIRECTORY=boards))
        assert (done.returncode, done.stdout.split()) == (0, expected), done.stderr
