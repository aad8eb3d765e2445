# SPDX-License-Identifier: PostgreSQL
"""uWSGI in its default mode: the master imports the application once, then forks."""
import pytest

from peer.harness import (Report, check_inherited, load_every_worker, need_program,
                          need_python_module)
from support import procs

CONNECTIONS = 3
WORKERS = 2


@pytest.fixture(autouse=True)
def installed():
    need_program('uwsgi', 'uwsgi-core and uwsgi-plugin-python3')
    need_python_module('sqlalchemy', 'psycopg2')


@pytest.mark.guards('bare', 'tine', 'revive')
@pytest.mark.parametrize('transport,threads,pre_ping', [
    ('tls13', 1, False), ('tls13', 1, True), ('tls13', 3, True), ('plain', 3, False)])
def test_load(site, transport, threads, pre_ping):
    env = site.configure(transport, pre_ping=pre_ping, connections=CONNECTIONS,
                         witness=site.path('witness'))
    port = procs.free_port()
    server = site.serve(['uwsgi', '--plugin', 'python3', '--master', '--processes', WORKERS,
                         '--threads', threads, '--enable-threads', '--need-app', '--die-on-term',
                         '--http-socket', '127.0.0.1:%d' % port, '--module', 'web'], env)
    with server:
        server.wait_ready(lambda: server.text().count('spawned uWSGI worker') >= WORKERS)
        report = load_every_worker(site, port, Report(site.inherited()), WORKERS)
        check_inherited(site, report, pre_ping, CONNECTIONS, WORKERS)
