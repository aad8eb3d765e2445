# SPDX-License-Identifier: PostgreSQL
"""How a project is started is read from whatever starts it, and multiplied."""
import os

import pytest

from linttools import doctor, lint, write

ENGINE = '''
    import os
    from sqlalchemy import create_engine
    engine = create_engine("postgresql://localhost/x", pool_pre_ping=True, pool_size=2,
                           max_overflow=int(os.environ.get("DB_OVERFLOW", "1")))
'''
APP = {'app.py': ENGINE + '    app = object()\n'}
CPUS = os.cpu_count()


def services(report):
    """[(name, replicas, workers, threads)] of all deployments."""
    return [(service['name'], service['replicas'], service['workers'], service['threads'])
            for deployment in report.json['lint']['deployments']
            for service in deployment['services']]


STARTED = {
    'Procfile': ({'Procfile': '# comment\nweb: exec gunicorn app:app -w 3 --threads=4 \\\n'
                              '  --bind :80\nrelease: pip install gunicorn\n'},
                 [('web (gunicorn)', 1, 3, 4)]),
    'variables of a Procfile': (
        {'Procfile': 'web: gunicorn -w ${WEB_WORKERS:-5} app:app\n'
                     'more: WEB_CONCURRENCY=6 gunicorn app:app\n',
         '.env': 'OTHER=1\n'},
        [('web (gunicorn)', 1, 5, 1), ('more (gunicorn)', 1, 6, 1)]),
    'Dockerfile, words': (
        {'Dockerfile': 'FROM a AS b\nCMD ["gunicorn", "-w9", "app:app"]\nFROM c\n'
                       'ENV WEB_CONCURRENCY=3\nENTRYPOINT ["tini", "--"]\n'
                       'CMD ["gunicorn", "app:app"]\n'}, [('gunicorn', 1, 3, 1)]),
    'Dockerfile, shell': (
        {'Dockerfile': 'FROM c\nENV N 4\n'
                       'CMD cd /srv && \\\n exec gunicorn --workers "$N" app:app\n'},
        [('gunicorn', 1, 4, 1)]),
    'a script': (
        {'Dockerfile': 'FROM c\nENTRYPOINT ["/entry.sh"]\n',
         'docker/entry.sh': '#!/bin/sh\n# gunicorn -w 7\nset -e\n'
                            'exec gunicorn -w 2 "$@" app:app\n'},
        [('gunicorn', 1, 2, 1)]),
    'python -m, sh -c': (
        {'Procfile': 'web: sh -c "python -m gunicorn -w 2 app:app"\n'},
        [('web (gunicorn)', 1, 2, 1)]),
    'GUNICORN_CMD_ARGS': (
        {'Procfile': 'web: gunicorn app:app\n', '.env': 'GUNICORN_CMD_ARGS="--workers=8"\n'},
        [('web (gunicorn)', 1, 8, 1)]),
    'gunicorn.conf.py': (
        {'Procfile': 'web: gunicorn app:app\n',
         'gunicorn.conf.py': 'import multiprocessing\n'
                             'workers = multiprocessing.cpu_count() * 2 + 1\nthreads = 2\n'},
        [('web (gunicorn)', 1, CPUS * 2 + 1, 2)]),
    'gunicorn.conf.py alone': (
        {'gunicorn.conf.py': 'wsgi_app = "app:app"\nworkers = 3\n'}, [('gunicorn', 1, 3, 1)]),
    'Celery': (
        {'Procfile': 'worker: celery -A tasks worker --concurrency=3 -l info\n'
                     'beat: celery -A tasks beat\n',
         'tasks.py': 'from celery import Celery\nimport app\ncelery = Celery()\n'},
        [('worker (celery)', 1, 3, 1), ('beat (celery)', 1, 1, 1)]),
    'Celery, configured': (
        {'Procfile': 'worker: celery -A tasks worker\n',
         'tasks.py': 'from celery import Celery\nimport app\ncelery = Celery()\n'
                     'celery.conf.worker_concurrency = 6\n'}, [('worker (celery)', 1, 6, 1)]),
    'Celery, autoscaled': (
        {'Procfile': 'worker: celery -A tasks worker --autoscale 10,2\n', 'tasks.py': ''},
        [('worker (celery)', 1, 10, 1)]),
    'uWSGI': (
        {'Procfile': 'web: uwsgi --ini conf/uwsgi.ini --threads 3\n',
         'conf/uwsgi.ini': '[other]\nprocesses = 1\n[uwsgi]\n; no\nmaster = true\n'
                           'processes = $(N)\nthreads = 2\nlazy-apps = true\n', '.env': 'N=4\n'},
        [('web (uwsgi)', 1, 4, 3)]),
    'uvicorn': (
        {'Procfile': 'web: uvicorn app:app --workers 4\n'}, [('web (uvicorn)', 1, 4, 1)]),
    'fastapi': (
        {'Dockerfile': 'FROM x\nCMD ["fastapi", "run", "--workers", "4"]\n'},
        [('fastapi', 1, 4, 1)]),
    'systemd': (
        {'app.service': '[Unit]\nDescription=x\n[Service]\nEnvironment=A=1 WEB_CONCURRENCY=7\n'
                        'ExecStart=/srv/venv/bin/gunicorn app:app\n'}, [('gunicorn', 1, 7, 1)]),
    'compose': (
        {'docker-compose.yml': '''
            x-common: &common
              image: app   # the same
              environment: &vars
                N: "3"
            services:
              web:
                <<: *common
                command: >-
                  gunicorn
                  -w ${M:-2}
                  app:app
                deploy: {replicas: 2}
              api:
                <<: *common
                command: ["gunicorn", '-w', "4", "app:app"]
              job:
                image: app
                command:
                  - celery
                  - -A
                  - tasks
                  - worker
                  - -c
                  - "5"
                scale: 3
              db:
                image: "postgres:15"
                command: postgres -c max_connections=100
         ''', 'tasks.py': 'import app\n'},
        [('web (gunicorn)', 2, 2, 1), ('api (gunicorn)', 1, 4, 1), ('job (celery)', 3, 5, 1)]),
    'compose, built': (
        {'deploy/compose.yaml': 'services:\n  web:\n    build:\n      context: ..\n'
                                '      dockerfile: deploy/Dockerfile.web\n    environment:\n'
                                '    - WEB_CONCURRENCY=6\n',
         'deploy/Dockerfile.web': 'FROM x\nCMD gunicorn app:app\n'}, [('web (gunicorn)', 1, 6, 1)]),
}


@pytest.mark.parametrize('name', sorted(STARTED))
def test_what_starts_the_project(name, tmp_path):
    files, expected = STARTED[name]
    report = lint(tmp_path, {**APP, **files})
    assert services(report) == expected
    assert 'file-not-read' not in report.codes('note')


# ---- multiplied --------------------------------------------------------------------------------

def test_the_sum_is_shown(tmp_path):
    found = lint(tmp_path, {**APP, 'Procfile': 'web: gunicorn -w 3 app:app\n'}).of('ceiling')
    assert found['grade'] == 'ok'
    assert found['data'] == {'connections': 9, 'overlap': 18, 'limit': None}
    assert 'web (gunicorn) 3 x (2 + 1)' in found['seen']


@pytest.mark.parametrize('limit, code', [(18, 'ceiling'), (17, 'reload-above-limit'),
                                         (9, 'reload-above-limit'),
                                         (8, 'ceiling-above-limit')])
def test_the_limit(limit, code, tmp_path):
    files = {**APP, 'Procfile': 'web: gunicorn -k gthread --threads 8 -w 3 app:app\n'}
    report = lint(tmp_path, files, '--budget', str(limit))
    assert report.of(code)['data']['connections'] == 9
    assert {found['code'] for found in report.findings} == {code}


def test_threads_that_cannot_use_a_pool_make_it_less_urgent(tmp_path):
    """Three processes of one thread use three connections, whatever the pool could open."""
    files = {**APP, 'Procfile': 'web: gunicorn -w 3 app:app\n'}
    found = lint(tmp_path, files, '--budget', '8').of('ceiling-above-limit')
    assert found['grade'] == 'warning' and 'use 3 at once' in found['change']
    assert lint(tmp_path, files, '--budget', '5').of('ceiling-above-limit')['grade'] == 'hazard'


def test_variables_decide_the_size(tmp_path):
    files = {**APP, 'compose.yml': 'services:\n  web:\n    command: gunicorn -w 3 app:app\n',
             '.env': 'DB_OVERFLOW=10\n'}
    assert lint(tmp_path, files).of('ceiling')['data']['connections'] == 36


def test_workers_from_elsewhere_are_a_note(tmp_path):
    report = lint(tmp_path, {**APP, 'Procfile': 'web: gunicorn -w $WORKERS app:app\n'},
                  '--budget', '5')
    assert report.codes('note', 'warning', 'hazard') == {'workers-unknown'}
    report = lint(tmp_path, {'.env': 'WORKERS=1\n'}, '--budget', '6')
    assert report.codes('note', 'warning', 'hazard') == set()


def test_files_are_alternatives(tmp_path):
    """The same service in a Procfile and in a compose file is not counted twice."""
    report = lint(tmp_path, {
        **APP, 'Procfile': 'web: gunicorn -w 3 app:app\n',
        'compose.yml': 'services:\n  web:\n    command: gunicorn -w 5 app:app\n',
        'Dockerfile': 'FROM x\nCMD gunicorn -w 9 app:app\n'})
    sums = {found['where']: found['data']['connections'] for found in report.findings
            if found['code'] == 'ceiling'}
    assert sums == {'Procfile': 9, 'compose.yml': 15}


def test_numbers_of_a_file_may_be_any(tmp_path):
    report = lint(tmp_path, {**APP, 'Procfile': 'web: gunicorn -w 99999999999 app:app\n'
                                                'b: gunicorn -w -7 app:app\n'}, '--budget', '9')
    assert report.of('ceiling-above-limit')['data']['connections'] == 30000
    assert 'workers-unknown' in report.codes('note')


@pytest.mark.parametrize('number', ['float("inf")', '1e999', '-1e999', 'float("nan")', '10**400',
                                    '9' * 400, '1 << 70', '2.5', '-3', 'True', '"7"', '0 / 0'])
def test_numbers_of_python_may_be_any(number, tmp_path):
    report = lint(tmp_path, {
        'app.py': 'from sqlalchemy import create_engine\nN = %s\n'
                  'engine = create_engine("postgresql://'
                  'localhost/x", pool_pre_ping=True, pool_size=N, max_overflow=N, pool_recycle=N)\n'
                  % number, 'gunicorn.conf.py': 'workers = %s\nthreads = %s\n' % (number, number)},
        '--budget', '10', '--idle-limit', '10')
    pool, = report.json['lint']['pools']
    assert pool['size'] is None or abs(pool['size']) < 100


def test_the_limit_of_a_server(tmp_path, cluster):
    write(tmp_path, {**APP, 'Procfile': 'web: gunicorn -k gevent -w 3 app:app\n'})
    environment = {**os.environ, 'PGPASSWORD': cluster.password}
    where = 'host=%s port=%d dbname=app user=' % (cluster.host, cluster.port)
    cluster.admin_sql('alter database app connection limit 7')
    try:
        limited = doctor('--lint', tmp_path, '--json', where + cluster.user, env=environment)
    finally:
        cluster.admin_sql('alter database app connection limit -1')
    assert limited.status == 1, limited.errors
    data = limited.of('ceiling-above-limit')['data']
    assert data == {'connections': 9, 'overlap': 18, 'limit': 7}
    free = doctor('--lint', tmp_path, '--json', where + cluster.user, env=environment)
    assert free.of('ceiling')['data']['limit'] == 197
    refused = doctor('--lint', tmp_path, '--json', where + 'nobody', env=environment)
    assert refused.status == 111 and refused.output == '' and 'nobody' in refused.errors
