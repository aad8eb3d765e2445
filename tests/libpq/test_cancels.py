# SPDX-License-Identifier: PostgreSQL
"""Cancelling by libpq 17's PQcancelCreate(), which only wheels have here, and by PQcancel()."""
import os

import pytest

from libpq.programs import HERE
from support import wheels

NEEDS = """\
import psycopg, sys
sys.exit(0 if psycopg.pq.version() >= 170000 and psycopg.capabilities.has_cancel_safe() else 77)
"""


@pytest.fixture(scope='module')
def python():
    return wheels.python()


@pytest.mark.parametrize('transport', ['tls', 'unix'])
@pytest.mark.parametrize('options', [['--pool', '2'], ['--budget', '6'],
                                     ['--pool', '2', '--budget', '6'], ['--no-identity']],
                         ids=' '.join)
def test_the_right_session_is_cancelled(cluster, run_on, python, options, transport):
    run = run_on(cluster.conninfo(transport))
    if run.start([python, '-c', NEEDS]).returncode == 77:
        pytest.skip('the wheel has no libpq 17')
    done = run([python, '-u', os.path.join(HERE, 'cancels.py')], options=options)
    assert done.splitlines() == [
        'the parent', 'another session', 'the child', "the child's own",
        "the parent's statement was left alone", 'the next connection']
