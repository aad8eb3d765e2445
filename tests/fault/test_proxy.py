# SPDX-License-Identifier: PostgreSQL
"""The fault proxy itself: each fault does what it says, seen by sockets and by libpq."""
import errno
import fcntl
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time

import psycopg2
import pytest

from support import procs
from support.procs import wait_until
from support.proxy import Proxy, ProxyError, Unsupported

QUIET_SECONDS = 0.2     # how long a socket that must stay quiet is watched
SSL_REQUEST = struct.pack('>II', 8, 80877103)


class Wire:
    """A client socket and a server socket, with the proxy in between."""

    def __init__(self, repair=True):
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.proxy = Proxy(self.listener.getsockname(), repair)
        self.client = self.server = None

    def __enter__(self):
        self.proxy.start()
        self.client, self.server = self.pair()
        return self

    def __exit__(self, *exc):
        self.proxy.stop()
        for sock in (self.client, self.server, self.listener):
            if sock:
                sock.close()

    def pair(self):
        client = socket.create_connection((self.proxy.host, self.proxy.port), timeout=20)
        self.listener.settimeout(20)
        server = self.listener.accept()[0]
        server.settimeout(20)
        return client, server


@pytest.fixture
def wire():
    with Wire() as running:
        yield running


def receive(sock, count):
    data = b''
    while len(data) < count:
        part = sock.recv(count - len(data))
        if not part:
            break
        data += part
    return data


def message(kind, body):
    return kind + struct.pack('>I', 4 + len(body)) + body


def is_quiet(sock, seconds=QUIET_SECONDS):
    return not select.select([sock], [], [], seconds)[0]


def unacknowledged(sock):
    """Bytes that the peer's kernel has not acknowledged."""
    return struct.unpack('i', fcntl.ioctl(sock, termios.TIOCOUTQ, b'\0' * 4))[0]


def end_of(sock):
    """How the connection ends: 'fin' or 'rst'."""
    try:
        while sock.recv(65536):
            pass
        return 'fin'
    except ConnectionResetError:
        return 'rst'


def query(conn, sql='select 1'):
    with conn.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


def connect(proxy, transport, **extra):
    conn = psycopg2.connect(proxy.conninfo(transport, **extra))
    conn.autocommit = True
    return conn


class Asking(threading.Thread):
    """A query in a thread of its own: answer or error, when there is one."""

    def __init__(self, conn, sql='select 1'):
        super().__init__(daemon=True)
        self.conn, self.sql, self.answer, self.error = conn, sql, None, None
        self.start()

    def run(self):
        try:
            self.answer = query(self.conn, self.sql)
        except psycopg2.Error as err:
            self.error = err

    def end(self):
        self.join(30)
        assert not self.is_alive(), 'the query neither ended nor failed'
        return self


# ---- pass ----------------------------------------------------------------------------------------

@pytest.mark.parametrize('transport', ['tls12', 'tls13', 'plain'])
def test_pass_carries_large_results_both_ways(proxy, transport):
    conn = connect(proxy, transport)
    text = os.urandom(1 << 20).hex()
    with conn.cursor() as cursor:
        cursor.execute('select %s, md5(%s)', (text, text))
        back, _ = cursor.fetchone()
    assert back == text
    assert conn.info.ssl_in_use == (transport != 'plain')
    totals = proxy.stat()
    assert totals['from_client'] > 2 * len(text) and totals['from_server'] > len(text)
    conn.close()


def test_pass_carries_a_unix_socket(cluster):
    with Proxy('%s/.s.PGSQL.%d' % (cluster.socket_dir, cluster.port)) as proxy:
        params = cluster.params('plain', host=proxy.host, port=proxy.port)
        conn = psycopg2.connect(**params)
        assert query(conn, 'select inet_client_addr() is null') is True
        conn.close()


def test_bytes_are_passed_on_exactly(wire):
    sent = os.urandom(300_000)
    sender = threading.Thread(target=wire.client.sendall, args=(sent,))
    sender.start()
    assert receive(wire.server, len(sent)) == sent
    sender.join()
    link, = wire.proxy.count()['links']
    assert (link['from_client'], link['to_server']) == (len(sent), len(sent))
    assert (link['from_server'], link['to_client']) == (0, 0)


def test_the_end_of_each_side_is_passed_on(wire):
    wire.server.sendall(b'last words')
    wire.server.close()
    assert receive(wire.client, 10) == b'last words'
    assert end_of(wire.client) == 'fin'
    wire.client.close()
    wire.client, wire.server = wire.pair()
    wire.client.sendall(b'bye')
    wire.client.shutdown(socket.SHUT_WR)
    assert receive(wire.server, 3) == b'bye' and end_of(wire.server) == 'fin'
    wire.server.sendall(b'still here')
    assert receive(wire.client, 10) == b'still here'
    wire.server.close()
    assert end_of(wire.client) == 'fin'


def test_a_server_that_is_away_ends_the_connection():
    with Proxy(('127.0.0.1', procs.free_port())) as proxy:
        with pytest.raises(ConnectionResetError):
            with socket.create_connection((proxy.host, proxy.port), timeout=20) as client:
                client.recv(1)


# ---- modes ---------------------------------------------------------------------------------------

def test_mute_new(proxy):
    before = connect(proxy, 'tls')
    proxy.mute_new()
    with socket.create_connection((proxy.host, proxy.port), timeout=20) as client:
        client.sendall(SSL_REQUEST)
        assert is_quiet(client)
        assert query(before) == 1
        assert proxy.count()['links'][1]['from_client'] == 8
        proxy.pass_all()
        assert query(connect(proxy, 'tls')) == 1
        assert is_quiet(client)


def test_refuse_and_reopen_on_the_same_port(proxy):
    before = connect(proxy, 'tls')
    for _ in range(3):
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((proxy.host, proxy.port), timeout=20)
        assert query(before) == 1
        proxy.pass_all()
        connect(proxy, 'plain').close()


@pytest.mark.parametrize('transport', ['tls', 'plain'])
def test_blackhole_holds_everything_back(proxy, transport):
    conn = connect(proxy, transport)
    proxy.blackhole()
    asking = Asking(conn)
    late = socket.create_connection((proxy.host, proxy.port), timeout=20)
    late.sendall(SSL_REQUEST)
    assert is_quiet(late)
    assert is_quiet(conn) and asking.is_alive()
    # The kernel acknowledges: only a deadline of the program itself can tell.
    wait_until(lambda: unacknowledged(conn) == 0, 10)
    proxy.pass_all()
    assert asking.end().answer == 1
    assert late.recv(1) == b'S'
    late.close()


def test_blackhole_is_full_at_some_point(wire):
    wire.proxy.blackhole()
    wire.client.setblocking(False)
    sent = 0
    with pytest.raises(BlockingIOError):
        while sent < 100 << 20:
            sent += wire.client.send(b'x' * 65536)
    wire.proxy.pass_all()
    assert receive(wire.server, sent) == b'x' * sent


@pytest.mark.parametrize('transport', ['tls', 'plain'])
def test_oneway_loses_the_answers_only(proxy, cluster, transport):
    conn = connect(proxy, transport)
    proxy.oneway()
    asking = Asking(conn, "select 'arrived ' || 'there'")
    wait_until(lambda: cluster.admin_sql(
        "select 1 from pg_stat_activity where pid <> pg_backend_pid()"
        " and state = 'idle' and query like 'select ''arrived%%'"), 20, 'the query')
    assert is_quiet(conn) and asking.is_alive()
    proxy.pass_all()
    assert asking.end().answer == 'arrived there'


def test_oneway_hides_the_end_of_the_server_too(wire):
    wire.proxy.oneway()
    wire.client.sendall(b'ask')
    assert receive(wire.server, 3) == b'ask'
    wire.server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    wire.server.close()
    assert is_quiet(wire.client)
    wire.client.sendall(b'more')
    assert is_quiet(wire.client)
    wire.proxy.pass_all()
    assert end_of(wire.client) == 'rst'


@pytest.mark.usefixtures('can_vanish')
@pytest.mark.parametrize('transport', ['tls', 'plain'])
def test_vanish_acknowledges_nothing(proxy, transport):
    conn = connect(proxy, transport, tcp_user_timeout=1000)
    proxy.vanish()
    started = time.monotonic()
    asking = Asking(conn)
    wait_until(lambda: unacknowledged(conn) > 0 or not asking.is_alive(), 10)
    assert 'timed out' in str(asking.end().error)
    assert 0.9 < time.monotonic() - started < 15
    with socket.socket() as late:
        late.setblocking(False)
        assert late.connect_ex((proxy.host, proxy.port)) == errno.EINPROGRESS
        assert not select.select([], [late], [], QUIET_SECONDS)[1]
        proxy.pass_all()
        # SYN is sent again after a second.
        assert select.select([], [late], [], 20)[1]
        assert late.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


@pytest.mark.usefixtures('can_vanish')
def test_after_vanish_tcp_goes_on(proxy):
    conn = connect(proxy, 'tls')
    proxy.vanish()
    asking = Asking(conn)
    wait_until(lambda: unacknowledged(conn) > 0, 10)
    proxy.pass_all()
    assert asking.end().answer == 1


@pytest.mark.parametrize('mode', ['blackhole', 'oneway', 'vanish'])
def test_a_mode_for_old_links_alone(wire, mode):
    try:
        getattr(wire.proxy, mode)(old_only=True)
    except Unsupported as err:
        pytest.skip(str(err))
    client, server = wire.pair()
    server.sendall(b'heard')
    assert receive(client, 5) == b'heard'
    wire.server.sendall(b'held back')
    assert is_quiet(wire.client)
    wire.proxy.pass_all()
    assert receive(wire.client, 9) == b'held back'
    client.close()
    server.close()


# ---- endings -------------------------------------------------------------------------------------

@pytest.mark.parametrize('repair', [True, False])
def test_drop_idle_is_seen_by_the_next_packet_only(repair):
    with Wire(repair) as wire:
        answer = wire.proxy.drop_idle()
        if repair and answer['how'] != 'repair':
            pytest.skip('TCP_REPAIR is not permitted (CAP_NET_ADMIN)')
        assert answer == {'ok': True, 'links': 1, 'how': 'repair' if repair else 'trap'}
        poll = select.poll()
        poll.register(wire.client, select.POLLIN | select.POLLRDHUP)
        assert poll.poll(QUIET_SECONDS * 1000) == []
        assert end_of(wire.server) == 'fin'
        assert wire.proxy.stat()['open'] == 0
        wire.client.send(b'x')
        assert end_of(wire.client) == 'rst'


@pytest.mark.parametrize('transport', ['tls', 'plain'])
@pytest.mark.parametrize('repair', [True, False])
def test_drop_idle_under_libpq(cluster, transport, repair):
    with Proxy(cluster, repair) as proxy:
        conn = connect(proxy, transport)
        pid = query(conn, 'select pg_backend_pid()')
        proxy.drop_idle()
        wait_until(lambda: not cluster.admin_sql(
            'select 1 from pg_stat_activity where pid = %s', params=(pid,)), 20)
        assert is_quiet(conn)
        with pytest.raises(psycopg2.OperationalError):
            query(conn)


def test_rst_of_one_link_and_of_all(wire):
    others = [wire.pair() for _ in range(2)]
    clients = [wire.client, *(client for client, _ in others)]
    first, second, third = wire.proxy.open_links()
    assert wire.proxy.rst(second)['links'] == 1
    assert end_of(clients[1]) == 'rst'
    assert is_quiet(clients[0]) and is_quiet(clients[2])
    assert wire.proxy.open_links() == [first, third]
    assert wire.proxy.rst()['links'] == 2
    assert end_of(clients[0]) == 'rst' and end_of(clients[2]) == 'rst'
    for pair in others:
        for sock in pair:
            sock.close()


@pytest.mark.parametrize('transport', ['tls', 'plain'])
def test_fin_comes_without_a_close_notify(proxy, transport):
    conn = connect(proxy, transport)
    proxy.fin()
    assert select.select([conn], [], [], 20)[0]
    raw = socket.socket(fileno=os.dup(conn.fileno()))
    assert raw.recv(1, socket.MSG_PEEK) == b''
    raw.close()
    with pytest.raises(psycopg2.OperationalError):
        query(conn)


# ---- delays --------------------------------------------------------------------------------------

@pytest.mark.parametrize('transport', ['tls', 'plain'])
def test_latency_is_in_each_direction(proxy, transport):
    conn = connect(proxy, transport)
    proxy.latency(60)
    started = time.monotonic()
    assert query(conn) == 1
    assert time.monotonic() - started >= 0.12
    proxy.pass_all()
    assert min(timed(lambda: query(conn)) for _ in range(5)) < 0.12


def timed(call):
    started = time.monotonic()
    call()
    return time.monotonic() - started


def test_latency_delays_the_end_too(wire):
    wire.proxy.latency(150)
    started = time.monotonic()
    wire.server.close()
    assert end_of(wire.client) == 'fin'
    assert time.monotonic() - started >= 0.15


def test_connect_delay_is_for_the_first_bytes_only(proxy):
    proxy.connect_delay(250)
    started = time.monotonic()
    conn = connect(proxy, 'tls')
    assert time.monotonic() - started >= 0.25
    assert min(timed(lambda: query(conn)) for _ in range(5)) < 0.2


# ---- records -------------------------------------------------------------------------------------

def test_cut_record_in_the_clear(wire):
    wire.server.sendall(message(b'Z', b'I'))
    assert receive(wire.client, 6) == message(b'Z', b'I')
    wire.proxy.cut_record(7)
    wire.server.sendall(message(b'D', b'0123456789') + message(b'C', b'done\0'))
    assert receive(wire.client, 100) == message(b'D', b'0123456789')[:7]
    assert end_of(wire.client) == 'fin'


def test_cut_record_never_lets_a_record_through(wire):
    wire.proxy.cut_record(1000)
    data = message(b'D', b'0123456789')
    for byte in data:
        try:
            wire.server.sendall(bytes([byte]))
        except OSError:
            break           # the proxy has closed already
    assert receive(wire.client, 100) == data[:-1]


def test_corrupt_flips_one_bit(wire):
    wire.proxy.corrupt(2)
    wire.server.sendall(message(b'n', b'') + message(b'D', b'aaaa') + message(b'D', b'aaaa'))
    expected = message(b'n', b'') + message(b'D', b'aa`a') + message(b'D', b'aaaa')
    assert receive(wire.client, len(expected)) == expected
    assert wire.proxy.stat()['armed'] == 0


@pytest.mark.parametrize('tls', ['tls12', 'tls13'])
def test_corrupt_is_found_out_by_tls(proxy, tls):
    conn = connect(proxy, tls)
    proxy.corrupt(3)
    with pytest.raises(psycopg2.OperationalError, match='SSL error'):
        query(conn)


@pytest.mark.parametrize('transport', ['tls', 'plain'])
@pytest.mark.parametrize('after_bytes', [0, 3, 20])
def test_cut_record_under_libpq(proxy, transport, after_bytes):
    conn = connect(proxy, transport)
    other = connect(proxy, transport)
    proxy.cut_record(after_bytes, link=1)
    assert query(other) == 1
    with pytest.raises(psycopg2.OperationalError):
        query(conn)
    assert query(other) == 1


def test_rst_after_bytes(wire):
    wire.server.sendall(b'x' * 50)
    assert receive(wire.client, 50) == b'x' * 50
    wire.proxy.rst_after_bytes(1000)
    wire.server.sendall(b'y' * 900)
    assert receive(wire.client, 900) == b'y' * 900
    wire.server.sendall(b'z' * 900)
    got = b''
    with pytest.raises(ConnectionResetError):
        while True:
            got += wire.client.recv(1000)
    assert len(got) <= 100
    assert wire.proxy.count()['links'][0]['to_client'] == 1050


@pytest.mark.parametrize('transport', ['tls', 'plain'])
def test_rst_in_the_midst_of_a_result(proxy, transport):
    conn = connect(proxy, transport)
    proxy.rst_after_bytes(100_000)
    with pytest.raises(psycopg2.OperationalError):
        query(conn, "select repeat('x', 1000) from generate_series(1, 1000)")
    assert conn.closed
    assert query(connect(proxy, transport)) == 1


# ---- counts and the record -----------------------------------------------------------------------

def test_count(wire):
    pairs = [wire.pair() for _ in range(4)]
    for pair in pairs[:2]:
        for sock in pair:
            sock.close()
    wait_until(lambda: wire.proxy.stat()['open'] == 3, 20)
    counted = wire.proxy.count(60_000)
    assert (counted['accepted'], counted['open'], counted['peak']) == (5, 3, 5)
    assert (counted['window_ms'], counted['window_peak']) == (60_000, 5)
    assert sorted(link['link'] for link in counted['links']) == [1, 2, 3, 4, 5]
    assert wire.proxy.open_links() == [1, 4, 5]
    wire.proxy.reset_stat()
    counted = wire.proxy.count()
    assert (counted['accepted'], counted['open'], counted['peak']) == (0, 3, 3)
    assert [link['link'] for link in counted['links']] == [1, 4, 5]
    for pair in pairs[2:]:
        for sock in pair:
            sock.close()


def test_a_window_is_narrower_than_the_whole(wire):
    for _ in range(2):
        # What is waited for is that the clock goes on.
        started = time.monotonic()
        wait_until(lambda since=started: time.monotonic() - since > 0.06, 10)
        for sock in wire.pair():
            sock.close()
    assert wire.proxy.count(50)['window_peak'] < 3
    assert wire.proxy.count(600_000)['window_peak'] == 3


def by_side(chunks, side):
    return [record for chunk in chunks if chunk['from'] == side for record in chunk['records']]


def test_record_names_the_messages(proxy, tmp_path):
    proxy.record(tmp_path / 'wire')
    conn = connect(proxy, 'plain')
    query(conn)
    assert is_quiet(conn)
    size = len(proxy.read_record(tmp_path / 'wire'))
    assert is_quiet(conn)
    assert len(proxy.read_record(tmp_path / 'wire')) == size, 'an idle connection sent something'
    conn.close()
    wait_until(lambda: proxy.stat()['open'] == 0, 20)
    chunks = proxy.read_record(tmp_path / 'wire')
    sent = by_side(chunks, 'client')
    assert sent[0] == 'Startup' and 'Q' in sent and sent[-1] == 'X'
    answered = by_side(chunks, 'server')
    assert answered[0] == 'R' and answered[-4:] == ['T', 'D', 'C', 'Z']
    link, = proxy.count()['links']
    for side in ('client', 'server'):
        total = sum(chunk['bytes'] for chunk in chunks if chunk['from'] == side)
        assert total == link['from_' + side] > 0


def test_record_names_tls(proxy, tmp_path):
    proxy.record(tmp_path / 'wire')
    connect(proxy, 'tls13').close()
    wait_until(lambda: proxy.stat()['open'] == 0, 20)
    chunks = proxy.read_record(tmp_path / 'wire')
    sent, answered = by_side(chunks, 'client'), by_side(chunks, 'server')
    assert sent[:2] == ['SSLRequest', 'tls-handshake'] and sent[-1].startswith('tls-data')
    assert answered[:2] == ['tls-yes', 'tls-handshake']
    times = [chunk['t_us'] for chunk in chunks]
    assert times == sorted(times) and abs(times[-1] / 1e6 - time.monotonic()) < 60


def test_record_counts_runs_and_ends(wire, tmp_path):
    wire.proxy.record(tmp_path / 'wire')
    data = message(b'D', b'row') * 3 + message(b'C', b'')
    wire.server.sendall(data)
    assert receive(wire.client, len(data)) == data
    wire.proxy.record_off()
    wire.server.sendall(data)
    assert receive(wire.client, len(data)) == data
    chunks = wire.proxy.read_record(tmp_path / 'wire')
    assert sum(chunk['bytes'] for chunk in chunks) == len(data)
    if len(chunks) == 1:
        assert chunks[0]['records'] == ['D*3', 'C']


# ---- the program ---------------------------------------------------------------------------------

@pytest.mark.parametrize('words', [('no-such',), ('latency',), ('latency', 'x'), ('latency', '-1'),
                                   ('pass', '1'), ('rst', '1', '2'), ('record', '/no/such/file'),
                                   ('vanish', 'new')])
def test_wrong_commands_are_refused(wire, words):
    with pytest.raises(ProxyError):
        wire.proxy.command(*words)
    assert wire.proxy.stat()['mode'] == 'pass'


def test_it_ends_with_its_input(wire):
    assert wire.proxy.stop() == 0
    assert end_of(wire.client) == 'fin'


def test_it_ends_on_sigterm():
    proxy = Proxy(('127.0.0.1', procs.free_port())).start()
    os.kill(proxy.pid, signal.SIGTERM)
    wait_until(lambda: os.waitid(os.P_PID, proxy.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT), 20)
    assert proxy.stop() == 0


def test_it_ends_with_the_program_that_started_it():
    program = ('import os, sys\n'
               'sys.path.insert(0, %r)\n'
               'from support.proxy import Proxy\n'
               'print(Proxy(("127.0.0.1", 1)).start().pid, flush=True)\n'
               'os.kill(os.getpid(), 9)\n' % os.path.join(procs.ROOT, 'tests'))
    done = subprocess.run([sys.executable, '-c', program], stdout=subprocess.PIPE, text=True,
                          check=False, timeout=60)
    pid = int(done.stdout)
    wait_until(lambda: not procs.group_members(pid), 20, 'the end of the proxy')
