# SPDX-License-Identifier: PostgreSQL
"""Sockets of other network namespaces: asked by root, read from files by others; IPv4, IPv6,
mapped, and a unix socket that reaches across."""
import contextlib
import json
import os
import pwd
import shutil
import subprocess
import tempfile

import pytest

from doctor.livetools import APPS, PYTHON, doctor, doctor_text, holder, holders_of
from support import procs


def can(*words):
    return subprocess.run([*words, 'true'], capture_output=True, check=False).returncode == 0


@contextlib.contextmanager
def namespace(enter, families, folder=APPS):
    if not can(*enter):
        pytest.skip('%s is not permitted here' % ' '.join(enter))
    env = {'PATH': '/usr/bin:/bin:/usr/sbin:/sbin', 'PYTHONDONTWRITEBYTECODE': '1'}
    with procs.Proc([*enter, PYTHON, os.path.join(folder, 'namespace.py'), *families], env=env,
                    clean_env=True) as proc:
        proc.wait_ready('"opener"')
        yield json.loads(proc.text().splitlines()[-1])


def check(report, said, servers):
    finding, *more = [one for one in report['findings'] if one['code'] != 'not-visible']
    found = [one for finding in (finding, *more) for one in finding['data']['connections']]
    assert {finding['code'] for finding in (finding, *more)} == {'shared-connection'}
    assert {one['server'] for one in found} == servers
    for connection in found:
        assert connection['network_namespace'] == said['netns']
        assert holders_of(connection) == {
            said['opener']: 'opener', **{pid: 'copy' for pid in said['children']}}


def families():
    return (['4', '6', 'mapped'], {'127.0.0.1:5432', '[::1]:5432', '127.0.0.2:5432'}) \
        if procs.have_ipv6() else (['4'], {'127.0.0.1:5432'})


@pytest.mark.skipif(os.geteuid() != 0, reason='needs root')
def test_another_namespace_as_root(cluster):
    names, servers = families()
    with namespace(['unshare', '-n'], names) as said:
        assert said['netns'] != os.stat('/proc/self/ns/net').st_ino
        result = doctor('--pid', said['opener'])
        assert result.status == 1
        check(result.report, said, servers)
        # asked, not read from files: it knows when they were used
        assert all(one['used_s'] is not None for finding in result.report['findings']
                   for one in finding['data']['connections'])
        # it is back in its own afterwards, where the server is
        assert 'backend-not-found' in doctor('--pid', said['opener'], cluster.conninfo('tls')).codes
        check({'findings': [one for one in doctor('--all').report['findings']
                            if str(said['opener']) in one['where']]}, said, servers)


def test_two_namespaces_with_the_same_addresses():
    """Each connection is with its own holders."""
    enter = ['unshare', '-n'] if os.geteuid() == 0 else ['unshare', '-Urn']
    with namespace(enter, ['4']) as one, namespace(enter, ['4']) as two:
        assert one['netns'] != two['netns']
        for said in (one, two):
            result = doctor('--pid', said['opener'])
            check(result.report, said, {'127.0.0.1:5432'})


def test_a_namespace_that_may_not_be_entered():
    """Our own process, but entering takes more: the files tell as much of TCP."""
    names, servers = families()
    if os.geteuid() != 0:
        with namespace(['unshare', '-Urn'], names) as said:
            result = doctor('--pid', said['opener'])
            check(result.report, said, servers)
        return
    account = pwd.getpwnam('nobody')
    as_nobody = ['setpriv', '--reuid', 'nobody', '--regid', str(account.pw_gid), '--clear-groups']
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        shutil.copy(os.path.join(APPS, 'namespace.py'), folder)
        for name in ('tine', 'tine-doctor', 'libtine-preload.so'):
            shutil.copy(os.path.join(os.path.dirname(procs.tine_path()), name), folder)
        with namespace([*as_nobody, 'unshare', '-Urn'], names, folder) as said:
            done = subprocess.run([*as_nobody, os.path.join(folder, 'tine'), 'doctor', '--json',
                                   '--pid', str(said['opener'])], capture_output=True, text=True,
                                  timeout=60, check=False)
            report = json.loads(done.stdout)
            assert done.returncode == 1
            check(report, said, servers)
            codes = {one['code'] for one in report['findings']}
            assert codes == {'shared-connection', 'not-visible'}


@pytest.mark.skipif(os.geteuid() != 0, reason='needs root')
def test_a_unix_socket_across_namespaces(cluster):
    if not can('unshare', '-n'):
        pytest.skip('unshare -n is not permitted here')
    with holder('latent', cluster.conninfo('unix'), ['unshare', '-n']) as (proc, said):
        result = doctor('--pid', proc.pid)
        assert result.codes == ['shared-connection']
        for connection in result.connections('shared-connection'):
            assert set(holders_of(connection)) == {proc.pid, *said['children']}
            assert connection['server'].endswith('/.s.PGSQL.%d' % cluster.port)


# ---- which port is PostgreSQL's ----------------------------------------------------------------

SCRIPT = """
import os, signal, socket, time
server = socket.create_server(('127.0.0.1', 0))
client = socket.create_connection(server.getsockname())
later = time.monotonic() + 0.1
while time.monotonic() < later:
    pass
if os.fork():
    print('port', server.getsockname()[1], flush=True)
while True:
    signal.pause()
"""


@pytest.mark.parametrize('how', ['option', 'variable', 'conninfo', 'nothing'])
def test_a_port_that_nobody_knows(how):
    with procs.Proc([PYTHON, '-c', SCRIPT]) as proc:
        proc.wait_ready('port')
        port = proc.text().split()[1]
        words, env, code = {
            'option': (['--port', port], {}, 'shared-connection'),
            'variable': ([], {'TINE_PORT': port}, 'shared-connection'),
            'conninfo': (['host=127.0.0.1 connect_timeout=2 port=' + port], {},
                         'shared-connection'),
            'nothing': ([], {}, 'shared-unknown')}[how]
        result = doctor('--pid', proc.pid, *words, env=env)
        assert code in result.codes
        assert set(result.codes) <= {code, 'server-not-asked'}
        assert result.status == (0 if how == 'nothing' else 1)


def test_a_port_that_the_environment_of_the_process_names():
    script = SCRIPT.replace("('127.0.0.1', 0)", "('127.0.0.1', int(os.environ['AT']))")
    port = str(procs.free_port())
    for name, value in (('PGPORT', port), ('ANY', 'postgresql://app@db.example:%s/app' % port)):
        with procs.Proc([PYTHON, '-c', script], env={'AT': port, name: value}) as proc:
            proc.wait_ready('port')
            assert doctor('--pid', proc.pid).codes == ['shared-connection']


def test_a_connection_that_was_accepted_is_nothing():
    """A server that forks for each connection, on PostgreSQL's side of it."""
    script = SCRIPT.replace('client = socket.create_connection(server.getsockname())', """
client = socket.create_connection(server.getsockname())
kept = client
client, _ = server.accept()
kept.close()""")
    with procs.Proc([PYTHON, '-c', script]) as proc:
        proc.wait_ready('port')
        text = doctor_text('--pid', proc.pid, '--port', proc.text().split()[1])
        assert text.returncode == 0 and 'nothing found' in text.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason='needs root')
def test_namespaces_that_vanish(cluster):
    """While it looks, namespaces come and go: of others' nothing is said."""
    if not can('unshare', '-n'):
        pytest.skip('unshare -n is not permitted here')
    # Eight at a time, each as long as the doctor takes.
    storm = ('blow() { while :; do unshare -n sleep 0.02; done; }\n'
             'for i in 1 2 3 4 5 6 7; do blow & done; echo blowing; blow')
    with holder('sole', cluster.conninfo('tls')) as (proc, _), \
            procs.Proc(['sh', '-c', storm]) as blower:
        blower.wait_ready('blowing')
        for _ in range(40):
            result = doctor('--pid', proc.pid)
            assert (result.status, result.codes) == (0, [])
            assert doctor('--all').stderr == ''
