# SPDX-License-Identifier: PostgreSQL
"""What is found of single processes: masters, threads, the guard, libraries, the budget; names that
steer terminals, passwords, processes that vanish, and what may not be looked at."""
import json
import os
import pwd
import re
import shutil
import subprocess
import tempfile

import psycopg2
import pytest

from doctor.livetools import APPS, PLAIN, PYTHON, doctor, doctor_text, holder
from support import procs

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason='needs root')


# ---- masters -----------------------------------------------------------------------------------

def test_a_master_that_has_connections(cluster):
    with holder('master', cluster.conninfo('tls')) as (proc, said):
        result = doctor('--pid', proc.pid)
        assert (result.status, result.codes) == (1, ['master-connection'])
        finding = result.find('master-connection')
        assert finding['grade'] == 'warning' and str(proc.pid) in finding['where']
        assert '2 PostgreSQL connections' in finding['seen'] and '2 copies' in finding['seen']
        assert {one['pid'] for one in result.live['processes']} == {proc.pid, *said['children']}


def test_a_master_that_disconnects_before_it_forks(cluster):
    with holder('disconnected', cluster.conninfo('tls')) as (proc, said):
        result = doctor('--pid', proc.pid)
        assert (result.status, result.codes) == (0, [])
        assert {one['opener'] for one in result.live['connections']} == set(said['children'])


def test_a_master_with_threads(cluster):
    """Under tine as well: no guard mends that."""
    with holder('threads', cluster.conninfo('tls'), procs.tine_command()) as (proc, _):
        result = doctor('--pid', proc.pid)
        assert (result.status, result.codes) == (1, ['threads-at-fork'])
        assert result.find('threads-at-fork')['seen'].startswith('2 threads in a process')
    with holder('latent', cluster.conninfo('tls'), procs.tine_command()) as (proc, _):
        assert doctor('--pid', proc.pid).codes == []


# ---- the guard ---------------------------------------------------------------------------------

def guard_words(result):
    return {one['guard'] for one in result.live['processes']}


@pytest.mark.parametrize('first, guards', [
    ('conn = psycopg2.connect(os.environ["DSN"])', {'live', 'none'}), ('conn = None', {'none'}),
], ids=['connected', 'not'])
def test_a_guard_that_an_environment_lost(cluster, first, guards):
    """A guarded process starts another one with a clean environment."""
    script = ('import os, psycopg2, subprocess\n' + first + '\n'
              'subprocess.run(["env", "-u", "LD_PRELOAD", "sh", "-c", os.environ["NEXT"] + "; :"])')
    inner = '%s -c \'import os, psycopg2, signal; c = psycopg2.connect(os.environ["DSN"]); ' \
            'print("connected", flush=True); signal.pause()\'' % PYTHON
    env = {'PATH': '/usr/bin:/bin', 'DSN': cluster.conninfo('tls'), 'NEXT': inner}
    with procs.Proc([*procs.tine_command(), PYTHON, '-c', script], env=env,
                    clean_env=True) as proc:
        proc.wait_ready('connected')
        result = doctor('--pid', proc.pid)
        assert (result.status, result.codes) == (1, ['guard-lost'])
        assert guard_words(result) == guards
        assert str(proc.pid) not in result.find('guard-lost')['where']


def with_preload(cluster, path):
    return holder('sole', cluster.conninfo('tls'),
                  ['/usr/bin/env', 'LD_PRELOAD=%s' % path])


def test_a_guard_that_did_not_load(cluster, tmp_path):
    with with_preload(cluster, tmp_path / 'libtine-preload.so') as (proc, _):
        result = doctor('--pid', proc.pid)
        assert (result.status, result.codes) == (1, ['guard-not-loaded'])
        assert guard_words(result) == {'missing'}


def test_a_guard_that_is_not_live(cluster, tmp_path):
    """A library of that name that sets nothing up."""
    source, library = tmp_path / 'empty.c', tmp_path / 'libtine-preload.so'
    source.write_text('int nothing;\n')
    subprocess.run(['cc', '-shared', '-fPIC', '-o', library, source], check=True)
    with with_preload(cluster, library) as (proc, _):
        result = doctor('--pid', proc.pid)
        assert (result.status, result.codes) == (1, ['guard-not-live'])
        assert guard_words(result) == {'mapped'}


# ---- libraries ---------------------------------------------------------------------------------

def test_the_libraries_of_a_process(cluster):
    with holder('sole', cluster.conninfo('tls')) as (proc, _):
        process, = doctor('--pid', proc.pid).live['processes']
        number = psycopg2.extensions.libpq_version()
        versions = {one['kind']: one['version'] for one in process['libraries']}
        assert versions['libpq'] == '%d.%d' % (number // 10000, number % 10000)
        said = subprocess.run(['openssl', 'version'], capture_output=True, text=True, check=True)
        assert versions['openssl'] == said.stdout.split()[1]
        assert not any(one['bundled'] or one['replaced'] for one in process['libraries'])


def test_a_second_copy_that_was_replaced(cluster, tmp_path):
    """As wheels bring one: another file, with another name, and then removed by an upgrade."""
    folder = tmp_path / 'driver.libs'
    folder.mkdir()
    own = next(line.split()[-1] for line in open('/proc/self/maps', encoding='utf-8')
               if '/libpq.so' in line)
    copy = folder / 'libpq-1a2b3c4d.so.5.15'
    shutil.copy(own, copy)
    script = ('import ctypes, os, psycopg2, signal, sys\n'
              'ctypes.CDLL(sys.argv[1]); conn = psycopg2.connect(os.environ["DSN"])\n'
              'print("connected", flush=True)\n'
              'while True: signal.pause()')
    with procs.Proc([PYTHON, '-c', script, copy], env={'DSN': cluster.conninfo('tls')}) as proc:
        proc.wait_ready('connected')
        result = doctor('--pid', proc.pid)
        assert (result.status, result.codes) == (0, ['library-copies'])
        copies = [one for one in result.live['processes'][0]['libraries']
                  if one['kind'] == 'libpq']
        assert len(copies) == 2 and len({one['version'] for one in copies}) == 1
        assert {one['path']: one['bundled'] for one in copies}[str(copy)]
        copy.unlink()
        result = doctor('--pid', proc.pid)
        assert result.codes == ['library-copies', 'library-replaced']
        assert result.find('library-replaced')['where'] == str(copy)


@pytest.mark.parametrize('text,name,expected', [
    (b'OpenSSL 3.0.5 5 Jul 2022', 'libcrypto-9f8e7d6c.so.3', ['library-copies', 'library-flaw']),
    (b'OpenSSL 1.1.1w  11 Sep 2023', 'libcrypto-1111aaaa.so.1.1',
     ['library-copies', 'library-unsupported']),
    (b'OpenSSL 3.5.4 30 Sep 2025', 'libcrypto-5555bbbb.so.3', ['library-copies']),
])
def test_flaws_of_a_bundled_library(cluster, tmp_path, text, name, expected):
    """A library that says of itself to be that version."""
    folder = tmp_path / 'driver.libs'
    folder.mkdir()
    source = tmp_path / 'crypto.c'
    source.write_text('const char version[] = "%s";\n' % text.decode())
    subprocess.run(['cc', '-shared', '-fPIC', '-o', folder / name, source], check=True)
    script = ('import ctypes, os, psycopg2, signal, sys\n'
              'ctypes.CDLL(sys.argv[1]); conn = psycopg2.connect(os.environ["DSN"])\n'
              'print("connected", flush=True)\n'
              'while True: signal.pause()')
    with procs.Proc([PYTHON, '-c', script, folder / name],
                    env={'DSN': cluster.conninfo('tls')}) as proc:
        proc.wait_ready('connected')
        result = doctor('--pid', proc.pid)
        assert result.codes == expected
        if 'library-flaw' in expected:
            finding = result.find('library-flaw')
            assert result.status == 1 and finding['grade'] == 'warning'
            assert any(line.startswith('CVE-2022-3602: ') for line in finding['details'])
            assert not any(line.startswith('CVE-2022-0778') for line in finding['details'])


# ---- the budget --------------------------------------------------------------------------------

@pytest.mark.parametrize('budget,codes,status', [
    (4, ['budget-exceeded'], 1), (5, ['budget-near'], 1), (6, ['budget-near'], 1),
    (7, [], 0)])
def test_connections_against_a_budget(cluster, budget, codes, status):
    with holder('sole', cluster.conninfo('tls'), connections=5) as (proc, _):
        result = doctor('--pid', proc.pid, '--budget', budget)
        assert (result.status, result.codes) == (status, codes)
        by_variable = doctor('--pid', proc.pid, env={'TINE_BUDGET': str(budget)})
        assert by_variable.codes == codes


def test_connections_that_the_server_ended(cluster):
    with holder('sole', cluster.conninfo('plain'), connections=3) as (proc, said):
        cluster.admin_sql('select pg_terminate_backend(%s)', params=(said['backends'][0],))
        result = procs.wait_until(lambda: closed(proc.pid), what='the end of the connection')
        assert result.status == 0
        assert result.find('closed-by-server')['seen'].startswith('1 of 3 connections')


def closed(pid):
    result = doctor('--pid', pid)
    return result if result.codes == ['closed-by-server'] else None


# ---- hostile input -----------------------------------------------------------------------------

def test_names_that_steer_a_terminal(cluster):
    args = ['\x1b]0;title\x07', 'new\nline', 'quo\'te', '\udcff']
    with holder('names', cluster.conninfo('tls'), args=args) as (proc, _):
        text = doctor_text('--pid', proc.pid)
        assert PLAIN.fullmatch(text.stdout) and PLAIN.fullmatch(text.stderr), repr(text.stdout)
        assert '?[31m???' in text.stdout
        result = doctor('--pid', proc.pid)
        assert PLAIN.fullmatch(result.stdout)
        finding = result.find('shared-connection')
        assert finding['lines'][0].count('?') >= 3 and "'quo'\\''te'" in finding['lines'][0]


def test_no_password_of_a_command_line(cluster):
    secrets = ['hunter2', 's3cr3t', 'geheim', 'verborgen']
    args = ['--dsn', 'postgresql://app:%s@db/app?sslmode=require' % secrets[0],
            '--password', secrets[1], 'PGPASSWORD=%s' % secrets[2],
            "host=db password='%s' user=app" % secrets[3]]
    with holder('latent', cluster.conninfo('tls'), args=args) as (proc, _):
        for text in (doctor_text('--pid', proc.pid).stdout, doctor('--pid', proc.pid).stdout):
            assert 'postgresql://app:***@db/app?sslmode=require' in text
            assert [secret for secret in secrets if secret in text] == []


def test_our_own_command_line_hides_the_password():
    """While it waits for a server that does not answer."""
    conninfo = 'postgresql://app:hunter2@127.0.0.1:%d/app?connect_timeout=5'
    with procs.Proc([PYTHON, '-c', 'import socket, time\n'
                     's = socket.create_server(("127.0.0.1", 0))\n'
                     'print(s.getsockname()[1], flush=True)\ntime.sleep(600)']) as silent:
        silent.wait_ready(lambda: silent.text().strip())
        with procs.Proc([procs.tine_path(), 'doctor', '--all',
                         conninfo % int(silent.text())]) as proc:
            def command_line():
                with open('/proc/%d/cmdline' % proc.pid, 'rb') as file:
                    return file.read()
            procs.wait_until(lambda: b'xxxx' in command_line(), what='the hiding of the password')
            assert b'hunter2' not in command_line()
            proc.wait()
            assert 'hunter2' not in proc.text()


def test_processes_that_vanish(cluster):
    """Hundreds of processes come and go while it looks."""
    storm = ('import os\n'
             'print("blowing", flush=True)\n'
             'while True:\n'
             '    for _ in range(20):\n'
             '        if os.fork() == 0:\n'
             '            os._exit(0)\n'
             '    for _ in range(20):\n'
             '        os.wait()')
    with holder('sole', cluster.conninfo('tls')) as (proc, _), \
            procs.Proc([PYTHON, '-c', storm]) as blower:
        blower.wait_ready('blowing')
        for _ in range(20):
            result = doctor('--pid', proc.pid)
            assert (result.status, result.codes) == (0, [])
            everybody = doctor('--all')
            assert everybody.status in (0, 1) and everybody.stderr == ''
            assert proc.pid in {one['pid'] for one in everybody.live['processes']}


# ---- what may not be looked at -----------------------------------------------------------------

@pytest.fixture
def installed():
    """The programs where everybody may execute them."""
    folder = tempfile.mkdtemp(prefix='tine doctor ')
    os.chmod(folder, 0o755)
    build = os.path.dirname(procs.tine_path())
    for name in ('tine', 'tine-doctor', 'libtine-preload.so'):
        shutil.copy(os.path.join(build, name), folder)
    yield folder
    shutil.rmtree(folder)


def run_as(user, installed, *words):
    account = pwd.getpwnam(user)
    done = subprocess.run(
        ['setpriv', '--reuid', user, '--regid', str(account.pw_gid), '--clear-groups',
         os.path.join(installed, 'tine'), 'doctor', '--json', *map(str, words)],
        capture_output=True, text=True, timeout=60, check=False)
    return done


@needs_root
def test_a_process_of_another_user(cluster, installed):
    with holder('latent', cluster.conninfo('tls')) as (proc, _):
        done = run_as('nobody', installed, '--pid', proc.pid)
        assert (done.returncode, done.stdout) == (111, '')
        assert re.fullmatch(r'tine: doctor: process %d may not be looked at: .* or root\n'
                            % proc.pid, done.stderr)
        everybody = json.loads(run_as('nobody', installed, '--all').stdout)
        assert [one['code'] for one in everybody['findings']] == ['not-visible']


@needs_root
def test_the_same_user(cluster, installed):
    """Without root, and the server is another user's: its port is known by whose socket it is."""
    account = pwd.getpwnam('nobody')
    under = ['setpriv', '--reuid', 'nobody', '--regid', str(account.pw_gid), '--clear-groups']
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        shutil.copytree(APPS, os.path.join(folder, 'apps'))
        with holder('latent', cluster.conninfo('plain'),
                    [*under, '--', 'env', 'HOME=/'], folder=folder) as (proc, said):
            done = run_as('nobody', installed, '--pid', proc.pid)
            report = json.loads(done.stdout)
            assert done.returncode == 1
            finding, = report['findings']
            assert finding['code'] == 'shared-connection'
            pids = {one['pid'] for connection in finding['data']['connections']
                    for one in connection['holders']}
            assert pids == {proc.pid, *said['children']}


def test_a_process_that_does_not_exist():
    gone = subprocess.run(['sh', '-c', 'echo $$'], capture_output=True, text=True, check=True)
    result = doctor_text('--pid', gone.stdout.strip())
    assert (result.returncode, result.stdout) == (111, '')
    assert result.stderr == 'tine: doctor: there is no process %s\n' % gone.stdout.strip()


@pytest.mark.parametrize('words,complaint', [
    ([], 'nothing to examine'), (['--pid', '0'], '--pid'), (['--pid', 'x'], '--pid'),
    (['--pid', '1', '--all'], 'exclude'), (['--port', '0', '--all'], '--port'),
    (['--for', 'apache'], '--for'), (['a', 'b'], 'one connection string'),
    (['--probe-idle', '5', '--all'], '--probe-idle'), (['--for'], '--for needs a value')])
def test_wrong_command_lines(words, complaint):
    result = doctor_text(*words)
    assert (result.returncode, result.stdout) == (100, '')
    assert complaint in result.stderr


def test_a_full_disk():
    with open('/dev/full', 'w', encoding='ascii') as full:
        done = subprocess.run([procs.tine_path(), 'doctor', '--all'], stdout=full,
                              stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.returncode == 111 and 'No space left' in done.stderr


def test_a_terminal_has_colours(cluster):
    """And as many columns as it has; NO_COLOR is heeded."""
    with holder('latent', cluster.conninfo('tls')) as (proc, _):
        def seen(**env):
            command = '%s doctor --pid %d; exit 0' % (
                procs.tine_path().replace(' ', r'\ '), proc.pid)
            return subprocess.run(['script', '-qec', 'stty cols 60; ' + command, '/dev/null'],
                                  env={**os.environ, 'TERM': 'xterm', **env}, text=True,
                                  capture_output=True, stdin=subprocess.DEVNULL, timeout=60,
                                  check=True).stdout
        coloured, plain = seen(), seen(NO_COLOR='1')
        assert '\x1b[1;31mhazard\x1b[0m' in coloured and '\x1b' not in plain
        ages = re.compile(r'\d+\.\d s')
        assert ages.sub('', re.sub(r'\x1b\[[\d;]*m', '', coloured)) == ages.sub('', plain)
        words = [line for line in plain.splitlines() if re.match(r'  (why|seen|change) ', line)]
        assert words and all(len(line.rstrip()) <= 60 for line in words)
