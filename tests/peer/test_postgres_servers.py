# SPDX-License-Identifier: PostgreSQL
"""Programs that serve PostgreSQL's protocol under tine: PgBouncer, and PostgreSQL itself."""
import concurrent.futures
import os
import re
import tempfile

import psycopg2
import pytest

from peer.harness import APPS, PYTHON, check_result, need_program, need_python_module
from support import procs
from support.cluster import Cluster

BOUNCER_CONFIG = """\
[databases]
app = host=%(host)s port=%(port)d dbname=app user=app password=%(password)s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %(listen_port)d
unix_socket_dir =
auth_type = any
pool_mode = %(mode)s
server_tls_sslmode = require
default_pool_size = 3
"""


class Bouncer:
    """PgBouncer in front of the cluster; started by the caller's choice of command."""

    def __init__(self, cluster, mode):
        self.port = procs.free_port()
        # In the cluster's directory, since PgBouncer refuses to run as root.
        self.dir = tempfile.TemporaryDirectory(prefix='pgbouncer-', dir=cluster.dir)
        os.chmod(self.dir.name, 0o755)
        self.config = os.path.join(self.dir.name, 'pgbouncer.ini')
        with open(self.config, 'w', encoding='ascii') as file:
            file.write(BOUNCER_CONFIG % {'host': cluster.host, 'port': cluster.port, 'mode': mode,
                                         'password': cluster.password, 'listen_port': self.port})

    def command(self):
        user = ['-u', 'postgres'] if os.geteuid() == 0 else []
        return [need_program('pgbouncer'), *user, self.config]

    def params(self):
        return {'host': '127.0.0.1', 'port': self.port, 'user': 'app', 'dbname': 'app',
                'sslmode': 'disable', 'gssencmode': 'disable'}

    def conninfo(self):
        return ' '.join('%s=%s' % item for item in self.params().items())


def ask(conninfo, numbers):
    """A connection of its own that asks for numbers and gets the same; the backends it met."""
    conn = psycopg2.connect(conninfo, connect_timeout=30)
    conn.autocommit = True
    backends = set()
    try:
        with conn.cursor() as cursor:
            for number in numbers:
                cursor.execute('select %s::int, pg_backend_pid()', (number,))
                answer, backend = cursor.fetchone()
                assert answer == number
                backends.add(backend)
    finally:
        conn.close()
    return backends


def ask_all(conninfo, clients=8, queries=20):
    with concurrent.futures.ThreadPoolExecutor(clients) as executor:
        runs = [executor.submit(ask, conninfo, range(n * queries, (n + 1) * queries))
                for n in range(clients)]
        return set().union(*(run.result() for run in runs))


@pytest.mark.parametrize('mode', ['session', 'transaction'])
def test_pgbouncer(site, mode):
    """It accepts clients and makes outbound connections; none of them is disturbed."""
    bouncer = Bouncer(site.cluster, mode)
    env = site.configure('plain')
    with bouncer.dir, site.serve(bouncer.command(), env, '--port', bouncer.port) as server:
        server.wait_ready(lambda: procs.port_open(bouncer.port))
        backends = ask_all(bouncer.conninfo())
        assert 1 <= len(backends) <= 3 and site.alive(backends) == backends
    assert 'severed' not in site.guard.log()


@pytest.mark.guards('bare', 'tine')
def test_fork_behind_pgbouncer(site):
    """A program whose PostgreSQL is a PgBouncer on a random port."""
    need_python_module('psycopg2')
    bouncer = Bouncer(site.cluster, 'session')
    env = site.configure('plain', conninfo=bouncer.conninfo())
    with bouncer.dir, procs.Proc(bouncer.command(), env=env, clean_env=True) as server:
        server.wait_ready(lambda: procs.port_open(bouncer.port))
        result = site.run([PYTHON, APPS + '/fork_once.py', 'psycopg2', 'close'], env)
    check_result(site, result)


class GuardedCluster(Cluster):
    """A PostgreSQL server that itself runs under tine, with its own port named."""

    def _as_server(self, args):
        command = super()._as_server(args)
        if os.path.basename(args[0]) != 'postgres':
            return command
        return procs.tine_command('--verbose', '--port', self.port) + command


@pytest.mark.usefixtures('tine')
def test_postgresql_itself():
    """The postmaster forks a process for each client it has accepted, over every transport."""
    with GuardedCluster() as server:
        for transport in ('tls13', 'plain', 'unix'):
            assert len(ask_all(server.conninfo(transport), clients=4)) == 4
        log = server.log_text()
        assert 'tine[' in log and not re.search(r'severed [1-9]', log), log
