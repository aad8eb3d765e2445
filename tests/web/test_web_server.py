# SPDX-License-Identifier: PostgreSQL
"""tine-web as a server: where it listens, who is cut off, what hostile boards do to it, its end."""
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import time

import pytest

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from support import procs
from support.board import hostile, tine, whole_board
from webtools import Web

BUILD = os.path.dirname(procs.tine_path())
MOST = 64  # connections
PATIENCE_S, PATIENCE_CROWDED_S = 15, 2


# ---- where it listens ---------------------------------------------------------------------------


def test_a_unix_socket(directory, shop, tmp_path):
    path = tmp_path / 'web.sock'
    with Web(directory, listen='unix:%s' % path) as web:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert web.get('/health')[0] == 200
        assert web.get('/json', headers={'Host': 'evil.example'})[0] == 421
        assert web.proc.text() == 'unix:%s\n' % path
        # one that is in use is left alone
        second = tine(directory, 'web', '-l', 'unix:%s' % path)
        assert (second.returncode, second.stdout) == (111, '')
        assert 'somebody listens there already' in second.stderr
        assert web.get('/health')[0] == 200
    assert not path.exists()


def test_a_stale_socket_is_replaced(directory, tmp_path):
    path = tmp_path / 'web.sock'
    with Web(directory, listen='unix:%s' % path) as web:
        web.proc.popen.kill()
        web.proc.wait()
    assert path.exists()
    with Web(directory, listen='unix:%s' % path) as web:
        assert web.get('/health')[0] == 200
        # and one that another has put there meanwhile is not removed
        path.unlink()
        path.write_text('mine')
    assert path.read_text() == 'mine'


def test_what_is_no_socket_is_left_alone(directory, tmp_path):
    path = tmp_path / 'web.sock'
    path.write_text('mine')
    for target in (path, tmp_path / 'link'):
        if target != path:
            target.symlink_to(path)
        result = tine(directory, 'web', '-l', 'unix:%s' % target)
        assert result.returncode == 111 and 'no socket' in result.stderr
    assert path.read_text() == 'mine'


def test_of_many_that_start_at_once_one_listens(directory, tmp_path):
    path = tmp_path / 'web.sock'
    for _ in range(3):
        stale = socket.socket(socket.AF_UNIX)
        stale.bind(str(path))
        stale.close()
        many = [procs.Proc([procs.tine_path(), 'web', '-l', 'unix:%s' % path],
                           env={'TINE_BOARD_DIRECTORY': str(directory)}) for _ in range(6)]
        try:
            for one in many:
                one.start()
            procs.wait_until(lambda: sum(one.popen.poll() is None for one in many) == 1)
            assert [one.popen.poll() for one in many].count(111) == 5
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
        finally:
            for one in many:
                one.stop()


def test_ipv6(directory):
    if not procs.have_ipv6():
        pytest.skip('no IPv6 here')
    with Web(directory, listen='[::1]:0') as web:
        assert re.fullmatch(r'http://\[::1\]:\d+/', web.url)
        with socket.create_connection(('::1', web.port)) as client:
            client.sendall(b'GET /health HTTP/1.1\r\nHost: [::1]:%d\r\n\r\n' % web.port)
            assert client.recv(100).startswith(b'HTTP/1.1 200 ')


def test_a_port_that_is_taken(directory):
    with Web(directory) as web:
        result = tine(directory, 'web', '-l', '127.0.0.1:%d' % web.port)
        assert (result.returncode, result.stdout) == (111, '')
        assert 'somebody listens there already' in result.stderr


def test_an_address_that_others_can_reach(directory):
    for address in ('0.0.0.0:0', '[::]:0', '192.0.2.1:0'):
        result = tine(directory, 'web', '-l', address)
        assert (result.returncode, result.stdout) == (100, '')
        assert '--public' in result.stderr
    with Web(directory, '--public', listen='0.0.0.0:0') as web:
        assert 'warning: 0.0.0.0:0 can be reached from other machines' in web.proc.text()
        assert web.get('/health')[0] == 200


def test_wrong_words(directory):
    for words in (['-l', '7432'], ['-l', 'unix:x'], ['-l', 'unix:@x'], ['-l', 'example.org:80'],
                  ['-l', ''], ['--doctor', '-1'], ['--host', ','.join('abcdefghijk' * 4)],
                  ['--nonsense']):
        result = tine(directory, 'web', *words)
        assert (result.returncode, result.stdout) == (100, ''), words
        assert result.stderr.count('\n') == 1


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it(directory, web, number):
    connection = web.connection()
    connection.request('GET', '/health')
    connection.getresponse().read()
    web.proc.popen.send_signal(number)
    assert web.proc.wait() == 0
    assert web.proc.text() == web.url + '\n'


# ---- clients ------------------------------------------------------------------------------------


def closed_after(sock, send=b''):
    """Seconds until the server closes, while send is repeated slowly."""
    began = time.monotonic()
    sock.settimeout(0.2)
    while time.monotonic() - began < 3 * PATIENCE_S:
        try:
            if send:
                sock.sendall(send)
            if not sock.recv(65536):
                break
        except socket.timeout:
            pass
        except OSError:
            break
    return time.monotonic() - began


def test_slow_clients_are_cut_off_and_hold_up_nobody(web):
    def keeps_answering():
        assert web.get('/health')[0] == 200
    silent, dripping, reading = web.socket(), web.socket(), web.socket()
    dripping.sendall(b'GET / HTTP/1.1\r\nHost: localhost\r\n')
    reading.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    # more answers than buffers take, and nobody reads them
    reading.setblocking(False)
    try:
        for _ in range(2000):
            reading.send(b'GET /page.js HTTP/1.1\r\nHost: localhost\r\n\r\n')
    except OSError:
        pass
    before = web.cpu_seconds()
    began = time.monotonic()
    assert closed_after(dripping, b'X') < 2 * PATIENCE_S
    keeps_answering()
    assert closed_after(silent) < 2 * PATIENCE_S
    keeps_answering()
    procs.wait_until(lambda: not web.connections() or closed_after(reading) < 1, 60)
    keeps_answering()
    # no busy waiting
    assert web.cpu_seconds() - before < 0.5 * (time.monotonic() - began)


def test_many_connections(web):
    many = [web.socket() for _ in range(3 * MOST)]
    before, began = web.cpu_seconds(), time.monotonic()
    procs.wait_until(lambda: web.connections() >= MOST - 1)
    assert web.connections() <= MOST
    # whoever comes then is served once the silent ones are cut off
    assert web.get('/health')[0] == 200
    spent = time.monotonic() - began
    assert spent < 4 * PATIENCE_S
    assert web.cpu_seconds() - before < 0.5 * spent + 0.5
    for sock in many:
        sock.close()
    procs.wait_until(lambda: web.connections() == 0)


def test_who_keeps_asking_is_kept(web):
    """A page that polls is not cut off for being connected long, also in a crowd."""
    page = web.connection()
    page.request('GET', '/health')
    page.getresponse().read()
    crowd = [web.socket() for _ in range(MOST - 8)]
    until = time.monotonic() + 2 * PATIENCE_CROWDED_S
    while time.monotonic() < until:
        page.request('GET', '/json')
        response = page.getresponse()
        assert response.status == 200 and response.read()
        time.sleep(0.2)
    for sock in crowd:
        sock.close()
    page.close()


HEAD = b'GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n'
NO_GOOD = {
    'one word': b'GET\r\n\r\n',
    'version': b'GET / HTTP/9.9\r\n\r\n',
    'TLS': b'\x16\x03\x01\x02\x00\x01\x00' * 100 + b'\r\n\r\n',
    'zeroes': b'\0' * 5000 + b' / HTTP/1.1\r\nConnection: close\r\n\r\n',
    'many fields': HEAD + b'A: b\r\n' * 20000 + b'\r\n',
    'long path': b'GET /' + b'a' * 100000 + b' HTTP/1.1\r\nHost: localhost\r\n\r\n',
    'huge length': HEAD + b'Content-Length: 99999999999999999999\r\n\r\n',
    'negative length': HEAD + b'Content-Length: -1\r\n\r\n',
    'body': HEAD + b'Content-Length: 5\r\n\r\nabcde',
    'huge chunk': b'POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n'
                  b'ffffffff\r\n' + b'x' * 9999,
    'whole URL': HEAD.replace(b'/', b'http://evil.example/json', 1) + b'\r\n',
    'blank in Host': HEAD + b'Host : evil\r\n\r\n',
    'proxy': b'CONNECT evil.example:80 HTTP/1.1\r\nHost: evil.example\r\n\r\n',
}


@pytest.mark.parametrize('name', NO_GOOD)
def test_what_is_no_good_request(web, name):
    try:
        answer = web.raw(NO_GOOD[name])
    except OSError:
        answer = b''
    assert answer == b'' or re.match(rb'HTTP/1\.[01] [45]\d\d ', answer), answer[:200]
    assert web.get('/health')[0] == 200


# ---- boards -------------------------------------------------------------------------------------


def test_hostile_boards(directory):
    board = whole_board(directory)
    path = directory / 'web.board'
    with Web(directory) as web:
        for seed in range(15):
            path.write_bytes(hostile(board, seed))
            path.chmod(0o600)
            time.sleep(0.55)  # a look serves those who ask within half a second
            status, _, text = web.get('/')
            assert status == 200 and all(' ' <= char <= '~' or char in '\n\xb7' for char in text)
            tree, = web.json('/json?history=0')['trees']
            assert tree['permits']['held'] <= 2048
            names = set()
            for family in text_string_to_metric_families(web.get('/metrics')[2]):
                for sample in family.samples:
                    key = (sample.name, *sorted(sample.labels.items()))
                    assert key not in names, 'seed %d' % seed
                    names.add(key)
        assert web.proc.popen.poll() is None


def test_boards_that_are_none(directory):
    (directory / 'text.board').write_bytes(b'a shopping list\n' * 1000)
    (directory / '<img src=x>.board').write_bytes(b'')
    with Web(directory) as web:
        report = web.json()
        assert report['trees'] == [] and len(report['not_shown']) == 2
        text = web.get('/')[2]
        assert '&lt;img src=x&gt;.board' in text and '<img src=x' not in text
        assert 'tine_boards_unreadable 2\n' in web.get('/metrics')[2]


def test_it_only_looks(directory, shop):
    with open(shop[0].path, 'rb') as file:
        before = file.read()
    with Web(directory) as web:
        for path in ('/', '/json', '/metrics', '/health'):
            assert web.get(path)[0] == 200
        mapped = open('/proc/%d/maps' % web.pid, encoding='latin-1').read()
        assert '.board' not in mapped
    with open(shop[0].path, 'rb') as file:
        assert file.read() == before


# ---- the doctor ---------------------------------------------------------------------------------


@pytest.fixture
def with_doctor(tmp_path, directory, monkeypatch):
    """A function that starts tine-web beside a tine-doctor that is a script of ours."""
    folder = tmp_path / 'programs'
    folder.mkdir()
    for name in ('tine', 'tine-web'):
        shutil.copy(os.path.join(BUILD, name), folder)

    def start(script, *words):
        if script is not None:
            (folder / 'tine-doctor').write_text('#!/bin/sh\n' + script)
            (folder / 'tine-doctor').chmod(0o755)
        monkeypatch.setenv('TINE_BUILD', str(folder))
        return Web(directory, *words)
    return start


def findings(web, state):
    path = '/json?tree=shop'
    return web.wait_json(lambda report: report['trees'][0]['findings']['state'] == state,
                         path)['trees'][0]['findings']


REPORT = '''{"grade": "hazard", "summary": ["1 process"], "findings": [
 {"code": "shared", "grade": "hazard", "where": "pid 1 <b>",
  "seen": "</p><script>alert(1)</script>", "details": ["fd 3 <i>"], "why": "because",
  "change": "do", "lines": ["tine run -- x <y>"]},
 {"code": "odd", "grade": "<u>", "where": 7, "details": "none"}, 8]}'''


def test_findings(with_doctor, shop, tmp_path):
    script = 'echo "$@" >>%s/words\ncat <<X\n%s\nX\nexit 1\n' % (tmp_path, REPORT)
    with with_doctor(script, '--doctor', '1h') as web:
        web.get('/?tree=shop')
        found = findings(web, 'done')
        assert (found['grade'], found['summary'], found['items'][0]['code']) == (
            'hazard', '1 process', 'shared')
        page = web.get('/?tree=shop')[2]
        assert '&lt;/p&gt;&lt;script&gt;alert(1)&lt;/script&gt;' in page and '<i>' not in page
        assert page.count('<script') == 1 and '<u>' not in page
        # once for many looks, of the process that both come from: this one
        for _ in range(20):
            web.json()
        assert (tmp_path / 'words').read_text() == '--pid %d --json\n' % os.getpid()


@pytest.mark.parametrize('script,why', [
    (None, 'No such file'), ('exit 111', 'failed'), ('echo hello', 'no report'),
    ('kill -9 $$', 'failed'), ('echo "{}"', 'no report'), ('exec yes', 'more than is read')])
def test_a_doctor_that_is_of_no_use(with_doctor, shop, script, why):
    with with_doctor(script) as web:
        assert why in findings(web, 'failed')['why']
        assert why in web.get('/?tree=shop')[2]


def test_a_doctor_that_hangs_is_ended(with_doctor, shop, tmp_path):
    script = 'echo $$ >%s/pid\nsleep 1000 & wait\n' % tmp_path
    with with_doctor(script) as web:
        assert findings(web, 'running')
        procs.wait_until(lambda: (tmp_path / 'pid').exists() and
                         (tmp_path / 'pid').read_text().endswith('\n'))
        group = int((tmp_path / 'pid').read_text())
        assert len(procs.group_members(group)) >= 1
        assert web.get('/health')[0] == 200
        # it goes with tine-web, and its children too
        web.proc.popen.terminate()
        assert web.proc.wait() == 0
        procs.wait_until(lambda: procs.group_members(group) == [])


def test_no_doctor(directory, shop):
    with Web(directory, '-d', '0') as web:
        assert web.json()['trees'][0]['findings'] == {'state': 'off', 'pid': os.getpid()}
        assert 'tine doctor --pid %d' % os.getpid() in web.get('/?tree=shop')[2]


def test_the_real_doctor(web):
    found = findings(web, 'done')
    assert (found['grade'], found['items']) == ('ok', []) or found['items'][0]['code']


def test_tine_itself_loads_none_of_it():
    loaded = subprocess.run(['ldd', procs.tine_path()], capture_output=True, text=True, check=True)
    assert 'microhttpd' not in loaded.stdout
