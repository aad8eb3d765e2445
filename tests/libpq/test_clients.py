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
           'steps', 'leftovers', 'unfinished']

MODES = {'revive': [], 'guard': ['--no-revive']}


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
def test_a_client_in_c(compare, program, client, mode):
    ran = compare([program, client], mode)
    assert ran.end == (0, '') and ran.lines
