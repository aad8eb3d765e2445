# SPDX-License-Identifier: PostgreSQL
"""Forks inside one program: multiprocessing, concurrent.futures, a fork per job, a fork in a
thread while other threads are in the middle of a query."""
import pytest

from peer.harness import APPS, PYTHON, Report, need_python_module

CONNECTIONS = 3


@pytest.fixture(autouse=True)
def installed():
    need_python_module('sqlalchemy', 'psycopg2')


@pytest.mark.guards('bare', 'tine', 'revive')
@pytest.mark.parametrize('kind,transport,pre_ping', [
    ('pool', 'tls13', False), ('pool', 'tls13', True), ('pool', 'plain', False),
    ('executor', 'tls13', True), ('executor', 'plain', False),
    ('job', 'tls13', False), ('job', 'tls13', True), ('job', 'plain', True),
    ('thread', 'tls13', False), ('thread', 'plain', False)])
def test_fork(site, kind, transport, pre_ping):
    env = site.configure(transport, pre_ping=pre_ping, connections=CONNECTIONS)
    result = site.run([PYTHON, APPS + '/process_pools.py', kind], env)
    report = Report(result['state']['before'])
    for nonce, reply in result['replies']:
        report.add(nonce, reply)
    intact = sorted(result['state']['after']) == sorted(report.inherited)
    if not site.guard.on:
        assert report.shared or not intact or result['parent_errors'], (report, result['state'])
        return
    report.check_guarded(pre_ping, CONNECTIONS, 2, site.guard.revives)
    assert intact and not result['parent_errors'], result
