# SPDX-License-Identifier: PostgreSQL
"""Gunicorn and Celery as the demo runs them: bare, under tine, and with what --for prints."""
import contextlib
import http.client
import json
import os
import re
import shutil
import signal

import pytest

from doctor.livetools import doctor, doctor_text, holders_of, inode_of
from support import procs

EXAMPLES = os.path.join(procs.ROOT, 'examples')
WORKERS = 3
OPENED_AT_IMPORT = 3
CLEAN = {'PATH': '/usr/bin:/bin', 'LC_ALL': 'C.UTF-8', 'PYTHONDONTWRITEBYTECODE': '1'}


def need(*programs):
    for name in programs:
        if not shutil.which(name, path=CLEAN['PATH']):
            pytest.skip('%s is not installed' % name)


@contextlib.contextmanager
def gunicorn(url, tmp_path, under=(), options=(), app='app:app', cwd=None):
    need('gunicorn')
    with procs.Proc([*under, 'gunicorn', '--preload', '--bind', '127.0.0.1:0', '--worker-class',
                     'gthread', '--workers', str(WORKERS), *options, app],
                    env={**CLEAN, 'HOME': str(tmp_path), 'DATABASE_URL': url}, clean_env=True,
                    cwd=cwd or os.path.join(EXAMPLES, 'gunicorn')) as proc:
        proc.wait_ready(lambda: proc.text().count('Booting worker with pid') >= WORKERS)
        yield proc


@contextlib.contextmanager
def celery(url, redis, tmp_path, under=(), cwd=None):
    need('celery')
    with procs.Proc([*under, 'celery', '-A', 'tasks', 'worker', '--pool', 'prefork',
                     '--concurrency', str(WORKERS), '--without-gossip', '--without-mingle',
                     '--loglevel', 'info'],
                    env={**CLEAN, 'HOME': str(tmp_path), 'DATABASE_URL': url,
                         'BROKER_URL': redis.url}, clean_env=True,
                    cwd=cwd or os.path.join(EXAMPLES, 'celery')) as proc:
        proc.wait_ready(' ready.')
        yield proc


def get(proc, path):
    """An answer of the application."""
    port = int(re.search(r'Listening at: http://127\.0\.0\.1:(\d+)', proc.text()).group(1))
    link = http.client.HTTPConnection('127.0.0.1', port, timeout=20)
    try:
        link.request('GET', path)
        return json.loads(link.getresponse().read())
    finally:
        link.close()


def children_of(pid):
    with open('/proc/%d/task/%d/children' % (pid, pid), encoding='ascii') as file:
        return {int(word) for word in file.read().split()}


def sessions(cluster):
    return {pid for pid, in cluster.admin_sql(
        "select pid from pg_stat_activity where usename = 'app'")}


@pytest.fixture(autouse=True)
def no_sessions(cluster):
    """Sessions that a killed server of the test before left behind are gone."""
    cluster.admin_sql("select pg_terminate_backend(pid) from pg_stat_activity"
                      " where usename = 'app'")
    procs.wait_until(lambda: not sessions(cluster), what='the end of all sessions')


def check_shared(result, proc, cluster):
    """All connections made at import, with the master and all workers, and the line that mends."""
    assert (result.status, result.codes) == (1, ['shared-connection'])
    found = result.connections('shared-connection')
    workers = children_of(proc.pid)
    assert len(found) == OPENED_AT_IMPORT and len(workers) == WORKERS
    assert {one['server_process'] for one in found} == sessions(cluster)
    for connection in found:
        assert connection['opener'] == proc.pid
        assert set(holders_of(connection)) == {proc.pid, *workers}
        for one in connection['holders']:
            assert {inode_of(one['pid'], fd) for fd in one['fds']} == {connection['inode']}
    mends = result.find('shared-connection')['lines'][0]
    with open('/proc/%d/cmdline' % proc.pid, 'rb') as file:
        words = file.read().rstrip(b'\0').split(b'\0')
    if len(words) > 1:
        assert mends == 'tine run -- ' + b' '.join(words).decode()
    else:
        # where setproctitle is installed both servers have a title, which is no command
        assert re.match(r'tine run -- (gunicorn|celery) [^:\[]*', mends), mends


@pytest.mark.parametrize('transport', ['tls', 'plain', 'unix'])
def test_gunicorn(cluster, tmp_path, transport):
    with gunicorn(cluster.url(transport), tmp_path) as proc:
        check_shared(doctor('--pid', proc.pid), proc, cluster)
        text = doctor_text('--pid', proc.pid).stdout
        assert re.search(r'^hazard   shared-connection: pid %d \(gunicorn(: maste)?\)$'
                         % proc.pid, text, re.M), text
        assert re.search(r'^ +tine run -- .*gunicorn --preload .* app:app$', text, re.M)


@pytest.mark.parametrize('transport', ['tls', 'plain'])
def test_gunicorn_under_tine(cluster, tmp_path, transport):
    """Before and after requests: silent."""
    with gunicorn(cluster.url(transport), tmp_path, procs.tine_command()) as proc:
        for requests in (0, 6):
            for number in range(requests):
                # the first one of a worker may say that its inherited connection is lost
                get(proc, '/echo/%d' % number)
            result = doctor('--pid', proc.pid, cluster.url('tls'))
            assert (result.status, result.report['findings']) == (0, []), result.stdout
            assert len(result.live['processes']) == 1 + WORKERS
            assert {one['guard'] for one in result.live['processes']} == {'live'}


def test_gunicorn_that_was_used(cluster, tmp_path):
    """Rows have travelled over a session of the master: the finding is another one."""
    with gunicorn(cluster.url('plain'), tmp_path) as proc:
        get(proc, '/echo/one')
        result = doctor('--pid', proc.pid)
        assert 'shared-connection-active' in result.codes
        assert result.find('shared-connection-active')['grade'] == 'hazard'


def test_gunicorn_whose_master_was_killed(cluster, tmp_path):
    """The workers hear of it within a second and end; held still, they are seen holding on."""
    with gunicorn(cluster.url('tls'), tmp_path) as proc:
        workers = children_of(proc.pid)
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        os.kill(proc.pid, signal.SIGKILL)
        proc.wait()
        result = doctor('--pid', min(workers))
        assert result.codes == ['orphaned-connection']
        for connection in result.connections('orphaned-connection'):
            assert set(holders_of(connection)) == workers


def for_framework(name, tmp_path, source):
    """The directory of an example, with the configuration that --for prints."""
    advice = json.loads(doctor_text('--for', name, '--json').stdout)
    text = doctor_text('--for', name).stdout
    assert advice['settings'] in text and advice['command'] in text
    folder = tmp_path / 'project'
    shutil.copytree(os.path.join(EXAMPLES, source), folder)
    with open(folder / advice['file'], 'a', encoding='utf-8') as file:
        file.write('\n' + advice['settings'])
    return str(folder), advice


def test_what_is_printed_for_gunicorn(cluster, tmp_path):
    folder, advice = for_framework('gunicorn', tmp_path, 'gunicorn')
    with gunicorn(cluster.url('tls'), tmp_path, options=['--config', advice['file']],
                  cwd=folder) as proc:
        replies = [get(proc, '/echo/%d' % number) for number in range(6)]
        assert [reply['nonce'] for reply in replies] == [str(number) for number in range(6)]
        result = doctor('--pid', proc.pid)
        assert (result.status, result.codes) == (0, [])


def test_celery(cluster, redis, tmp_path):
    with celery(cluster.url('tls'), redis, tmp_path) as proc:
        check_shared(doctor('--pid', proc.pid), proc, cluster)


def test_celery_under_tine(cluster, redis, tmp_path):
    with celery(cluster.url('tls'), redis, tmp_path, procs.tine_command()) as proc:
        result = doctor('--pid', proc.pid)
        assert (result.status, result.report['findings']) == (0, []), result.stdout
        assert len(result.live['processes']) == 1 + WORKERS


def test_what_is_printed_for_celery(cluster, redis, tmp_path):
    folder, _ = for_framework('celery', tmp_path, 'celery')
    with celery(cluster.url('tls'), redis, tmp_path, cwd=folder) as proc:
        result = doctor('--pid', proc.pid)
        assert (result.status, result.codes) == (0, [])


def test_what_is_printed_for_uwsgi(cluster, tmp_path):
    need('uwsgi')
    folder, advice = for_framework('uwsgi', tmp_path, 'gunicorn')
    for lazy in (False, True):
        words = ['--ini', advice['file']] if lazy else ['--master']
        with procs.Proc(['uwsgi', *words, '--plugin', 'python3', '--http-socket', '127.0.0.1:0',
                         '--processes', str(WORKERS), '--module', 'app:app', '--die-on-term'],
                        env={**CLEAN, 'HOME': str(tmp_path), 'DATABASE_URL': cluster.url('tls')},
                        clean_env=True, cwd=folder) as proc:
            proc.wait_ready(lambda p=proc: p.text().count('spawned uWSGI worker') >= WORKERS)
            if lazy:
                proc.wait_ready(lambda p=proc: p.text().count('WSGI app 0') >= WORKERS)
            result = doctor('--pid', proc.pid)
            assert result.codes == ([] if lazy else ['shared-connection']), result.stdout
