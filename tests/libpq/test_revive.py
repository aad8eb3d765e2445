# SPDX-License-Identifier: PostgreSQL
"""Connections that are gone are opened anew at their next use, or are lost as without tine."""
import os
import re
import subprocess

import pytest

from libpq.programs import HERE, TESTS

TRANSPORTS = ['tls13', 'tls12', 'plain', 'unix']
PYTHON = '/usr/bin/python3'


def all_of(program, runner, *options):
    """Run a program of C tests; those that failed."""
    done = runner.start([os.path.join(TESTS, program)], options=options)
    assert re.search(r'^1\.\.\d+$', done.stdout, re.M), (done.stdout, done.stderr)
    return re.findall(r'(?:^#.*\n)*^not ok.*', done.stdout, re.M)


@pytest.mark.parametrize('transport', TRANSPORTS)
def test_revive(cluster, run_on, transport):
    assert all_of('revive_test', run_on(cluster.conninfo(transport))) == []


@pytest.mark.parametrize('transport', ['tls13', 'unix'])
def test_restore(cluster, run_on, transport):
    assert all_of('restore_test', run_on(cluster.conninfo(transport))) == []


@pytest.mark.parametrize('transport', ['tls13', 'unix'])
def test_cancels_meanwhile(cluster, run_on, transport):
    assert all_of('cancel_test', run_on(cluster.conninfo(transport))) == []


@pytest.mark.parametrize('options', [
    [], ['--ping-idle', '10ms'], ['--budget', '20'], ['--budget', '20', '--pool', '3'],
], ids=' '.join)
@pytest.mark.parametrize('transport', ['tls13', 'unix'])
def test_unseen(cluster, run_on, transport, options):
    assert all_of('unseen_test', run_on(cluster.conninfo(transport)), *options) == []


@pytest.mark.parametrize('transport', ['tls13', 'tls12'])
def test_forks_while_others_connect(cluster, run_on, transport):
    assert all_of('connects_test', run_on(cluster.conninfo(transport))) == []


def test_threads_that_share_a_connection(cluster, remote):
    """psycopg2 asks how a connection is before it waits for its turn on it."""
    python = remote(cluster.conninfo('tls'))
    python("""\
import collections, os, psycopg2, threading, time
conn = psycopg2.connect(os.environ['CONNINFO'])
conn.autocommit = True
def ask():
    cursor = conn.cursor()
    cursor.execute('select pg_backend_pid()')
    return cursor.fetchone()[0]
def use(seen):
    for _ in range(20):
        try:
            seen[ask()] += 1
        except psycopg2.Error as error:
            seen[repr(error)] += 1
def all_use():
    seen = collections.Counter()
    threads = [threading.Thread(target=use, args=[seen]) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(seen.values()), list(map(str, seen))""")
    for _ in range(5):
        pid = python('ask()')
        python('time.sleep(0.02)')      # what has just been used is not looked at
        cluster.admin_sql('select pg_terminate_backend(%d, 5000)' % pid)
        counts, seen = python('all_use()')
        assert counts == [60], seen
        assert seen != [str(pid)]


def test_with_libtine(run):
    """Its handler is the first in the child, and uses hooks: the fork is noticed once, and as what
    it is."""
    run([os.path.join(TESTS, 'linked')])
    forks = [line for line in run.log().splitlines() if ' fork' in line]
    assert len(forks) == 1, forks
    assert re.search(r'\] fork: parent \d+: severed 2 inherited', forks[0]), forks


def test_without_revive(cluster, run_on):
    """The same test fails: what it shows is revive's doing."""
    runner = run_on(cluster.conninfo('tls'))
    for name in ('inherited', 'ended'):
        done = runner.start([os.path.join(TESTS, 'revive_test'), name], options=['--no-revive'])
        assert 'not ok' in done.stdout, (done.stdout, done.stderr)


@pytest.mark.parametrize('options, sessions', [
    (['--budget', '6'], 6), (['--pool', '2'], 1), (['--budget', '6', '--pool', '2'], 1),
    (['--pool', '2', '--reset', 'none'], 1)])
def test_the_programs_own_loop(cluster, run_on, options, sessions):
    """A login in steps waits for nothing but what its program waits for."""
    run = run_on(cluster.conninfo('tls'))
    assert run([PYTHON, os.path.join(HERE, 'own_loop.py')], options=options) == '%d\n' % sessions
