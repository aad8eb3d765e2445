# SPDX-License-Identifier: PostgreSQL
"""The drivers' wheels from PyPI, which bring a renamed libpq and OpenSSL of their own. Where PyPI
cannot be reached the tests are skipped."""
import pytest

from peer.harness import APPS, check_safe, safe
from support import wheels

ACTIONS = ['exit', 'close', 'collect', 'query', 'query_and_close']
CASES = ([('psycopg2', action) for action in ACTIONS]
         + [('psycopg', action) for action in ACTIONS + ['reset']])


@pytest.fixture(scope='session')
def wheel_python():
    return wheels.python()


def run(site, python, driver, action, transport):
    env = site.configure(transport, file=site.path('file'))
    result = site.run([python, APPS + '/fork_once.py', driver, action], env)
    assert result['libpq'] and not any(path.startswith('/usr/lib') or path.startswith('/lib')
                                       for path in result['libpq']), result
    return result


@pytest.mark.parametrize('transport', ['tls13', 'plain'])
@pytest.mark.parametrize('driver,action', CASES)
def test_guarded(site, wheel_python, driver, action, transport):
    check_safe(run(site, wheel_python, driver, action, transport), action)


@pytest.mark.guards('bare')
@pytest.mark.parametrize('driver', ['psycopg2', 'psycopg'])
@pytest.mark.parametrize('action,transport', [
    ('close', 'tls13'), ('close', 'plain'), ('query', 'tls13'), ('query', 'plain')])
def test_bare(site, wheel_python, driver, action, transport):
    result = run(site, wheel_python, driver, action, transport)
    assert not safe(result), result


@pytest.mark.guards('bare', 'tine')
@pytest.mark.parametrize('driver', ['psycopg2', 'psycopg'])
def test_close_fd(site, wheel_python, driver):
    """A file that took the number of a socket which was closed behind the driver's back."""
    result = run(site, wheel_python, driver, 'close_fd', 'tls13')
    assert (result['child'].get('file') == 'one two') == site.guard.on, result
