# SPDX-License-Identifier: PostgreSQL
"""Each driver by itself: the parent is in a transaction, the child does one thing to the
inherited connection, then opens one of its own. Blocking drivers and event loops."""
import os

import psycopg2
import pytest

from peer.harness import APPS, PYTHON, check_result, check_safe, need_python_module, safe
from support.procs import wait_until

TRANSPORTS = ['tls13', 'tls12', 'plain', 'unix']
ACTIONS = ['exit', 'close', 'collect', 'query', 'query_and_close']


def run(site, program, driver, action, transport, legacy=None, **more):
    """Run a driver's program; the configuration also has what drivers without SCRAM need."""
    # asyncpg knows no libpq parameters but sslmode in its URL.
    params = site.cluster.params(transport)
    dsn = site.cluster.url({'tls12': 'tls', 'tls13': 'tls'}.get(transport, transport))
    dsn = dsn.replace('&gssencmode=disable', '')
    env = site.configure(transport, file=site.path('file'), dsn=dsn,
                         legacy={**params, **(legacy or {})}, **more)
    return site.run([PYTHON, os.path.join(APPS, program), driver, action], env)


@pytest.fixture
def legacy(cluster):
    """A role with an md5 password, for a driver that is older than SCRAM."""
    hba = os.path.join(cluster.data, 'pg_hba.conf')
    with open(hba, encoding='ascii') as file:
        rules = file.read()
    if 'legacy' not in rules:
        with open(hba, 'a', encoding='ascii') as file:
            file.write('host all legacy 127.0.0.1/32 md5\nlocal all legacy md5\n')
        cluster.admin_sql("set password_encryption = md5; create role legacy login password "
                          "'legacy'; select pg_reload_conf()")
    login = {'user': 'legacy', 'password': 'legacy'}
    # The server reads its rules again some time after it was told to.
    wait_until(lambda: psycopg2.connect(cluster.conninfo('plain', **login)), 30, 'the new rules')
    return login


@pytest.mark.parametrize('transport', TRANSPORTS)
@pytest.mark.parametrize('action', ACTIONS)
@pytest.mark.parametrize('driver', ['psycopg2', 'psycopg'])
def test_blocking_guarded(site, driver, action, transport):
    need_python_module(driver)
    check_safe(run(site, 'fork_once.py', driver, action, transport), action)


@pytest.mark.parametrize('transport', ['tls13', 'plain', 'unix'])
def test_after_other_programs(site, transport):
    """Programs started before the fork, by vfork or with their descriptors closed, change nothing:
    neither the parent's connection, nor that it is known."""
    need_python_module('psycopg2')
    result = run(site, 'fork_once.py', 'psycopg2', 'query', transport, spawn=True)
    check_safe(result, 'query')


@pytest.mark.parametrize('transport', TRANSPORTS)
def test_reset_guarded(site, transport):
    """PQreset in the child gives the child a session, and takes none from the parent."""
    need_python_module('psycopg')
    result = run(site, 'fork_once.py', 'psycopg', 'reset', transport)
    check_safe(result)
    assert result['child']['backend'] != result['before'], result


@pytest.mark.guards('bare')
@pytest.mark.parametrize('driver,action,transport', [
    ('psycopg2', 'close', 'tls13'), ('psycopg2', 'close', 'plain'),
    ('psycopg2', 'query', 'tls12'), ('psycopg2', 'query', 'unix'),
    ('psycopg2', 'query_and_close', 'tls13'), ('psycopg', 'close', 'tls13'),
    ('psycopg', 'query', 'tls13'), ('psycopg', 'query', 'plain'), ('psycopg', 'reset', 'tls13'),
    ('psycopg', 'reset', 'plain')])
def test_blocking_bare(site, driver, action, transport):
    need_python_module(driver)
    assert not safe(run(site, 'fork_once.py', driver, action, transport))


@pytest.mark.guards('bare', 'tine')
@pytest.mark.parametrize('transport', ['tls13', 'plain'])
@pytest.mark.parametrize('driver', ['psycopg2', 'psycopg'])
def test_close_fd(site, driver, transport):
    """The child closes the socket's number and opens a file, then closes the connection.

    Bare, libpq closes the file that took the number.
    """
    need_python_module(driver)
    result = run(site, 'fork_once.py', driver, 'close_fd', transport)
    assert (result['child'].get('file') == 'one two') == site.guard.on, result


@pytest.mark.guards('bare', 'tine')
@pytest.mark.parametrize('transport', ['tls13', 'plain', 'unix'])
@pytest.mark.parametrize('action', ['close', 'query'])
def test_pg8000(site, legacy, action, transport):
    """A driver in Python alone: no libpq in the process."""
    need_python_module('pg8000')
    result = run(site, 'fork_once.py', 'pg8000', action, transport, legacy)
    check_result(site, result, action)


@pytest.mark.guards('bare', 'tine')
@pytest.mark.parametrize('action,transport', [
    (action, transport) for action in ('remove_reader', 'abort', 'terminate', 'query')
    for transport in ('tls13', 'plain')])
def test_asyncpg(site, action, transport):
    """The child takes the socket out of the epoll it shares, and the parent never hears again."""
    need_python_module('asyncpg')
    result = run(site, 'fork_in_loop.py', 'asyncpg', action, transport)
    check_result(site, result, action)


@pytest.mark.guards('bare', 'tine')
@pytest.mark.parametrize('transport', ['tls13', 'plain'])
@pytest.mark.parametrize('action', ['close', 'query'])
def test_psycopg_async(site, action, transport):
    need_python_module('psycopg')
    result = run(site, 'fork_in_loop.py', 'psycopg', action, transport)
    check_result(site, result, action)
