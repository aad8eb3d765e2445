# SPDX-License-Identifier: PostgreSQL
"""Gunicorn with --preload: SQLAlchemy and psycopg2, connections opened at import in the master."""
import concurrent.futures
import os
import signal

import pytest

from peer.harness import (Report, check_inherited, load, load_every_worker, need_program,
                          need_python_module)
from support import procs

CONNECTIONS = 3
WORKERS = 2


@pytest.fixture(autouse=True)
def installed():
    need_program('gunicorn')
    need_python_module('sqlalchemy', 'psycopg2')


def start(site, env, worker_class, *options):
    port = procs.free_port()
    threads = ['--threads', '3'] if worker_class == 'gthread' else []
    server = site.serve(['gunicorn', '--preload', '--workers', WORKERS, '--bind',
                         '127.0.0.1:%d' % port, '--worker-class', worker_class, *threads,
                         *options, 'web:application'], env)
    return server, port


def ready(server, port):
    server.wait_ready(lambda: procs.port_open(port))
    server.wait_ready(lambda: server.text().count('Booting worker') >= WORKERS)


def environment(site, transport, pre_ping):
    return site.configure(transport, pre_ping=pre_ping, connections=CONNECTIONS,
                          witness=site.path('witness'))


def check(site, report, pre_ping):
    check_inherited(site, report, pre_ping, CONNECTIONS, WORKERS)


CASES = [('tine', worker_class, transport, pre_ping) for worker_class, transport in [
    ('sync', 'tls13'), ('gthread', 'tls13'), ('gthread', 'plain'), ('gthread', 'unix'),
    ('gthread', 'tls12')] for pre_ping in (False, True)]
REVIVE_CASES = [('revive', worker_class, transport, False) for worker_class, transport in [
    ('sync', 'tls13'), ('gthread', 'tls12'), ('gthread', 'plain'), ('gthread', 'unix')]]
BARE_CASES = [('bare', 'sync', 'tls13', False), ('bare', 'gthread', 'tls13', True),
              ('bare', 'gthread', 'plain', False), ('bare', 'gthread', 'unix', True)]


@pytest.mark.parametrize('guard,worker_class,transport,pre_ping', CASES + REVIVE_CASES + BARE_CASES,
                         indirect=['guard'])
def test_load(site, worker_class, transport, pre_ping):
    env = environment(site, transport, pre_ping)
    server, port = start(site, env, worker_class)
    with server:
        ready(server, port)
        report = load_every_worker(site, port, Report(site.inherited()), WORKERS)
        check(site, report, pre_ping)


@pytest.mark.guards('bare', 'tine')
def test_reload_under_load(site):
    """HUP: new workers are forked from the same master while requests are served."""
    env = environment(site, 'tls13', True)
    server, port = start(site, env, 'gthread')
    with server, concurrent.futures.ThreadPoolExecutor(1) as background:
        ready(server, port)
        report = Report(site.inherited())
        under_load = background.submit(load, site, port, report, 250, 4)
        os.kill(server.pid, signal.SIGHUP)
        server.wait_ready(lambda: server.text().count('Booting worker') >= 2 * WORKERS)
        under_load.result()
        load(site, port, report, 50)
        check(site, report, True)


@pytest.mark.guards('bare', 'tine')
def test_worker_recycling(site):
    """--max-requests: workers end, with all their finalizers, and others are forked."""
    env = environment(site, 'tls13', True)
    server, port = start(site, env, 'sync', '--max-requests', '25')
    with server:
        ready(server, port)
        report = load(site, port, Report(site.inherited()), 150)
        check(site, report, True)
        assert server.text().count('Booting worker') > WORKERS, server.text()
