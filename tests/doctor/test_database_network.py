# SPDX-License-Identifier: PostgreSQL
"""tine doctor on a database: names, addresses, networks that swallow, idle connections that go."""
import json
import os
import pty
import re
import select
import socket
import subprocess
import sys

import pytest

from examined import Liar, examine, run
from support.proxy import Proxy, Unsupported
from support.procs import free_port, tine_path

# Of a step that waits for nothing: what the connect_timeout is, and a busy machine's share.
TIMEOUT, MARGIN = 2, 6


@pytest.fixture
def proxy(cluster):
    with Proxy(cluster) as running:
        yield running


@pytest.fixture
def can_vanish(proxy):
    try:
        proxy.vanish()
    except Unsupported as err:
        pytest.skip(str(err))
    proxy.pass_all()


def through(proxy, *options, **extra):
    return examine(proxy.conninfo('tls', connect_timeout=TIMEOUT, **extra), *options,
                   secrets=[proxy.server.password])


# ---- the command ---------------------------------------------------------------------------------

def test_a_connection_string_that_is_none():
    for text in ('host=localhost password=hunter2 nonsense', 'mysql://app:hunter2@localhost/app',
                 'postgresql://app:hunter2@localhost/app?nonsense=1',
                 'host=localhost port=99999 password=hunter2'):
        done, _seconds = run(text, secrets=['hunter2'])
        assert done.returncode == 111 and done.stdout == ''
        assert done.stderr.startswith('tine: doctor: ') and done.stderr.count('\n') == 1


def test_urls_as_sqlalchemy_writes_them(cluster):
    for driver in ('', 'psycopg2', 'psycopg', 'asyncpg'):
        report = examine(cluster.url('tls', driver), secrets=[cluster.password])
        assert 'login' in report.codes()


def test_every_step_is_timed(cluster):
    facts = examine(cluster.conninfo('tls'), secrets=[cluster.password]).facts
    host = facts['hosts'][0]
    assert host['resolve_ms'] >= 0 and host['addresses'][0]['connect_ms'] > 0
    assert host['tls']['ms'] > 0 and host['login_ms'] > 0 and host['first_query_ms'] > 0
    trip = host['round_trip']
    assert trip['samples'] == 100 and 0 < trip['p50_us'] <= trip['p99_us']


def test_the_table_for_people_says_what_json_says(cluster):
    conninfo = cluster.conninfo('tls')
    done, _seconds = run(conninfo, secrets=[cluster.password])
    for found in examine(conninfo).json['findings']:
        if found['grade'] != 'ok':
            assert '%s: %s' % (found['code'], found['where']) in done.stdout


# ---- names and addresses -------------------------------------------------------------------------

def test_a_name_that_does_not_exist():
    report = examine('host=db.invalid connect_timeout=5')
    assert report.grade('name-unresolved') == 'hazard'
    assert 'address-connected' not in report.codes()


def test_all_addresses(cluster):
    report = examine(cluster.conninfo('tls', host='localhost'), secrets=[cluster.password])
    assert report.grade('name-resolved') == 'ok'
    found = {item[4][0] for item in socket.getaddrinfo('localhost', None)}
    assert {row['address'] for row in report.facts['hosts'][0]['addresses']} == found


def test_nobody_listens():
    report = examine('host=127.0.0.1 port=%d' % free_port())
    found = report.finding('host-unreachable')
    assert found['grade'] == 'hazard' and 'Connection refused' in found['seen']


def apart(*kind):
    """Words before a command, for names of the test's own; see names.py."""
    unshare = ['unshare', '-rmn' if kind[0] == 'dns' else '-rm']
    if subprocess.run([*unshare, 'mount', '--bind', '/etc/hosts', '/etc/hosts'], check=False,
                      stderr=subprocess.DEVNULL).returncode:
        pytest.skip('no namespaces on this machine for this user')
    return [*unshare, sys.executable, os.path.join(os.path.dirname(__file__), 'names.py'), *kind]


def test_one_of_two_addresses(proxy, tmp_path):
    """The proxy listens on one of them."""
    hosts = tmp_path / 'hosts'
    hosts.write_text('127.0.0.1 two.example.org\n127.0.0.2 two.example.org\n')
    report = examine(proxy.conninfo('tls', host='two.example.org'),
                     before=apart('hosts', str(hosts)), secrets=[proxy.server.password])
    found = report.finding('address-unreachable')
    assert found['grade'] == 'warning' and found['seen'].startswith('127.0.0.2: Connection refused')
    assert report.grade('address-connected') == 'ok' and 'login' in report.codes()
    hosts.write_text('127.0.0.1 two.example.org\n')
    report = examine(proxy.conninfo('tls', host='two.example.org'),
                     before=apart('hosts', str(hosts)), secrets=[proxy.server.password])
    assert 'address-unreachable' not in report.codes()


def test_a_server_of_names_that_is_slow():
    report = examine('host=db.example.org port=1', before=apart('dns', '0.6'))
    assert report.grade('name-slow') == 'note' and 'host-unreachable' in report.codes()
    report = examine('host=db.example.org port=1', before=apart('dns', '0'))
    assert report.grade('name-resolved') == 'ok'


def test_a_server_of_names_that_is_silent():
    """libc alone would wait for 20 s."""
    report = examine('host=db.example.org connect_timeout=%d' % TIMEOUT, before=apart('dns', '-'))
    assert 'did not answer' in report.finding('name-unresolved')['seen']
    assert report.seconds < TIMEOUT + MARGIN


def test_no_socket(tmp_path):
    report = examine('host=%s' % tmp_path)
    assert 'No such file' in report.finding('host-unreachable')['seen']


# ---- a network that swallows ---------------------------------------------------------------------

@pytest.mark.usefixtures('can_vanish')
def test_a_black_hole(proxy):
    """Packets are lost, SYN too."""
    proxy.vanish()
    report = through(proxy)
    assert 'timed out' in report.finding('host-unreachable')['seen']
    assert report.seconds < TIMEOUT + MARGIN


def test_a_black_hole_behind_tcp(proxy):
    """Something accepts, and nothing comes."""
    proxy.mute_new()
    report = through(proxy)
    assert report.grade('no-answer') == 'hazard'
    assert report.seconds < 2 * TIMEOUT + MARGIN
    proxy.pass_all()
    assert 'no-answer' not in through(proxy).codes()


@pytest.mark.parametrize('sslmode', ['require', 'disable'])
def test_it_ends_in_the_middle(proxy, sslmode):
    """Whatever number of bytes the server sends before it is cut."""
    for count in (1, 100, 2000, 6000):
        proxy.rst_after_bytes(count)
        report = through(proxy, sslmode=sslmode)
        assert report.seconds < 20
        proxy.pass_all()


def test_a_long_way(proxy):
    proxy.latency(10)
    report = through(proxy)
    assert report.grade('round-trip-slow') == 'note'
    assert report.facts['hosts'][0]['round_trip']['p50_us'] >= 20000
    proxy.pass_all()
    assert 'round-trip-slow' not in through(proxy).codes()


# ---- idle connections ----------------------------------------------------------------------------

class Idle:
    """tine doctor --probe-idle, and a command to the proxy once the connections are idle."""

    def __init__(self, proxy, seconds, command, **extra):
        args = [tine_path(), 'doctor', '--json', '--probe-idle', str(seconds),
                proxy.conninfo('plain', **extra)]
        self._primary, replica = pty.openpty()
        with subprocess.Popen(args, stdout=subprocess.PIPE, stderr=replica) as popen:
            os.close(replica)
            self.progress = self._read_until('of %d s' % seconds)
            command()
            self._out = popen.communicate(timeout=120)[0]
        self.progress += self._read_until(None)
        os.close(self._primary)
        self.status = popen.returncode

    def _read_until(self, word):
        text = ''
        while word is None or word not in text:
            if not select.select([self._primary], [], [], 60)[0]:
                raise TimeoutError(text)
            try:
                text += os.read(self._primary, 4096).decode()
            except OSError:
                break
        return text

    def report(self):
        return json.loads(self._out)

    def finding(self):
        found = [row for row in self.report()['findings'] if row['code'].startswith('idle-')]
        assert len(found) == 1
        return found[0]


def test_idle_connections_stay(cluster):
    report = examine(cluster.conninfo('plain'), '--probe-idle', 2, secrets=[cluster.password])
    assert report.grade('idle-survived') == 'ok'
    assert report.facts['idle']['answered_after_s'] == pytest.approx(2, abs=1)
    assert 'idle' not in examine(cluster.conninfo('plain')).facts


def test_fin(proxy):
    idle = Idle(proxy, 60, proxy.fin)
    found = idle.finding()
    assert found['code'] == 'idle-dropped' and 'by FIN' in found['seen']
    assert found['grade'] == 'warning' and 'pool_recycle' in found['lines'][0]
    assert idle.report()['database']['idle']['dropped_after_s'] < 10


def test_rst(proxy):
    found = Idle(proxy, 60, proxy.rst).finding()
    assert found['code'] == 'idle-dropped' and 'by RST' in found['seen']


def test_silence_that_ends_with_rst(proxy):
    """A router has forgotten the connection, and says so to the next packet."""
    found = Idle(proxy, 8, proxy.drop_idle).finding()
    assert found['code'] == 'idle-dropped-silently' and 'answered by RST' in found['seen']
    assert found['grade'] == 'hazard' and 'keepalives_idle' in found['lines'][1]


def test_silence(proxy):
    found = Idle(proxy, 8, lambda: proxy.blackhole(old_only=True)).finding()
    assert found['code'] == 'idle-dropped-silently' and 'answered by silence' in found['seen']


def test_the_server_ends_idle_sessions(cluster):
    cluster.admin_sql("alter role app set idle_session_timeout = '3s'")
    try:
        report = examine(cluster.conninfo('tls'), '--probe-idle', 30, secrets=[cluster.password])
    finally:
        cluster.admin_sql('alter role app reset idle_session_timeout')
    found = report.finding('idle-dropped')
    # A server that closes what it has not read all of sends RST instead of FIN.
    assert '57P05' in found['seen'] and re.search('FIN|RST', found['seen'])
    assert 2.5 < report.facts['idle']['dropped_after_s'] < 10
    assert report.seconds < 20


def test_progress_is_for_terminals(proxy, cluster):
    idle = Idle(proxy, 3, lambda: None)
    assert re.search(r'idle for \d of 3 s: \d of \d connections there', idle.progress)
    # it is gone at the end
    assert idle.progress.endswith('\r\x1b[K')
    report = examine(cluster.conninfo('plain'), '--probe-idle', 1)
    assert report.text == ''


def test_the_probe_does_not_take_the_last_connections(cluster):
    """Half of what is left, for this user 3 of 6."""
    cluster.admin_sql('alter role app connection limit 7')
    try:
        report = examine(cluster.conninfo('plain'), '--probe-idle', 1, secrets=[cluster.password])
    finally:
        cluster.admin_sql('alter role app connection limit -1')
    assert report.facts['idle']['connections'] <= 3


def test_a_liar_is_stopped_at_the_end_of_the_test():
    with Liar(lambda client: client.sendall(b'N' * 100)) as liar:
        port = liar.port
        assert examine(liar.conninfo(connect_timeout=TIMEOUT)).status == 1
    with pytest.raises(OSError):
        socket.create_connection(('127.0.0.1', port), 1)
