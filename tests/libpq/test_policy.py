# SPDX-License-Identifier: PostgreSQL
"""What tine run asks of every connection: encryption, and what the program left open."""
import json
import subprocess

import pytest

from support import procs
from support.cluster import Cluster

from test_pool import PYTHON, environment

PROGRAM = '''
import json, sys
import psycopg2
conn = psycopg2.connect(sys.argv[1])
print(json.dumps(dict(conn.info.dsn_parameters, tls=conn.info.ssl_in_use)))
'''


@pytest.fixture(scope='module')
def server():
    with Cluster(max_connections=20) as cluster:
        yield cluster


def connect(server, options, dsn='', **more):
    env = environment(server, **more)
    for name in [name for name in more if more[name] is None] + ['PGSSLMODE'] * \
            ('PGSSLMODE' not in more):
        env.pop(name, None)
    return subprocess.run([*procs.tine_command(*options), PYTHON, '-c', PROGRAM, dsn], env=env,
                          text=True, capture_output=True, timeout=60)


def parameters(*args, **more):
    done = connect(*args, **more)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize('dsn, more', [
    ('', {}), ('sslmode=disable', {}), ('sslmode=prefer', {}), ('', {'PGSSLMODE': 'disable'}),
    ('dbname=app sslmode=allow', {}), ('postgresql://127.0.0.1/app?sslmode=disable', {}),
])
def test_weaker_is_encrypted(server, dsn, more):
    found = parameters(server, ['--tls', 'require'], dsn, **more)
    assert (found['sslmode'], found['tls']) == ('require', True)


def test_without_the_option_nothing_changes(server):
    assert not parameters(server, [], 'sslmode=disable')['tls']


def test_stronger_stays(server):
    found = parameters(server, ['--tls', 'require'],
                       'sslmode=verify-full sslrootcert=%s' % server.ca)
    assert found['sslmode'] == 'verify-full'
    found = parameters(server, ['--tls', 'require'], 'sslrootcert=%s' % server.ca,
                       PGSSLMODE='verify-ca')
    assert found['sslmode'] == 'verify-ca'


def test_server_is_verified(server):
    found = parameters(server, ['--tls', 'verify-full'], 'sslmode=require', PGSSLROOTCERT=server.ca)
    assert found['sslmode'] == 'verify-full'
    done = connect(server, ['--tls', 'verify-full'], 'sslmode=require')
    assert done.returncode != 0
    assert 'root certificate file' in done.stderr


def test_service_is_not_a_way_around(server, tmp_path):
    services = tmp_path / 'services'
    services.write_text('[weak]\nsslmode=disable\n[strong]\nsslmode=verify-full\nsslrootcert=%s\n'
                        % server.ca)
    for service, mode in (('weak', 'require'), ('strong', 'verify-full')):
        for dsn, more in (('service=' + service, {}), ('', {'PGSERVICE': service})):
            found = parameters(server, ['--tls', 'require'], dsn, PGSERVICEFILE=services, **more)
            assert (found['sslmode'], found['tls']) == (mode, True)


@pytest.mark.parametrize('mode', ['require', 'verify-full'])
def test_environment_does_not_hide_a_service(server, tmp_path, mode):
    """libpq asks the service first."""
    services = tmp_path / 'services'
    services.write_text('[weak]\nsslmode=disable\n[none]\nuser=app\n')
    for service, expected in (('weak', 'require'), ('none', mode)):
        found = parameters(server, ['--tls', 'require'], 'service=' + service, PGSSLMODE=mode,
                           PGSERVICEFILE=services, PGSSLROOTCERT=server.ca)
        assert (found['sslmode'], found['tls']) == (expected, True)


MANY = '''
import ctypes, sys
lib = ctypes.CDLL('libpq.so.5')
lib.PQconnectdbParams.restype = ctypes.c_void_p
lib.PQerrorMessage.restype = ctypes.c_char_p
count = int(sys.argv[1])
words = ctypes.c_char_p * (count + 1)
conn = ctypes.c_void_p(lib.PQconnectdbParams(words(*[b'sslmode'] * count, None),
                                             words(*[b'disable'] * count, None), 0))
print(lib.PQstatus(conn), lib.PQerrorMessage(conn).decode(), end='')
'''


def test_more_parameters_than_can_be_looked_at(server):
    def connect_with(options, count):
        return subprocess.run([*procs.tine_command(*options), PYTHON, '-c', MANY, str(count)],
                              env=environment(server), text=True, capture_output=True,
                              timeout=60, check=True).stdout
    assert connect_with([], 100) == connect_with(['--tls', 'require'], 57) == '0 '
    assert connect_with(['--tls', 'require'], 58).startswith('1 tine: --tls cannot be made sure')


def test_unix_sockets_are_not_concerned(server):
    assert not parameters(server, ['--tls', 'require'], 'host=%s' % server.socket_dir)['tls']


def test_server_without_tls_is_refused():
    with Cluster(max_connections=10, settings={'ssl': 'off'}) as server:
        done = connect(server, ['--tls', 'require'], 'sslmode=prefer')
        assert done.returncode != 0
        assert 'server does not support SSL' in done.stderr


FILL = ['--connect-timeout', '7s', '--keepalives-idle', '60', '--keepalives-interval', '10',
        '--keepalives-count', '3', '--tcp-user-timeout', '20s']


def test_what_is_open_is_filled_in(server):
    found = parameters(server, FILL)
    assert {name: found.get(name) for name in ('connect_timeout', 'keepalives_idle',
                                               'keepalives_interval', 'keepalives_count',
                                               'tcp_user_timeout')} == {
        'connect_timeout': '7', 'keepalives_idle': '60', 'keepalives_interval': '10',
        'keepalives_count': '3', 'tcp_user_timeout': '20000'}


def test_what_the_program_says_counts(server):
    found = parameters(server, FILL, 'connect_timeout=3 keepalives_idle=5')
    assert (found['connect_timeout'], found['keepalives_idle']) == ('3', '5')
    assert found['keepalives_count'] == '3'
    assert parameters(server, FILL, PGCONNECT_TIMEOUT='4')['connect_timeout'] == '4'
