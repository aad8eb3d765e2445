# SPDX-License-Identifier: PostgreSQL
"""psql scripts in the manner of PostgreSQL's regression tests, and pgbench, under `tine run`: what
they print is what they print bare."""
import glob
import os
import re
import subprocess

import pytest

from support import procs
from suites import judge, runner

SCRIPTS = sorted(glob.glob(os.path.join(os.path.dirname(__file__), 'psql', '*.sql')))
MODES = ('revive', 'pool')


@pytest.fixture(scope='module')
def server():
    with judge.start_cluster() as cluster:
        cluster.admin_sql('grant pg_read_all_data to app')
        yield cluster


def environment(server):
    return {'PATH': '/usr/bin:/bin', 'HOME': '/nonexistent', 'LC_ALL': 'C.UTF-8', 'TZ': 'UTC',
            'PGHOST': server.host, 'PGPORT': str(server.port), 'PGUSER': server.user,
            'PGPASSWORD': server.password, 'PGDATABASE': server.dbname, 'PGSSLMODE': 'require',
            'PGCLIENTENCODING': 'UTF8'}


def run(server, prefix, program, *words):
    """(exit status, what it printed)"""
    done = subprocess.run([*prefix, os.path.join(server.bindir, program), *words],
                          env=environment(server), stdin=subprocess.DEVNULL, timeout=120,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return done.returncode, done.stdout.decode('utf-8', 'replace')


def under_tine(tmp_path, mode):
    return procs.tine_command('--log', str(tmp_path / 'tine.log'), *runner.MODES[mode])


def steady(text):
    """Without what differs from run to run by itself: server processes, names of large objects."""
    text = re.sub(r'(server process with PID) \d+', r'\1 N', text)
    return re.sub(r'(lo_import |^ *)\d{5,}', r'\1N', text, flags=re.M)


def script(server, prefix, path):
    status, text = run(server, prefix, 'psql', '-X', '-a', '-f', path)
    return [*steady(text).splitlines(), 'exit status %d' % status]


@pytest.mark.parametrize('mode', [*MODES, 'tracked'])
@pytest.mark.parametrize('path', SCRIPTS, ids=[os.path.basename(path) for path in SCRIPTS])
def test_script(server, tmp_path, path, mode):
    bare = script(server, [], path)
    first = runner.sessions(server)
    assert script(server, under_tine(tmp_path, mode), path) == bare
    if mode == 'pool' and bare.count('\\c') > 5:
        assert runner.sessions(server) - first < bare.count('\\c'), bare


def pgbench(server, prefix, *words):
    status, text = run(server, prefix, 'pgbench', '-n', *words)
    assert status == 0, text
    return text


@pytest.fixture(scope='module')
def filled(server):
    pgbench(server, [], '-i', '-q')
    return server


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('each', [(), ('-C',)], ids=['kept', 'connect'])
@pytest.mark.parametrize('protocol', ['simple', 'extended', 'prepared'])
@pytest.mark.parametrize('builtin', ['tpcb-like', 'simple-update', 'select-only'])
def test_pgbench(filled, tmp_path, mode, each, protocol, builtin):
    before = runner.sessions(filled)
    output = pgbench(filled, under_tine(tmp_path, mode), '-b', builtin, '-M', protocol, '-c', '2',
                     '-j', '2', '-t', '25', *each)
    assert 'actually processed: 50/50' in output, output
    assert 'failed transactions: 0 ' in output, output
    if mode == 'pool' and each:
        assert runner.sessions(filled) - before <= 5, output
    sums = filled.admin_sql(
        'select (select sum(abalance) from pgbench_accounts), '
        '       (select coalesce(sum(delta), 0) from pgbench_history)')[0]
    assert sums[0] == sums[1]


@pytest.mark.parametrize('mode', MODES)
def test_pgbench_fills(server, tmp_path, mode):
    output = pgbench(server, under_tine(tmp_path, mode), '-i', '-I', 'dtgvp')
    assert 'done in' in output
