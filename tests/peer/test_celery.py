# SPDX-License-Identifier: PostgreSQL
"""Celery prefork with a real broker: connections opened at import in the main process."""
import signal

import pytest

from peer.harness import (APPS, PYTHON, Guard, Report, Site, check_inherited, need_program,
                          need_python_module)

CONNECTIONS = 3
CHILDREN = 2


@pytest.fixture(autouse=True)
def installed():
    need_program('celery')
    need_python_module('sqlalchemy', 'psycopg2', 'redis')


def check(site, redis, transport, pre_ping, *options):
    env = site.configure(transport, pre_ping=pre_ping, connections=CONNECTIONS, redis=redis.url,
                         witness=site.path('witness'))
    worker = site.serve(['celery', '-A', 'tasks', 'worker', '--pool', 'prefork', '--concurrency',
                         CHILDREN, '--without-gossip', '--without-mingle', '--loglevel', 'INFO',
                         *options], env)
    with worker:
        worker.wait_ready(' ready.')
        report = Report(site.inherited())
        client = Site(site.cluster, Guard(None, site.directory), site.directory)
        for nonce, reply in client.run([PYTHON, APPS + '/send_tasks.py'], env)['replies']:
            report.add(nonce, reply)
        check_inherited(site, report, pre_ping, CONNECTIONS, CHILDREN)
        worker.stop(signal.SIGKILL)
        return report


@pytest.mark.parametrize('guard,transport,pre_ping', [
    ('tine', 'tls13', False), ('tine', 'tls13', True), ('tine', 'plain', False),
    ('tine', 'plain', True), ('revive', 'tls13', False), ('revive', 'plain', False),
    ('bare', 'tls13', True), ('bare', 'plain', False)],
    indirect=['guard'])
def test_tasks(site, redis, transport, pre_ping):
    check(site, redis, transport, pre_ping)


@pytest.mark.guards('bare', 'tine')
def test_child_recycling(site, redis):
    """--max-tasks-per-child: children end and others are forked from the same main process."""
    report = check(site, redis, 'tls13', True, '--max-tasks-per-child', '12')
    assert len(report.workers) > CHILDREN, report
