# SPDX-License-Identifier: PostgreSQL
"""The drivers' wheels from PyPI, which bring a renamed libpq and OpenSSL of their own, in a virtual
environment in the build folder. Where PyPI cannot be reached there is none."""
import fcntl
import os
import shutil
import subprocess
import time

import pytest

from support import procs

PYTHON = '/usr/bin/python3'
WHEELS = ['psycopg2-binary', 'psycopg[binary]']

# For how long nobody asks again after PyPI could not be reached.
RETRY_SECONDS = 600


def python():
    """Its Python; the test is skipped where there is none. Whichever test worker comes first makes
    it for all."""
    folder = os.path.join(os.path.dirname(procs.tine_path()), 'peer-wheels')
    try:
        reason = make_once(folder)
    except OSError as error:
        reason = str(error)
    if reason:
        pytest.skip('wheels cannot be installed: ' + reason)
    return os.path.join(folder, 'bin', 'python')


def install(folder):
    """Make the virtual environment; returns why not, or None."""
    env = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
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
