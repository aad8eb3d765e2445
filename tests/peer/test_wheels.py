# SPDX-License-Identifier: PostgreSQL
"""The drivers' wheels from PyPI, which bring a renamed libpq and OpenSSL of their own. They live
in a virtual environment in the build folder; where PyPI cannot be reached the tests are skipped."""
import fcntl
import os
import shutil
import subprocess
import time

import pytest

from peer.harness import APPS, PYTHON, check_safe, clean_env, safe
from support import procs

WHEELS = ['psycopg2-binary', 'psycopg[binary]']
ACTIONS = ['exit', 'close', 'collect', 'query', 'query_and_close']
CASES = ([('psycopg2', action) for action in ACTIONS]
         + [('psycopg', action) for action in ACTIONS + ['reset']])

# For how long nobody asks again after PyPI could not be reached.
RETRY_SECONDS = 600


def install(folder):
    """Make the virtual environment; returns why not, or None."""
    env = {name: value for name, value in clean_env().items() if name != 'PYTHONPATH'}
    pip = [os.path.join(folder, 'bin', 'pip'), 'install', '--quiet', '--only-binary', ':all:',
           '--timeout', '5', '--retries', '0', *WHEELS]
    for command in ([PYTHON, '-m', 'venv', folder], pip):
        try:
            done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, timeout=60,
                                  stderr=subprocess.STDOUT, check=False)
        except subprocess.TimeoutExpired:
            return '%s: no end within 60 s' % command[0]
        if done.returncode != 0:
            return (done.stdout.strip().splitlines() or ['%s failed' % command[0]])[-1]
    return None


def recently_failed(mark):
    """Why the last attempt failed, if that was a short while ago."""
    if not os.path.exists(mark) or time.time() - os.path.getmtime(mark) > RETRY_SECONDS:
        return None
    with open(mark, encoding='utf-8') as file:
        return file.read()


def make_once(folder):
    """Make the environment, or find it made, under a lock; returns why there is none, or None."""
    complete = os.path.join(folder, 'complete')
    with open(folder + '.lock', 'w', encoding='ascii') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        reason = recently_failed(folder + '.failed')
        if reason or os.path.exists(complete):
            return reason
        shutil.rmtree(folder, ignore_errors=True)
        reason = install(folder)
        with open(folder + '.failed' if reason else complete, 'w', encoding='utf-8') as file:
            file.write(reason or '')
    return reason


@pytest.fixture(scope='session')
def wheel_python():
    """The virtual environment's Python; whichever test worker comes first makes it for all."""
    folder = os.path.join(os.path.dirname(procs.tine_path()), 'peer-wheels')
    try:
        reason = make_once(folder)
    except OSError as error:
        reason = str(error)
    if reason:
        pytest.skip('wheels cannot be installed: ' + reason)
    return os.path.join(folder, 'bin', 'python')


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
