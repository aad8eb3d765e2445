# SPDX-License-Identifier: PostgreSQL
"""Revive and pool: programs that open connections before they fork, and never test them, see no
failure at all; nor do those that connect for each request, or whose connections were dropped."""
import signal
import time

import pytest

from peer.harness import (APPS, PYTHON, Guard, Report, Site, load, load_every_worker, need_program,
                          need_python_module)
from support import procs
from support.proxy import Proxy

CONNECTIONS = 3
WORKERS = 2

BOTH = pytest.mark.guards('revive', 'pool')
REVIVE = pytest.mark.guards('revive')


def check(site, report, workers=WORKERS):
    """Every answer right, and the master's sessions are the master's."""
    assert report.correct and not report.errors and not report.wrong and not report.shared, report
    assert len(report.workers) >= workers, report
    master = site.ask_witness()
    assert sorted(master['after']) == sorted(master['before']), master


def gunicorn(site, env, port, *options, app='web:application', tine=()):
    server = site.serve(['gunicorn', '--preload', '--workers', WORKERS, '--bind',
                         '127.0.0.1:%d' % port, *options, app], env, *tine)
    server.start()
    server.wait_ready(lambda: procs.port_open(port))
    server.wait_ready(lambda: server.text().count('Booting worker') >= WORKERS)
    return server


GTHREAD = ('--worker-class', 'gthread', '--threads', '3')


@pytest.mark.parametrize('guard,options,transport', [
    ('revive', (), 'tls13'), ('revive', GTHREAD, 'plain'), ('revive', GTHREAD, 'tls12'),
    ('revive', (), 'unix'), ('pool', (), 'tls13'), ('pool', GTHREAD, 'tls13')],
    indirect=['guard'])
def test_gunicorn(site, options, transport):
    need_program('gunicorn')
    need_python_module('sqlalchemy', 'psycopg2')
    env = site.configure(transport, connections=CONNECTIONS, witness=site.path('witness'))
    port = procs.free_port()
    with gunicorn(site, env, port, *options):
        check(site, load_every_worker(site, port, Report(site.inherited()), WORKERS))


@REVIVE
def test_gunicorn_recycles_its_workers(site):
    need_program('gunicorn')
    need_python_module('sqlalchemy', 'psycopg2')
    env = site.configure('tls13', connections=CONNECTIONS, witness=site.path('witness'))
    port = procs.free_port()
    with gunicorn(site, env, port, '--max-requests', '25') as server:
        check(site, load(site, port, Report(site.inherited()), 150))
        assert server.text().count('Booting worker') > WORKERS, server.text()


@BOTH
def test_celery(site, redis):
    need_program('celery')
    need_python_module('sqlalchemy', 'psycopg2', 'redis')
    env = site.configure('tls13', connections=CONNECTIONS, redis=redis.url,
                         witness=site.path('witness'))
    with site.serve(['celery', '-A', 'tasks', 'worker', '--pool', 'prefork', '--concurrency',
                     WORKERS, '--without-gossip', '--without-mingle', '--loglevel', 'INFO'],
                    env) as worker:
        worker.wait_ready(' ready.')
        report = Report(site.inherited())
        client = Site(site.cluster, Guard(None, site.directory), site.directory)
        for nonce, reply in client.run([PYTHON, APPS + '/send_tasks.py'], env)['replies']:
            report.add(nonce, reply)
        check(site, report)
        worker.stop(signal.SIGKILL)


@pytest.mark.parametrize('guard,threads', [('revive', 1), ('revive', 3), ('pool', 3)],
                         indirect=['guard'])
def test_uwsgi(site, threads):
    need_program('uwsgi', 'uwsgi-core and uwsgi-plugin-python3')
    need_python_module('sqlalchemy', 'psycopg2')
    env = site.configure('tls13', connections=CONNECTIONS, witness=site.path('witness'))
    port = procs.free_port()
    with site.serve(['uwsgi', '--plugin', 'python3', '--master', '--processes', WORKERS,
                     '--threads', threads, '--enable-threads', '--need-app', '--die-on-term',
                     '--http-socket', '127.0.0.1:%d' % port, '--module', 'web'], env) as server:
        server.wait_ready(lambda: server.text().count('spawned uWSGI worker') >= WORKERS)
        check(site, load_every_worker(site, port, Report(site.inherited()), WORKERS))


@pytest.mark.parametrize('guard,kind', [
    *(('revive', kind) for kind in ('pool', 'executor', 'job', 'thread')), ('pool', 'pool')],
    indirect=['guard'])
def test_processes_of_python(site, kind):
    need_python_module('sqlalchemy', 'psycopg2')
    env = site.configure('tls13', connections=CONNECTIONS)
    result = site.run([PYTHON, APPS + '/process_pools.py', kind], env)
    report = Report(result['state']['before'])
    for nonce, reply in result['replies']:
        report.add(nonce, reply)
    assert report.correct and not report.errors and not report.wrong and not report.shared, report
    assert sorted(result['state']['after']) == sorted(report.inherited), result
    assert not result['parent_errors'], result


def check_web(site, port, correct=150):
    """For the applications without a witness."""
    report = load_every_worker(site, port, Report(site.inherited()), WORKERS)
    assert report.correct >= correct and not report.errors and not report.wrong, report
    assert not report.shared and len(report.workers) >= WORKERS, report
    assert site.alive(report.inherited) == report.inherited, report
    return report


@BOTH
def test_a_pool_whose_threads_do_not_survive_the_fork(site):
    """psycopg_pool cannot replace what a worker loses, so nothing may be lost."""
    need_program('gunicorn')
    need_python_module('psycopg_pool', 'psycopg')
    env = site.configure('tls13', connections=CONNECTIONS, witness=site.path('witness'))
    port = procs.free_port()
    with gunicorn(site, env, port, *GTHREAD, app='web_threads:application'):
        report = check_web(site, port)
    assert len(report.backends) <= WORKERS * CONNECTIONS, report


@pytest.mark.parametrize('guard,options,max_age', [
    ('revive', (), 600), ('revive', GTHREAD, 0), ('pool', (), 0), ('pool', GTHREAD, 0)],
    indirect=['guard'])
def test_django(site, options, max_age):
    need_program('gunicorn')
    need_python_module('django', 'psycopg2')
    env = site.configure('tls13', max_age=max_age, witness=site.path('witness'))
    port = procs.free_port()
    with gunicorn(site, env, port, *options, app='web_django:application'):
        report = check_web(site, port)
    if site.guard.name == 'pool' and max_age == 0:
        # A connection for each request, and few sessions all the same.
        assert len(report.backends) <= 16, report


@pytest.fixture
def proxied(cluster, guard, tmp_path):
    """A site that reaches its server through a proxy that can drop connections."""
    with Proxy(cluster) as proxy:
        yield Site(cluster, guard, tmp_path), proxy


# What drops idle connections: one that says so, as HAProxy and most providers' poolers after about
# 60 s; and one that forgets them, after 350 s, so that the next packet is answered by RST. Minutes
# are REST_MS here: so long is a connection idle before the server is asked whether it is there.
REST_MS = 100


@REVIVE
@pytest.mark.parametrize('how', ['fin', 'drop_idle'])
def test_idle_connections_that_are_dropped(proxied, how):
    site, proxy = proxied
    need_program('gunicorn')
    need_python_module('sqlalchemy', 'psycopg2')
    url = site.cluster.url('tls13', 'psycopg2').replace(
        ':%d/' % site.cluster.port, ':%d/' % proxy.port)
    env = site.configure('tls13', connections=CONNECTIONS, witness=site.path('witness'), url=url)
    port = procs.free_port()
    with gunicorn(site, env, port, *GTHREAD, tine=('--ping-idle', '%dms' % REST_MS)):
        report = load_every_worker(site, port, Report(site.inherited()), WORKERS)
        before = report.correct
        for _ in range(3):
            assert getattr(proxy, how)()['links'] > 0
            dropped = time.monotonic()
            procs.wait_until(lambda: time.monotonic() - dropped > 2 * REST_MS / 1000)
            load(site, port, report, 40)
    assert report.correct == before + 120 and not report.errors and not report.wrong, report
