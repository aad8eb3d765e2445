# SPDX-License-Identifier: PostgreSQL
"""The cross-talk soak in short, and proof that it can fail. The long one: `make soak`."""
import os
import re

import pytest

import soak_driver

# Long enough for kills, stops, forks, terminated backends and a restart.
SECONDS = 8

HAPPENS = {'turns', 'connects', 'workers killed', 'workers stopped', 'backends terminated',
           'restarts', 'cancelled acquires', 'commits', 'sessions lost in use'}
FORKS = {'forks', 'programs started'}


@pytest.fixture(scope='module')
def server():
    if not os.access(soak_driver.SOAK, os.X_OK):
        pytest.fail('%s is not built' % soak_driver.SOAK)
    with soak_driver.Server() as running:
        yield running


def counts(text):
    """{what was counted: how often} of the summary."""
    return {name: int(value) for name, value in re.findall(r'^(\S.{21}) +(\d+)', text, re.M)
            for name in [name.strip()]}


@pytest.mark.parametrize('transport, reset', [('tls', 'rollback'), ('unix', 'full')])
def test_no_wrong_answer_and_nothing_left(server, transport, reset):
    soak = soak_driver.Soak(server, transport, '--reset', reset, '--kill-ms', 1000,
                            '--stop-ms', 1500)
    assert soak.run(SECONDS, restarts=[SECONDS / 2]) == 0, soak.text
    seen = counts(soak.text)
    expected = HAPPENS if soak_driver.SANITIZED else HAPPENS | FORKS
    assert {what for what in expected if not seen[what]} == set(), soak.text
    assert seen['checkouts'] > 500, soak.text


def test_undisturbed_nothing_is_lost(server):
    """Forks and killed workers alone: whatever they do, no session of another process ends."""
    soak = soak_driver.Soak(server, 'tls', '--terminate-ms', 0, '--kill-ms', 500)
    assert soak.run(4) == 0, soak.text
    seen = counts(soak.text)
    assert seen['workers killed'] > 0 and seen['sessions lost in use'] == 0, soak.text


def fails(server, transport, seconds, *options):
    soak = soak_driver.Soak(server, transport, *options)
    assert soak.run(seconds) == 1, soak.text
    return soak.text


def test_bare_connections_over_fork_give_wrong_answers(server):
    # Now and then all of them break before any two of them meet.
    assert any('wrong answer' in fails(server, 'unix', 10, '--bare') for _ in range(4))


def test_bare_connections_over_fork_are_lost_with_tls(server):
    text = fails(server, 'tls', 10, '--bare')
    assert 'wrong answer' in text or 'nobody has terminated it' in text, text


# How it is found, in one of these ways.
DEFECTS = {
    'hang': ['hangs'],
    'crash': ['was ended by signal 11'],
    'descriptor': ['descriptors in the beginning'],
    'memory': ['bytes of memory are left', 'the memory of worker 0 grew'],
    'session': ["has been nobody's", 'descriptors in the beginning'],
    'commit': ['were committed of transactions that were not'],
    'loss': ['nobody has terminated it'],
}


@pytest.mark.parametrize('defect', DEFECTS)
def test_a_defect_is_found(server, defect):
    text = fails(server, 'unix', 3, '--workers', 2, '--threads', 2, '--watch-ms', 1500,
                 '--vanish-ms', 500, '--break', defect)
    assert any(words in text for words in DEFECTS[defect]), text
