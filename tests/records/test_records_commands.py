# SPDX-License-Identifier: PostgreSQL
"""The reference service's commands and settings, as one types them."""
import os
import subprocess

import pytest

from support import procs
from support.service import Service, records_path

TABLES = {'users', 'sessions', 'settings', 'documents', 'lots', 'jobs', 'notes'}


@pytest.fixture
def records(cluster, tmp_path):
    """records(*words, given=None, **env): the finished process."""
    cluster.admin_sql('drop schema public cascade')
    cluster.admin_sql('create schema public authorization app')
    base = Service(cluster, tmp_path).environment()

    def run(*words, given=None, **env):
        environment = {**base, **env}
        return subprocess.run(
            [records_path(), *words], input=given, capture_output=True, text=True, timeout=60,
            cwd=tmp_path, check=False,
            env={name: value for name, value in environment.items() if value is not None})
    return run


def test_migrate_once_and_again(records, cluster):
    first = records('migrate')
    assert first.returncode == 0 and first.stdout == '0001-first.sql: applied\n' \
        '0002-lots.sql: applied\n'
    again = records('migrate')
    assert again.returncode == 0 and again.stdout.count('was applied before') == 2
    rows = cluster.admin_sql("select tablename from pg_tables where schemaname = 'public'")
    assert {name for name, in rows} == TABLES | {'schema_files'}


def test_migrations_at_the_same_time_wait_for_each_other(records, cluster, tmp_path):
    environment = Service(cluster, tmp_path).environment()
    running = [subprocess.Popen([records_path(), 'migrate'], env=environment,
                                stdout=subprocess.PIPE, text=True) for _ in range(4)]
    texts = [process.communicate(timeout=60)[0] for process in running]
    assert [process.returncode for process in running] == [0] * 4
    assert ''.join(texts).count(': applied') == 2


def test_migrations_have_no_time_limit(records, tmp_path):
    folder = tmp_path / 'home' / 'sql'
    folder.mkdir(parents=True)
    (folder / '0001.sql').write_text(
        "do $$begin if current_setting('statement_timeout') || current_setting('lock_timeout') "
        "<> '00' then raise exception 'limited'; end if; end$$;")
    done = records('migrate', RECORDS_HOME=str(tmp_path / 'home'))
    assert done.returncode == 0, done.stderr


def test_a_file_is_applied_as_a_whole_or_not(records, cluster, tmp_path):
    folder = tmp_path / 'home' / 'sql'
    folder.mkdir(parents=True)
    (folder / '0001.sql').write_text('create table one (x int); create table two (nonsense);')
    done = records('migrate', RECORDS_HOME=str(tmp_path / 'home'))
    assert done.returncode == 111 and 'syntax error' in done.stderr
    assert cluster.admin_sql("select 1 from pg_tables where tablename = 'one'") == []
    assert records('migrate', RECORDS_HOME='/nowhere').returncode == 111


def test_check_schema_names_what_is_missing(records, cluster):
    done = records('check-schema')
    assert done.returncode == 1
    assert set(done.stdout.splitlines()) == {'missing: table ' + name for name in TABLES}
    records('migrate')
    assert (records('check-schema').returncode, records('check-schema').stdout) == (
        0, 'the schema is complete\n')
    cluster.admin_sql('alter table documents drop column sha256, drop column name; '
                      'drop table notes')
    done = records('check-schema')
    assert done.returncode == 1 and done.stdout.splitlines() == [
        'missing: documents.name', 'missing: documents.sha256', 'missing: table notes']


def test_create_user(records, cluster, tmp_path):
    records('migrate')
    (tmp_path / 'password').write_text('from a file\n')
    assert records('create-user', 'a', '--role', 'admin', given='from stdin').returncode == 0
    assert records('create-user', 'b', '--password-file', 'password').returncode == 0
    assert records('create-user', 'a', '--role', 'reader', given='another one').returncode == 0
    # a new password alone leaves the role as it is
    done = records('create-user', 'a', given='a third one')
    assert (done.returncode, done.stdout) == (0, 'a: reader\n')
    rows = cluster.admin_sql('select name, role, password_hash from users order by name')
    assert [row[:2] for row in rows] == [('a', 'reader'), ('b', 'editor')]
    assert all(row[2].startswith('$argon2id$') for row in rows)


@pytest.mark.parametrize('words, given', [
    ((), 'good password'), (('a', 'b'), 'good password'),
    (('a', '--role', 'king'), 'good password'),
    (('a', '--password', 'secret'), 'good password'), (('a',), 'short'), (('a',), ''),
    (('a',), 'x' * 1025), (('a\nb',), 'good password'), (('a',), 'good\npassword'),
    (('a', '--password-file', '/nowhere'), None), (('x' * 65,), 'password')])
def test_what_is_no_user(records, words, given):
    done = records('create-user', *words, given=given)
    assert done.returncode == 100 and done.stderr.startswith('records: ')
    assert 'secret' not in done.stderr


def test_a_user_without_tables(records):
    done = records('create-user', 'a', given='good password')
    assert done.returncode == 111 and 'records migrate' in done.stderr


def test_without_a_database(records, cluster):
    url = cluster.url('tls').replace(':%d/' % cluster.port, ':%d/' % procs.free_port())
    for words in (('migrate',), ('check-schema',), ('create-user', 'a')):
        done = records(*words, given='good password', DATABASE_URL=url)
        assert done.returncode == 111 and 'TINE_E_CONNECT' in done.stderr
        assert cluster.password not in done.stdout + done.stderr


@pytest.mark.parametrize('name, value, text', [
    ('RECORDS_SECRET', None, 'RECORDS_SECRET is not set'),
    ('RECORDS_SECRET', 'short', 'not a text of at least 32'),
    ('RECORDS_SESSION_S', '0', "RECORDS_SESSION_S: '0' is not a number from 1 to 31536000"),
    ('RECORDS_SESSION_S', '12 parsecs', 'RECORDS_SESSION_S'),
    ('RECORDS_STORAGE', 'tape', 'one of local, s3'),
    ('RECORDS_STORAGE', 's3', 'needs RECORDS_S3_URL'),
    ('RECORDS_STATUS', 'all', 'needs RECORDS_HOSTS'),
    ('RECORDS_BEHIND_TLS', 'maybe', 'yes or no'),
    ('RECORDS_UPLOAD_LIMIT_BYTES', '99999999999999999999', 'RECORDS_UPLOAD_LIMIT_BYTES'),
    ('TINE_POOL_SIZE', 'x', 'TINE_POOL_SIZE'),
    ('TINE_LISTEN', 'nonsense', 'nonsense'),
    ('DATABASE_URL', 'postgresql://u:pass%zz@h/d', 'DATABASE_URL'),
])
def test_settings_that_are_none(records, name, value, text):
    done = records('serve', **{name: value})
    assert done.returncode == 100 and text in done.stderr, done.stderr
    assert 'short' not in done.stderr and 'pass%zz' not in done.stderr


@pytest.mark.parametrize('words', [('none',), ('serve', 'x'), ('migrate', '--force')])
def test_words_that_are_none(records, words):
    done = records(*words)
    assert done.returncode == 100 and words[0] in done.stderr


@pytest.mark.parametrize('word', ['--help', '-h'])
def test_help_is_found(records, word):
    done = records(word)
    assert done.returncode == 0 and done.stdout == records('help').stdout


def test_help_has_every_setting(records):
    text = records('help').stdout
    with open(os.path.join(procs.ROOT, 'examples', 'records', 'README.md'),
              encoding='utf-8') as file:
        readme = file.read()
    settings = [line.split()[0] for line in text.splitlines() if line.startswith('  RECORDS_')]
    assert len(settings) > 15
    assert [name for name in settings if '`%s`' % name not in readme] == []


def test_a_url_of_the_bucket_that_leaves_no_room(records):
    done = records('serve', RECORDS_STORAGE='s3', RECORDS_S3_URL='https://h/' + 'x' * 900,
                   RECORDS_S3_KEY='k', RECORDS_S3_SECRET='s')
    assert done.returncode == 100 and 'RECORDS_S3_URL' in done.stderr


@pytest.mark.parametrize('more', ['host=/nowhere,127.0.0.1', 'host=/nowhere hostaddr=127.0.0.1'])
def test_a_socket_and_more_is_no_socket(records, more):
    done = records('migrate', DATABASE_URL=more + ' dbname=app sslmode=prefer')
    assert done.returncode == 100 and 'RECORDS_INSECURE_DATABASE=yes' in done.stderr, done.stderr


@pytest.mark.parametrize('variable, value', [
    ('sslmode', 'disable'), ('sslmode', 'prefer'), ('sslmode', 'allow'),
    ('TINE_TLS', 'disable'), ('PGSSLMODE', 'disable')])
def test_a_connection_in_the_clear_is_asked_for_by_name(records, cluster, variable, value):
    url = cluster.url('tls').split('?')[0].replace('postgresql:', 'postgresql+psycopg2:')
    env = {'DATABASE_URL': url}
    if variable == 'sslmode':
        env['DATABASE_URL'] += '?sslmode=' + value
    else:
        env[variable] = value
    done = records('migrate', **env)
    assert done.returncode == 100 and 'RECORDS_INSECURE_DATABASE=yes' in done.stderr
    assert cluster.password not in done.stderr
    done = records('migrate', RECORDS_INSECURE_DATABASE='yes', **env)
    assert done.returncode == 0
