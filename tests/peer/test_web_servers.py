# SPDX-License-Identifier: PostgreSQL
"""Pre-forking web servers of other languages, with the application loaded before the fork: Puma,
Unicorn, Starman. And PHP-FPM, whose workers connect for themselves and must not be disturbed."""
import glob
import json

import pytest

from peer import fastcgi
from peer.harness import APPS, Report, load, load_every_worker, need_language, need_program
from support import procs

CONNECTIONS = 3
WORKERS = 2


def puma(_site, port):
    return ['puma', '--workers', WORKERS, '--threads', '2:2', '--preload', '--environment',
            'production', '--bind', 'tcp://127.0.0.1:%d' % port, APPS + '/web.ru']


def unicorn(site, port):
    with open(site.path('unicorn.rb'), 'w', encoding='ascii') as file:
        file.write('worker_processes %d\npreload_app true\n' % WORKERS)
    return ['unicorn', '--env', 'production', '--config-file', site.path('unicorn.rb'),
            '--listen', '127.0.0.1:%d' % port, APPS + '/web.ru']


def starman(_site, port):
    return ['starman', '--preload-app', '--workers', WORKERS, '--listen', '127.0.0.1:%d' % port,
            APPS + '/web.psgi']


SERVERS = {'puma': ('ruby', puma), 'unicorn': ('ruby', unicorn), 'starman': ('perl', starman)}


@pytest.mark.guards('bare', 'tine', 'revive')
@pytest.mark.parametrize('name,transport', [
    ('puma', 'tls13'), ('puma', 'plain'), ('unicorn', 'tls13'), ('unicorn', 'unix'),
    ('starman', 'tls13'), ('starman', 'plain')])
def test_load(site, name, transport):
    """These applications do not ping: what they lose, they lose once and reconnect."""
    language, command = SERVERS[name]
    need_program(name)
    need_language(language)
    env = site.configure(transport, connections=CONNECTIONS, witness=site.path('witness'))
    port = procs.free_port()
    with site.serve(command(site, port), env) as server:
        server.wait_ready(lambda: site.inherited() and procs.port_open(port))
        report = load_every_worker(site, port, Report(site.inherited()), WORKERS)
        alive = site.alive(report.inherited)
    if not site.guard.on:
        assert report.shared or alive != report.inherited, report
        return
    report.check_guarded(False, CONNECTIONS, WORKERS, site.guard.revives)
    assert alive == report.inherited, report
    assert str(site.cluster.port) in site.guard.log(), site.guard.log()


FPM_CONFIG = """\
[global]
error_log = %(log)s
daemonize = no
[www]
listen = 127.0.0.1:%(port)d
pm = %(mode)s
pm.max_children = %(workers)d
clear_env = no
"""


def ask_page(port, nonce, timeout):
    try:
        return json.loads(fastcgi.get(port, APPS + '/web.php', 'nonce=' + nonce, timeout))
    except (OSError, ValueError) as error:
        return {'worker': None, 'error': repr(error)}


@pytest.mark.parametrize('mode', ['static', 'ondemand'])
def test_php_fpm(site, mode):
    """Nothing is inherited here: each worker keeps its one connection through all requests."""
    found = glob.glob('/usr/sbin/php-fpm*')
    fpm = need_program(found[-1] if found else 'php-fpm')
    need_language('php')
    env = site.configure('tls13')
    port = procs.free_port()
    with open(site.path('fpm.conf'), 'w', encoding='ascii') as file:
        file.write(FPM_CONFIG % {'log': site.path('fpm.log'), 'port': port, 'mode': mode,
                                 'workers': WORKERS})
    with site.serve([fpm, '--nodaemonize', '--allow-to-run-as-root', '--fpm-config',
                     site.path('fpm.conf')], env) as server:
        server.wait_ready(lambda: procs.port_open(port))
        report = Report()
        load(site, port, report, 100, client=ask_page)
    assert report.correct == 100, report
    assert len(report.backends) <= WORKERS, report
    assert str(site.cluster.port) not in site.guard.log(), site.guard.log()
