# SPDX-License-Identifier: PostgreSQL
"""tine doctor on a database: PgBouncer in front of it, in each mode."""
import contextlib
import os
import shutil
import tempfile

import pytest

from examined import examine
from support import procs

CONFIG = """\
[databases]
app = host=%(host)s port=%(port)d dbname=app user=app password=%(password)s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %(listen_port)d
unix_socket_dir =
auth_type = %(auth_type)s
auth_file = %(folder)s/users
pool_mode = %(mode)s
stats_users = %(stats_users)s
client_idle_timeout = %(client_idle_timeout)d
server_tls_sslmode = require
default_pool_size = 4
"""


@contextlib.contextmanager
def bouncer(cluster, mode, console=True, client_idle_timeout=0):
    """A PgBouncer; its connection string. Without a console the user may not use that."""
    if not shutil.which('pgbouncer'):
        pytest.skip('pgbouncer is not installed')
    port = procs.free_port()
    # In the cluster's directory, since PgBouncer refuses to run as root.
    with tempfile.TemporaryDirectory(prefix='pgbouncer-', dir=cluster.dir) as folder:
        os.chmod(folder, 0o755)
        with open(os.path.join(folder, 'users'), 'w', encoding='ascii') as users:
            users.write('"app" "%s"\n' % cluster.password)
        config = os.path.join(folder, 'pgbouncer.ini')
        with open(config, 'w', encoding='ascii') as file:
            file.write(CONFIG % {
                'host': cluster.host, 'port': cluster.port, 'password': cluster.password,
                'listen_port': port, 'folder': folder, 'mode': mode, 'auth_type': 'md5',
                'stats_users': 'app' if console else 'nobody',
                'client_idle_timeout': client_idle_timeout})
        words = ['-u', 'postgres'] if os.geteuid() == 0 else []
        with procs.Proc(['pgbouncer', *words, config]) as running:
            running.wait_ready(lambda: procs.port_open(port))
            yield cluster.conninfo('plain', host='127.0.0.1', port=port)


def look(cluster, conninfo, *options):
    return examine(conninfo, *options, secrets=[cluster.password])


CODES = {'session': ('pooler', 'note'), 'transaction': ('pooler-transaction', 'warning'),
         'statement': ('pooler-statement', 'warning')}


@pytest.mark.parametrize('console', [True, False])
@pytest.mark.parametrize('mode', CODES)
def test_pgbouncer(cluster, mode, console):
    with bouncer(cluster, mode, console) as conninfo:
        report = look(cluster, conninfo)
    code, grade = CODES[mode]
    assert report.grade(code) == grade
    pooler = report.facts['pooler']
    assert (pooler['name'], pooler['mode']) == ('PgBouncer', mode)
    assert pooler['mode_from'] == ('its console' if console else 'what it does')
    assert pooler['pool_size'] == (4 if console else 0)
    assert 'pooler-none' not in report.codes() and 'connections' in report.codes()
    assert 'pooler-idle-timeout' not in report.codes()


def test_nothing_is_left_in_the_server_s_session(cluster):
    """What would be set there is the next client's."""
    with bouncer(cluster, 'transaction', console=False) as conninfo:
        look(cluster, conninfo)
        states = cluster.admin_sql("select state from pg_stat_activity where usename = 'app'")
        assert states and all(state == ('idle',) for state in states)


def test_a_pooler_that_closes_idle_clients(cluster):
    with bouncer(cluster, 'session', client_idle_timeout=3) as conninfo:
        report = look(cluster, conninfo, '--probe-idle', 20)
    assert report.grade('pooler-idle-timeout') == 'warning'
    assert report.facts['pooler']['client_idle_timeout_s'] == 3
    found = report.finding('idle-dropped')
    assert 'FIN' in found['seen'] and 'client_idle_timeout' in found['seen']
    assert 2 <= report.facts['idle']['dropped_after_s'] < 10


def test_no_pooler(cluster):
    report = look(cluster, cluster.conninfo('plain'))
    assert report.grade('pooler-none') == 'ok' and 'pooler' not in report.facts
    assert 'unsupported' not in cluster.log_text()
