# SPDX-License-Identifier: PostgreSQL
"""Files that are not what they seem: nothing is fatal, nothing is followed out of the project,
nothing is executed, everything ends."""
import os
import re
import resource
import shutil
import subprocess
import time

import pytest

import corpus
from linttools import doctor, lint, write
from support import procs

GOOD = {'db.py': 'from sqlalchemy import create_engine\n'
                 'e = create_engine("postgresql://localhost/x")\n'}
MIB = 1 << 20


def skipped(report):
    return {found['where']: found['seen'] for found in report.findings
            if found['code'] == 'file-not-read'}


@pytest.mark.parametrize('content, why', [
    ('def f(:\n', 'line 1: invalid syntax'),
    ('x = 1\n  y = 2\n', 'line 2: unexpected indent'),
    (b'x = "\xff\xfe"\n', 'utf-8'),
    (b'x = 1\n\0\n', 'null byte'),
    (b'# coding: nonsense\n', 'unknown encoding'),
    ('(' * 10000, 'too many nested|nested too deeply'),
    ('x = ' + '-' * 100000 + '1\n', 'nested too deeply'),
    ('x = ' + '+'.join(['1'] * 20000) + '\n', 'nested too deeply'),
    ('x = a' + '.a' * 100000 + '\n', 'nested too deeply'),
    ('x' * (MIB + 1), 'more than 1048576'),
], ids=lambda value: str(value[:12]) if isinstance(value, bytes) else value[:12])
def test_what_cannot_be_read_is_said(content, why, tmp_path):
    report = lint(tmp_path, {**GOOD, 'odd.py': content})
    assert report.codes() == {'no-pre-ping'}
    assert list(skipped(report)) == ['odd.py']
    assert re.search(why, skipped(report)['odd.py']), skipped(report)
    assert report.of('file-not-read')['grade'] == 'note'


def test_other_encodings_are_read(tmp_path):
    text = '# coding: latin-1\nname = "caf\xe9"\n' + GOOD['db.py']
    report = lint(tmp_path, {'db.py': text.encode('latin-1')})
    assert report.codes() == {'no-pre-ping'} and not skipped(report)


def test_a_compose_file_that_is_no_yaml_is_said(tmp_path):
    for text in ('services:\n  web:\n    command: x\n   bad: y\n', 'a: ' + '[' * 10000 + '\n',
                 '\n'.join(' ' * n + 'k%d:' % n for n in range(100)) + '\n',
                 'a: ' + ' ' * MIB):
        report = lint(tmp_path, {**GOOD, 'compose.yml': text[:MIB]})
        assert list(skipped(report)) == ['compose.yml'], text[:50]


@pytest.mark.parametrize('name', ['Procfile', 'Dockerfile', 'compose.yml', 'uwsgi.ini', '.env',
                                  'x.service', 'run.sh'])
def test_rubbish_in_other_files(name, tmp_path):
    rubbish = bytes(range(256)) * 40
    for content in (rubbish, b'\0' * 5000, b'web: gunicorn "\n', b'\\\n' * 5000, b'[' * 5000,
                    b'CMD [' + b'[' * 5000, b'web: ' + b'$' * 5000 + b'{' * 5000 + b'\n',
                    b'a: *a\nb: &b\n  <<: *b\n', b'web: gunicorn -w ' + b'9' * 5000 + b'\n'):
        report = lint(tmp_path, {**GOOD, name: content})
        assert report.codes() == {'no-pre-ping'}


@pytest.mark.parametrize('name, content', [
    ('.env', b'A=x' + b' ' * (MIB - 10) + b'y'),
    ('.env', b'A=x' + b' \t' * (MIB // 2 - 10) + b'y'),
    ('compose.yml', b'a: [\n' + b'  ' + b'x' * 50 + b'\n' * 19000),
    ('compose.yml', b'\n'.join([b'a' + b' ' * 3900 + b'b'] * 250)),
    ('compose.yml', b'\n'.join([b'"' + b'\\' * 3900] * 250)),
    ('run.sh', b'gunicorn -w 3 "a" b\n' * (MIB // 25)),
    ('Procfile', b'web: gunicorn -w $(' + b'$(' * 9000 + b'\n'),
    ('Procfile', b'web: gunicorn -w 3 db:app\n' * (MIB // 30)),
    ('Dockerfile', b'ENV ' + b'a=$b ' * (MIB // 6)),
    ('uwsgi.ini', b'[uwsgi]\n' + b'a=' + b'\\\n' * (MIB // 4)),
    ('a.py', b'import a, b\n' * (MIB // 15)),
    ('a.py', b'x = x\n' * (MIB // 8)),
    ('a.py', b'create_engine(x)\n' * (MIB // 20)),
    ('a.py', b'from sqlalchemy import *\n' + b'x = create_engine(**x)\n' * (MIB // 30)),
    ('a.py', b'def f(): g()\ndef g(): f()\nf()\n' * (MIB // 40)),
], ids=lambda value: value if isinstance(value, str) else repr(value[:14]))
def test_nothing_takes_long(name, content, tmp_path):
    start = time.monotonic()
    lint(tmp_path, {**GOOD, name: content})
    assert time.monotonic() - start < 45


def test_control_bytes_in_names(tmp_path):
    name = b'\x1b[31mred\n\xff\xc3\xa9.py'
    with open(os.path.join(os.fsencode(tmp_path), name), 'w') as file:
        file.write('def f(:\n')
    report = lint(tmp_path, GOOD)
    plain = doctor('--lint', tmp_path)
    assert '\x1b' not in plain.output and '?[31mred??' in plain.output
    assert '\x1b' not in report.output and '\\u001b' not in report.output
    with open(os.path.join(os.fsencode(tmp_path), name), 'w') as file:
        file.write(GOOD['db.py'])
    report = lint(tmp_path, {})
    assert '\\u001b' not in report.output and len(report.json['lint']['pools']) == 2


def test_links(tmp_path):
    """A link to a file of the project is followed, one that leaves it is not, nor a directory's."""
    outside, inside = tmp_path / 'outside', tmp_path / 'inside'
    write(outside, {'secret.py': 'def f(:\n'})
    write(inside, {'deploy/web': 'web: gunicorn -w 3 db:app\n', **GOOD})
    os.symlink(outside / 'secret.py', inside / 'linked.py')
    os.symlink(outside, inside / 'folder')
    os.symlink('deploy/web', inside / 'Procfile')
    os.symlink('.', inside / 'loop')
    os.symlink('/dev/zero', inside / 'zero.py')
    os.symlink('missing', inside / 'dangling.py')
    os.mkfifo(inside / 'fifo.py')
    os.mkdir(inside / 'folder.py')
    report = lint(inside, {})
    assert skipped(report) == {'linked.py': 'a link that leaves the project'}
    assert report.of('ceiling')['where'] == 'Procfile'
    assert report.codes() == {'no-pre-ping'}


def test_a_link_to_the_project_and_a_single_file(tmp_path):
    write(tmp_path / 'real', GOOD)
    os.symlink('real', tmp_path / 'current')
    assert doctor('--lint', tmp_path / 'current').status == 1
    report = doctor('--lint', tmp_path / 'real' / 'db.py', '--json')
    assert report.status == 1 and report.of('no-pre-ping')['where'] == 'db.py:2'


def test_what_is_no_part_of_the_project_is_left_out(tmp_path):
    names = ['.git/hook.py', 'venv/lib/x.py', 'node_modules/a/b.py', 'a/__pycache__/c.py',
             'lib/python3/site-packages/d.py']
    report = lint(tmp_path, {**{name: GOOD['db.py'] for name in names}, 'venv/pyvenv.cfg': ''})
    assert report.json['lint']['files'] == 0 and report.findings == []


def test_too_many_files_are_said(tmp_path):
    for number in range(5100):
        (tmp_path / ('m%d.py' % number)).write_text('')
    report = lint(tmp_path, GOOD)
    assert 'project-too-large' in report.codes()
    assert report.json['lint']['files'] == 5000
    assert lint(tmp_path / 'few', GOOD).codes() == {'no-pre-ping'}


def test_too_deep_directories_are_said(tmp_path):
    report = lint(tmp_path, {'/'.join(['d'] * 30) + '/db.py': GOOD['db.py'], **GOOD})
    assert list(skipped(report)) == ['/'.join(['d'] * 25)]


def test_nothing_of_the_project_is_executed(tmp_path):
    """Not its modules, under no name that the examination itself imports; not its python3."""
    hostile = 'import os\nopen(%r, "w").close()\n' % str(tmp_path / 'ran')
    names = ['json', 'ast', 'os', 'sitecustomize', 'usercustomize', 'encodings/__init__',
             'encodings/rot', 'codecs', 're', 'project', 'gunicorn.conf']
    folder = tmp_path / 'project'
    write(folder, {name + '.py': hostile for name in names})
    write(folder, {'rot.py': '# coding: rot\n'})
    write(folder, {'python3': '#!/bin/sh\ntouch %s\n' % (tmp_path / 'ran')})
    os.chmod(folder / 'python3', 0o755)
    environment = {**os.environ, 'PYTHONPATH': str(folder), 'PYTHONSTARTUP': str(folder / 'os.py'),
                   'PYTHONHOME': str(folder), 'PATH': '.::' + os.environ['PATH']}
    report = doctor('--lint', '.', '--json', cwd=folder, env=environment)
    assert report.status in (0, 1), report.errors
    assert not (tmp_path / 'ran').exists()
    assert not list(folder.rglob('__pycache__'))


def test_a_secret_is_not_in_an_error(tmp_path):
    secret = 'postgresql://u:hunter2@h/d'
    report = lint(tmp_path, {'a.py': 'x = "%s\n' % secret, '.env': 'P=%s\n' % secret,
                             'compose.yml': 'a: "%s\n b: c\nd\n' % secret})
    assert len(skipped(report)) >= 1 and 'hunter2' not in report.output


# ---- what it runs on ---------------------------------------------------------------------------

def test_it_could_not_look(tmp_path):
    report = doctor('--lint', tmp_path / 'missing')
    assert report.status == 111 and 'No such file' in report.errors
    report = doctor('--lint', tmp_path, '--python', '/nonexistent/python3')
    assert report.status == 111 and '/nonexistent/python3: No such file' in report.errors
    report = doctor('--lint', tmp_path, '--python', '/bin/true')
    assert report.status == 111 and 'gave no answer' in report.errors
    assert report.output == ''


def test_without_python(tmp_path):
    """In a mount namespace without /usr/bin/python3, and a PATH that does not lead to one."""
    script = ('export PATH=/usr/bin:/bin; mount --bind /dev/null /usr/bin/python3 &&'
              ' if [ -e /usr/local/bin/python3 ]; then'
              ' mount --bind /dev/null /usr/local/bin/python3; fi &&'
              ' export PATH=/nonexistent:. && exec "$@"')
    words = [shutil.which('unshare') or 'unshare', '-rm', 'sh', '-c', script, 'sh']
    if subprocess.run([*words, '/bin/true'], capture_output=True, check=False).returncode != 0:
        pytest.skip('mount namespaces may not be made here')
    done = subprocess.run([*words, procs.tine_path(), 'doctor', '--lint', str(tmp_path)],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 111
    assert 'needs python3' in done.stderr and done.stdout == ''


def test_python_may_be_named(tmp_path):
    assert lint(tmp_path, GOOD, '--python', '/usr/bin/python3').codes() == {'no-pre-ping'}
    report = doctor('--lint', tmp_path, env={**os.environ, 'TINE_PYTHON': '/nonexistent'})
    assert report.status == 111


def test_it_is_quick(tmp_path):
    """A thousand ordinary files in much less than the time that it gives itself."""
    text = ''.join('def f%d(a, b):\n    return g(a)[b].h(x=1) + %d\n\n' % (n, n)
                   for n in range(100))
    write(tmp_path, {'p%d/m%d.py' % (n % 30, n): text for n in range(1000)})
    both, broken = corpus.CASES['celery-module-engine'][:2]
    write(tmp_path, {**both, **broken})
    start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    report = lint(tmp_path, {})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 20
    # What it gives itself is time by the clock, in which a busy machine does less.
    assert report.codes() == {'celery-hook-missing'} or time.monotonic() - start > 60
