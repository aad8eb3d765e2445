# SPDX-License-Identifier: PostgreSQL
"""Settings of pools are read wherever they are written, and judged by what they come to."""
import pytest

from linttools import lint

FAR = 'postgresql://app@db.example.org/app'


def pools(report):
    return report.json['lint']['pools']


def python(text, **more):
    return {'db.py': text, **more}


# ---- what is read ------------------------------------------------------------------------------

SAME_POOL = {
    'keywords': python('''
        from sqlalchemy import create_engine
        engine = create_engine("postgresql://h/app", pool_size=3, max_overflow=4,
                               pool_recycle=120, pool_pre_ping=True)
     '''),
    'renamed': python('''
        import sqlalchemy as sa
        engine = sa.create_engine("postgresql://h/app", pool_size=3, max_overflow=4,
                                  pool_recycle=120, pool_pre_ping=True)
     '''),
    'everything of a module': python('''
        from sqlalchemy import *
        engine = create_engine("postgresql://h/app", pool_size=3, max_overflow=4,
                               pool_recycle=60 * 2, pool_pre_ping=True)
     '''),
    'a dict': python('''
        from sqlalchemy import create_engine
        COMMON = dict(pool_size=3, pool_pre_ping=True)
        options = {**COMMON, "max_overflow": 4, "pool_recycle": 120}
        engine = create_engine("postgresql://h/app", **options)
     '''),
    'another file': python('''
        from sqlalchemy.ext.asyncio import create_async_engine
        from app import config
        from app.config import RECYCLE as age
        engine = create_async_engine("postgresql+asyncpg://h/app", pool_size=config.SIZE,
                                     max_overflow=config.SIZE + 1, pool_recycle=age,
                                     pool_pre_ping=config.PING)
     ''', **{'app/__init__.py': '', 'app/config.py': 'SIZE = 3\nRECYCLE = 2 * 60\nPING = True\n'}),
    'the environment': python('''
        import os
        from sqlalchemy import create_engine
        engine = create_engine(os.environ["DATABASE_URL"], pool_size=int(os.getenv("DB_SIZE", 9)),
                               max_overflow=int(os.environ.get("DB_MORE", "4")),
                               pool_recycle=int(os.environ["DB_AGE"]), pool_pre_ping=True)
     ''', **{'.env': 'DATABASE_URL=postgresql://h/app\nexport DB_SIZE="3"  # few\nDB_AGE=120\n'}),
    'settings of pydantic': python('''
        from sqlmodel import create_engine
        from settings import settings
        engine = create_engine(settings.database_url, pool_size=settings.size,
                               max_overflow=settings.more, pool_recycle=120, pool_pre_ping=True)
     ''', **{'settings.py': '''
        from pydantic_settings import BaseSettings
        class Settings(BaseSettings):
            database_url: str
            size: int = 3
            more: int = 4
        settings = Settings()
     ''', '.env': 'DATABASE_URL=postgresql://h/app\n'}),
    'a function': python('''
        import os
        from sqlalchemy import create_engine
        def url():
            return os.environ["DATABASE_URL"].replace("postgres://", "postgresql://", 1)
        def make(size):
            return create_engine(url(), pool_size=3, max_overflow=4, pool_recycle=120,
                                 pool_pre_ping=True)
     ''', **{'.env': 'DATABASE_URL=postgres://h/app\n'}),
    'Flask': python('''
        from flask_sqlalchemy import SQLAlchemy
        db = SQLAlchemy()
     ''', **{'config.py': '''
        class Config:
            SQLALCHEMY_DATABASE_URI = "postgresql://h/app"
            SQLALCHEMY_ENGINE_OPTIONS = {"pool_size": 3, "max_overflow": 4, "pool_recycle": 120,
                                         "pool_pre_ping": True}
     '''}),
}


@pytest.mark.parametrize('name', sorted(SAME_POOL))
def test_settings_are_found(name, tmp_path):
    pool, = pools(lint(tmp_path, SAME_POOL[name]))
    assert (pool['size'], pool['overflow'], pool['age_s'], pool['pings']) == (3, 4, 120, True)


DRIVERS = {
    'psycopg_pool': ('from psycopg_pool import ConnectionPool\n'
                     'p = ConnectionPool("host=h", min_size=2, max_size=7, open=False)\n', 7, 3600),
    'psycopg_pool, min only': ('from psycopg_pool import AsyncConnectionPool\n'
                               'p = AsyncConnectionPool("host=h", min_size=2)\n', 2, 3600),
    'asyncpg': ('import asyncpg\nasync def f():\n    return await asyncpg.create_pool(\n'
                '        "postgresql://h/a", max_inactive_connection_lifetime=60)\n', 10, 60),
    'psycopg2': ('from psycopg2.pool import ThreadedConnectionPool\n'
                 'def f():\n    return ThreadedConnectionPool(0, 6, "host=h")\n', 6, None),
    'Django': ('DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql",'
               ' "CONN_MAX_AGE": 90}}\n', 1, 90),
    'Django with a pool': ('DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql",'
                           ' "OPTIONS": {"pool": {"max_size": 8}}}}\n', 8, 0),
    'dj_database_url': ('import dj_database_url\n'
                        'DATABASES = {"default": dj_database_url.config(conn_max_age=90)}\n',
                        1, 90),
}


@pytest.mark.parametrize('name', sorted(DRIVERS))
def test_drivers(name, tmp_path):
    text, size, age = DRIVERS[name]
    pool, = pools(lint(tmp_path, {'settings.py': text}))
    assert (pool['size'], pool['overflow'], pool['age_s']) == (size, 0, age)


def test_other_databases_and_tests_are_left_alone(tmp_path):
    report = lint(tmp_path, {
        'a.py': 'from sqlalchemy import create_engine\ne = create_engine("sqlite:///x.db")\n',
        'b.py': 'from shop import create_engine\ne = create_engine("postgresql://db.example/x")\n',
        'tests/test_a.py': 'from sqlalchemy import create_engine\n'
                           'e = create_engine("postgresql://db.example/x")\n'})
    assert pools(report) == [] and report.findings == []


# ---- what is judged ----------------------------------------------------------------------------

def engine(arguments):
    return {'db.py': 'import os\nfrom sqlalchemy import create_engine\n'
                     'from sqlalchemy.pool import NullPool\n'
                     'def f():\n    return create_engine(%s)\n' % arguments}


def db(text):
    return {'site/settings.py': 'DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql'
                                '", %s}}\n' % text}


JUDGED = [
    # no-pre-ping
    (engine('"postgresql://localhost/x"'), (), {'no-pre-ping'}),
    (engine('"postgresql://localhost/x", pool_pre_ping=False'), (), {'no-pre-ping'}),
    (engine('"postgresql://localhost/x", poolclass=NullPool'), (), set()),
    (engine('"postgresql://localhost/x", **read_settings()'), (), set()),
    (engine('"postgresql://localhost/x", pool_pre_ping=not DEBUG'), (), set()),
    (db('"CONN_MAX_AGE": 60'), (), {'no-pre-ping'}),
    (db('"CONN_MAX_AGE": 0'), (), set()),
    (db('"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True'), (), set()),
    ({'db.py': 'import psycopg_pool\ndef f():\n    return psycopg_pool.ConnectionPool("")\n'}, (),
     {'no-pre-ping'}),
    # no-sslmode
    (engine('"%s", pool_pre_ping=True' % FAR), (), {'no-sslmode'}),
    (engine('"%s?sslmode=prefer", pool_pre_ping=True' % FAR), (), {'no-sslmode'}),
    (engine('"%s?sslmode=require", pool_pre_ping=True' % FAR), (), set()),
    (engine('"%s?ssl=require", pool_pre_ping=True' % FAR.replace(':', '+asyncpg:', 1)), (), set()),
    (engine('"%s", pool_pre_ping=True, connect_args={"sslmode": "require"}' % FAR), (), set()),
    (engine('f"postgresql://{USER}:{PASSWORD}@{HOST}/app", pool_pre_ping=True'), (),
     {'no-sslmode'}),
    (engine('f"postgresql://u@{HOST}/app?sslmode=require", pool_pre_ping=True'), (), set()),
    (engine('"postgresql:///x?host=/run/postgresql", pool_pre_ping=True'), (), set()),
    (engine('"postgresql://db/x", pool_pre_ping=True'), (), set()),
    (db('"HOST": "db.example.org"'), (), {'no-sslmode'}),
    (db('"HOST": "db.example.org", "OPTIONS": {"sslmode": "require"}'), (), set()),
    (db('"HOST": "127.0.0.1"'), (), set()),
    ({**engine('os.environ["DB"], pool_pre_ping=True'), '.env': 'DB="%s"\n' % FAR}, (),
     {'no-sslmode'}),
    ({**engine('os.environ["DB"], pool_pre_ping=True'),
      '.env': 'DB="%s"\nPGSSLMODE=require\n' % FAR}, (), set()),
    ({**engine('os.environ["DB"], pool_pre_ping=True'), '.env.example': 'DB="%s"\n' % FAR}, (),
     set()),
    # age-above-idle-limit
    (engine('"postgresql://localhost/x", pool_pre_ping=True'), ('--idle-limit', '5min'),
     {'age-above-idle-limit'}),
    (engine('"postgresql://localhost/x", pool_pre_ping=True, pool_recycle=-1'),
     ('--idle-limit', '300'), {'age-above-idle-limit'}),
    (engine('"postgresql://localhost/x", pool_pre_ping=True, pool_recycle=299'),
     ('--idle-limit', '300'), set()),
    (engine('"postgresql://localhost/x?keepalives_idle=60", pool_pre_ping=True'),
     ('--idle-limit', '300'), set()),
    (engine('"postgresql://localhost/x", pool_pre_ping=True'), (), set()),
    (engine('"postgresql://u@x.postgres.database.azure.com/x?sslmode=require", pool_pre_ping=True,'
            ' pool_recycle=300'), (), {'age-above-idle-limit'}),
    (engine('"postgresql://u@x.postgres.database.azure.com/x?sslmode=require", pool_pre_ping=True,'
            ' pool_recycle=200'), (), set()),
    (db('"CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": True'), ('--idle-limit', '300'),
     {'age-above-idle-limit'}),
    ({'db.py': 'import asyncpg\nasync def f():\n    await asyncpg.create_pool('
               '"postgresql://localhost/x")\n'}, ('--idle-limit', '60'), {'age-above-idle-limit'}),
    ({'db.py': 'import asyncpg\nasync def f():\n    await asyncpg.create_pool('
               '"postgresql://localhost/x", max_inactive_connection_lifetime=30)\n'},
     ('--idle-limit', '60'), set()),
]


@pytest.mark.parametrize('number', range(len(JUDGED)))
def test_judgement(number, tmp_path):
    files, options, codes = JUDGED[number]
    report = lint(tmp_path, files, *options)
    assert report.codes() == codes, files
    assert 'file-not-read' not in report.codes('note')


def test_private_network_is_a_note(tmp_path):
    found = lint(tmp_path, engine('"postgresql://db/x", pool_pre_ping=True')).of('no-sslmode')
    assert found['grade'] == 'note'


def test_unknown_connection_string_is_a_note(tmp_path):
    report = lint(tmp_path, engine('os.environ["DB"], pool_pre_ping=True'))
    assert report.codes('note') == {'sslmode-unknown'}
    assert 'DB' in report.of('sslmode-unknown')['seen']
    report = lint(tmp_path, {'.env': 'DB=postgresql://db.example.org/x?sslmode=verify-full\n'})
    assert report.codes('note', 'warning') == set()


def test_the_place_of_a_connection_string_is_named_not_shown(tmp_path):
    files = {**engine('os.environ["DB"], pool_pre_ping=True'), '.env': 'DB="%s"\n' % FAR}
    report = lint(tmp_path, files)
    assert report.of('no-sslmode')['where'] == '.env: DB'
    assert 'db.example.org' not in report.output


def test_unlimited_pool(tmp_path):
    proc = {'Procfile': 'web: gunicorn -w 2 db:app\n'}
    limited = '"postgresql://localhost/x", pool_pre_ping=True'
    report = lint(tmp_path, {**engine(limited + ', max_overflow=-1'), **proc}, '--budget', '90')
    assert report.codes() == {'pool-unlimited'}
    assert report.of('pool-unlimited')['where'] == 'Procfile:1'
    assert lint(tmp_path, {**engine(limited), **proc}, '--budget', '90').codes() == set()
