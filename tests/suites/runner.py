# SPDX-License-Identifier: PostgreSQL
"""The suites of others: how each is started, bare or under tine, and what became of its tests."""
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field, replace

from support import procs

from . import sources

INSIDE = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'inside')
DEBIAN_PYTHON = '/usr/bin/python3'

# How tine is told what to do in each mode; bare is without it.
MODES = {
    'guard': ['--no-revive'],
    'revive': [],
    'pool': ['--pool', '5'],
    'tracked': ['--pool', '5', '--reset', 'tracked'],
}

SETTINGS = {'max_prepared_transactions': '10'}      # for two-phase commit


@dataclass(frozen=True)
class Suite:
    """One suite. Its parts are what a run without words of its own runs."""
    name: str
    package: str            # Debian's, which has what is tested
    distribution: str       # on PyPI
    parts: tuple
    short: tuple            # what `make test` runs of them
    options: tuple = ()
    files: dict = field(default_factory=dict)
    env: dict = field(default_factory=dict)
    alone: tuple = ('tests',)   # what is taken of the source tree
    wheels: tuple = ()          # what is tested instead of Debian's package: a libpq of its own

    def tree(self):
        return sources.find(self.name.partition('-')[0], self.package, self.distribution)

    def python(self):
        return sources.python_with(*self.wheels) if self.wheels else DEBIAN_PYTHON



def filled(texts, cluster):
    """What a suite's environment and files say of the server."""
    place = {**cluster.params(), 'url': cluster.url('tls', 'psycopg2')}
    return {name: text % place for name, text in texts.items()}


PSYCOPG2 = Suite(
    'psycopg2', 'python3-psycopg2', 'psycopg2', ('tests',), ('tests',),
    env={'PSYCOPG2_TESTDB': '%(dbname)s', 'PSYCOPG2_TESTDB_HOST': '%(host)s',
         'PSYCOPG2_TESTDB_PORT': '%(port)s', 'PSYCOPG2_TESTDB_USER': '%(user)s',
         'PGSSLMODE': 'require'})
# Debian's is written in Python, on ctypes: it finds libpq's functions by dlsym.
PSYCOPG3 = Suite(
    'psycopg3', 'python3-psycopg', 'psycopg', ('tests',),
    ('tests/pq', 'tests/test_connection.py', 'tests/test_pipeline.py', 'tests/test_prepared.py',
     'tests/test_transaction.py'),
    options=('-m', 'not slow'), alone=('tests', 'pyproject.toml'),
    env={'PSYCOPG_TEST_DSN': 'host=%(host)s port=%(port)s user=%(user)s dbname=%(dbname)s',
         'PGSSLMODE': 'require', 'PSYCOPG_IMPL': 'python'})
SQLALCHEMY = Suite(
    'sqlalchemy', 'python3-sqlalchemy', 'SQLAlchemy', ('test/engine', 'test/dialect/postgresql'),
    ('test/engine/test_pool.py', 'test/engine/test_reconnect.py'),
    options=('--db', 'tine'), files={'test.cfg': '[db]\ntine = %(url)s\n'},
    alone=('test', 'lib', 'setup.cfg'))

SUITES = {suite.name: suite for suite in (
    PSYCOPG2, PSYCOPG3, SQLALCHEMY,
    replace(PSYCOPG2, name='psycopg2-wheel', wheels=('psycopg2-binary==2.9.5',),
            short=('tests/test_connection.py',)),
    replace(PSYCOPG3, name='psycopg3-wheel', wheels=('psycopg==3.1.8', 'psycopg-binary==3.1.8'),
            short=('tests/pq', 'tests/test_connection.py'),
            env={**PSYCOPG3.env, 'PSYCOPG_IMPL': 'binary'}),
)}


@dataclass
class Run:
    """What one run of a suite gave."""
    outcomes: dict          # test -> passed, failed, error, skipped, xfailed, xpassed, begun
    texts: dict             # test -> why not passed
    ended: str              # how the run itself ended, when not as it should
    sessions: int           # that the server saw
    seconds: float

    def count(self, *names):
        return sum(outcome in names for outcome in self.outcomes.values())


def prepare(suite, cluster, tree, place):
    """A folder with nothing but the suite, so that the installed package is what is tested."""
    for name in suite.alone:
        source, copy = os.path.join(tree, name), os.path.join(place, name)
        (shutil.copytree if os.path.isdir(source) else shutil.copy)(source, copy)
    for name, text in filled(suite.files, cluster).items():
        with open(os.path.join(place, name), 'w', encoding='ascii') as file:
            file.write(text)


def prepare_database(cluster):
    """What the suites expect to find."""
    cluster.admin_sql('create extension if not exists hstore')
    for schema in ('test_schema', 'test_schema_2'):
        cluster.admin_sql('create schema if not exists %s authorization app' % schema)


def run(suite, cluster, prefix, parts, seconds):
    """Run parts of a suite to its end, or until its time is up."""
    tree, python = suite.tree(), suite.python()
    with tempfile.TemporaryDirectory(prefix='tine-suite-') as place:
        prepare(suite, cluster, tree, place)
        file = os.path.join(place, 'outcomes')
        words = [*prefix, python, '-m', 'pytest', '-q', '-p', 'outcomes', '-p', 'no:xdist',
                 '-o', 'cache_dir=' + os.path.join(place, 'cache'), '--rootdir', place,
                 *suite.options, *parts]
        before, start = sessions(cluster), time.monotonic()
        with procs.Proc(words, env=environment(suite, cluster, place, file), clean_env=True,
                        cwd=place) as program:
            ended = wait(program, seconds)
            text = program.text()
        outcomes, texts = read(file)
        if not outcomes:
            raise RuntimeError('%s ran no test:\n%s' % (suite.name, text[-3000:]))
        return Run(outcomes, texts, ended, sessions(cluster) - before, time.monotonic() - start)


def environment(suite, cluster, place, file):
    """Nothing of the caller's but the language; HOME is empty, so that no passfile is read."""
    return {'PATH': '/usr/sbin:/usr/bin:/sbin:/bin', 'HOME': place, 'LC_ALL': 'C.UTF-8',
            'TZ': 'UTC', 'PYTHONPATH': INSIDE, 'PYTHONDONTWRITEBYTECODE': '1',
            'SUITE_OUTCOMES': file, 'PGPASSWORD': cluster.password, **filled(suite.env, cluster)}


def wait(program, seconds):
    try:
        status = program.wait(seconds)
    except subprocess.TimeoutExpired:
        program.stop(signal.SIGKILL)
        return 'no end within %d s' % seconds
    # pytest's own: 0 all passed, 1 some failed.
    return '' if status in (0, 1) else 'ended with %d' % status


def read(file):
    outcomes, texts = {}, {}
    if os.path.exists(file):
        with open(file, encoding='utf-8') as lines:
            for row in map(json.loads, lines):
                outcomes[row['test']] = row['outcome']
                texts[row['test']] = row.get('text', '')
    return outcomes, texts


def sessions(cluster):
    """Connections that the server has accepted of the user app, so far."""
    return cluster.log_text().count('connection authorized: user=app')
