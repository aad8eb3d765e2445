# SPDX-License-Identifier: PostgreSQL
"""Configurations that caused outages are found; mended, they are not."""
import os
import re

import pytest

import corpus
import linttools
from support import procs


@pytest.mark.parametrize('name', sorted(corpus.CASES))
def test_broken(name, tmp_path):
    both, broken, codes, _, options = corpus.CASES[name]
    report = linttools.lint(tmp_path, {**both, **broken}, *options)
    assert report.codes() == codes
    for found in report.findings:
        assert found['where'] and found['seen']
        assert found['grade'] == 'ok' or found['why'] and found['change']


@pytest.mark.parametrize('name', sorted(corpus.CASES))
def test_mended(name, tmp_path):
    both, _, _, mended, options = corpus.CASES[name]
    report = linttools.lint(tmp_path, {**both, **mended}, *options)
    assert report.codes() == set()


@pytest.mark.parametrize('name', sorted(corpus.CASES))
def test_no_secret(name, tmp_path):
    """hunter2 is the password of the corpus; nothing of .env's text is shown either."""
    both, broken, _, _, options = corpus.CASES[name]
    report = linttools.lint(tmp_path, {**both, **broken}, *options)
    text = linttools.doctor('--lint', tmp_path, *options)
    for output in (report.output, text.output, text.errors):
        assert 'hunter2' not in output
        assert 'example.org' not in output and '5433' not in output


def test_a_pool_that_is_made_later_is_less_urgent(tmp_path):
    both = corpus.CASES['pool-made-later'][0]
    report = linttools.lint(tmp_path, {
        **both, 'Procfile': 'worker: celery -A tasks worker -c 2\n',
        'tasks.py': 'from celery import Celery\nimport app\ncelery = Celery()\n'})
    assert report.of('celery-hook-missing')['grade'] == 'warning'


@pytest.mark.parametrize('name', ['gunicorn-preload', 'celery-module-engine', 'reflect-at-import'])
def test_the_line_that_mends(name, tmp_path):
    """What is to be added is there to be copied, with the project's own names."""
    both, broken, codes, _, options = corpus.CASES[name]
    report = linttools.lint(tmp_path, {**both, **broken}, *options)
    code = sorted(code for code in codes if 'connect' not in code)[0]
    lines = '\n'.join(report.of(code)['lines'])
    wanted = {'gunicorn-preload': 'def post_fork(server, worker):\n    from db import engine\n'
                                  '    engine.dispose(close=False)',
              'celery-module-engine': '@worker_process_init.connect',
              'reflect-at-import': 'lazy-apps = true'}
    assert wanted[name] in lines


def test_the_demo(tmp_path):
    """The examples of this project connect at import; under Gunicorn's --preload that is a hazard,
    under tine none of it is."""
    source = os.path.join(procs.ROOT, 'examples', 'gunicorn', 'app.py')
    with open(source, 'rb') as file:
        files = {'app.py': file.read()}
    report = linttools.lint(tmp_path, {**files, 'Procfile': 'web: gunicorn --preload app:app\n'})
    assert report.codes('hazard') == {'engine-before-fork', 'connect-on-import'}
    report = linttools.lint(tmp_path,
                            {'Procfile': 'web: tine run -- gunicorn --preload app:app\n'})
    assert report.codes('hazard') == set()


# ---- the table ---------------------------------------------------------------------------------

def read(*path):
    with open(os.path.join(procs.ROOT, *path), encoding='utf-8') as file:
        return file.read()


def table(examination):
    return re.findall(r'\.code = "([\w-]+)",\s+\.grade = TINE_GRADE_(\w+)',
                      read('src', 'doctor', 'codes_%s.c' % examination))


def test_codes_are_documented():
    mine = [(code, grade.lower()) for code, grade in table('lint')]
    page = read('docs', 'doctor.md').split('\n## A project')[1].split('\n## ')[0]
    assert sorted(re.findall(r'^- `([\w-]+)` \((\w+)\)', page, re.M)) == sorted(mine)
    man = read('docs', 'man', 'tine-doctor.1.scd').split('# CODES')[1]
    man = man.split('\n## A project')[1].split('\n# ')[0].split('\n## ')[0]
    assert sorted(re.findall(r'^\*([\w-]+)\* \((\w+)\)', man, re.M)) == sorted(mine)


def test_codes_are_used_and_shown():
    """Each code is emitted somewhere, and a test says so."""
    folder = os.path.join(procs.ROOT, 'src', 'doctor')
    sources = ''.join(read('src', 'doctor', 'lint', name)
                      for name in os.listdir(os.path.join(folder, 'lint')) if name.endswith('.py'))
    sources += read('src', 'doctor', 'lint_budget.c')
    tests = ''.join(read('tests', 'doctor', name)
                    for name in ('corpus.py', 'test_lint_deploy.py', 'test_lint_files.py',
                                 'test_lint_settings.py'))
    for code, _ in table('lint'):
        made = re.sub(r'^(gunicorn|celery)(?=-hook)', '%s', code)
        assert re.search(r'["\'](%s|%s)["\']' % (code, made), sources), code
        assert "'%s'" % code in tests, code


def test_codes_are_one_table():
    codes = [code for name in ('live', 'database', 'lint') for code, _ in table(name)]
    assert len(codes) == len(set(codes)) and len(codes) > 50
