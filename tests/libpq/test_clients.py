# SPDX-License-Identifier: PostgreSQL
"""Clients of libpq print the same under tine run as bare, line by line: clients.c in C, and the
programs of other makers that Debian has."""
import os
import shutil
import subprocess

import pytest

from support import procs

HERE = os.path.dirname(os.path.abspath(__file__))
INCLUDE = '/usr/include/postgresql'
PATH = '/usr/bin:/usr/sbin:/bin:/sbin'

CLIENTS = ['refused', 'lost', 'copy', 'pipeline', 'single_row', 'notify', 'large_object', 'cancel',
           'steps', 'leftovers', 'unfinished', 'watched', 'databases', 'reused']

MODES = {'revive': [], 'guard': ['--no-revive'], 'pool': ['--pool', '5'],
         'tracked': ['--pool', '5', '--reset', 'tracked']}


class Ran:
    """What a command printed, and how it ended."""

    def __init__(self, cluster, words, cwd):
        params = cluster.params('tls')
        env = {name: value for name, value in os.environ.items()
               if not name.startswith(('PG', 'TINE_', 'LD_'))}
        env.update(PATH=PATH, PGHOST=params['host'], PGPORT=str(params['port']),
                   PGUSER=params['user'], PGPASSWORD=params['password'],
                   PGDATABASE=params['dbname'], PGSSLMODE='require')
        self.done = subprocess.run(list(map(str, words)), env=env, capture_output=True, text=True,
                                   timeout=60, cwd=cwd, stdin=subprocess.DEVNULL, check=False)
        self.lines = self.done.stdout.splitlines()
        self.end = (self.done.returncode, self.done.stderr)


PYTHON = '/usr/bin/python3'

# Opens and closes the library; what is parked outlives it.
UNLOADS = '''
import _ctypes, ctypes
for _ in range(6):
    lib = ctypes.CDLL('libpq.so.5')
    lib.PQconnectdb.restype = lib.PQexec.restype = ctypes.c_void_p
    for _ in range(2):
        conn = ctypes.c_void_p(lib.PQconnectdb(b''))
        result = ctypes.c_void_p(lib.PQexec(conn, b'select 1'))
        print(lib.PQstatus(conn), lib.PQresultStatus(result))
        lib.PQfinish(conn)
    _ctypes.dlclose(lib._handle)
'''


@pytest.fixture(scope='module')
def program(tmp_path_factory):
    if not shutil.which('gcc'):
        pytest.skip('gcc is not installed')
    path = tmp_path_factory.mktemp('clients') / 'clients'
    subprocess.run(['gcc', '-O1', '-I' + INCLUDE, '-o', path, os.path.join(HERE, 'clients.c'),
                    '-lpq'], check=True)
    return path


@pytest.fixture(scope='module')
def bare(cluster, tmp_path_factory):
    """What a command does without tine, once for all modes."""
    known = {}

    def run(words):
        key = tuple(map(str, words))
        if key not in known:
            known[key] = Ran(cluster, words, tmp_path_factory.mktemp('bare'))
        return known[key]
    return run


@pytest.fixture
def compare(cluster, bare, tmp_path):
    def check(words, mode):
        expected = bare(words)
        command = procs.tine_command('--log', tmp_path / 'tine.log', *MODES[mode])
        ran = Ran(cluster, [*command, *words], tmp_path)
        assert (ran.lines, ran.end) == (expected.lines, expected.end)
        return ran
    return check


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('client', CLIENTS)
def test_a_client_in_c(compare, cluster, program, client, mode):
    if client == 'databases':
        cluster.admin_sql('alter role app createdb')
    ran = compare([program, client], mode)
    assert ran.end == (0, '') and ran.lines


@pytest.mark.parametrize('mode', MODES)
def test_a_libpq_that_is_unloaded(compare, mode):
    assert compare([PYTHON, '-c', UNLOADS], mode).end == (0, '')


@pytest.mark.parametrize('mode', ['guard', 'pool'])
def test_a_connection_that_is_handed_to_a_child(cluster, compare, tmp_path, mode):
    """pg_basebackup makes a session for its child, with a slot that no other session could have."""
    with open(os.path.join(cluster.data, 'pg_hba.conf'), encoding='ascii') as file:
        access = file.read()
    line = 'hostssl replication app 127.0.0.1/32 scram-sha-256\n'
    if line not in access:
        with open(os.path.join(cluster.data, 'pg_hba.conf'), 'a', encoding='ascii') as file:
            file.write(line)
        cluster.admin_sql('alter role app replication')
        cluster.reload()
    words = [os.path.join(cluster.bindir, 'pg_basebackup'), '-X', 'stream', '-c', 'fast', '-D',
             'backup']
    assert compare(words, mode).end == (0, '')
