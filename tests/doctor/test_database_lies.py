# SPDX-License-Identifier: PostgreSQL
"""tine doctor against servers that lie: hostile bytes, messages without an end, arithmetic without
an end. It ends in time, in its memory, and says nothing that steers a terminal."""
import itertools
import os
import random
import re
import resource
import socket
import struct
import time

import pytest

from examined import Liar, Report, examine, run

TIMEOUT = 2
SECRET = 'hunter2-and-more'
EVIL = b'\x1b[31mred\x07\r\nforged\xe2\x80\xae\xff\x00'


def message(kind, body=b''):
    return kind + struct.pack('>I', len(body) + 4) + body


def error(text, sqlstate=b'28000'):
    return message(b'E', b'SFATAL\0VFATAL\0C' + sqlstate + b'\0M' + text + b'\0\0')


OK = message(b'R', struct.pack('>I', 0))
READY = message(b'Z', b'I')
KEY = message(b'K', struct.pack('>II', 4711, 1))


def column(name):
    return name + b'\0' + struct.pack('>IhIhih', 0, 0, 25, -1, -1, 0)


def row(*cells):
    return message(b'D', struct.pack('>h', len(cells)) + b''.join(
        struct.pack('>i', len(cell)) + cell for cell in cells))


def rows(count, *cells):
    head = message(b'T', struct.pack('>h', len(cells)) + column(b'c') * len(cells))
    return head + row(*cells) * count + message(b'C', b'SELECT 1\0') + READY


def read(client, count):
    data = client.recv(count, socket.MSG_WAITALL)
    if len(data) < count:
        raise ValueError('the client left')
    return data


def startup(client):
    """Read the first packets, without TLS; the startup packet's body."""
    while True:
        length, = struct.unpack('>I', read(client, 4))
        body = read(client, length - 4)
        if body[:4] != b'\x04\xd2\x16\x2f':
            return body
        client.sendall(b'N')


def query(client):
    kind = read(client, 1)
    length, = struct.unpack('>I', read(client, 4))
    return kind, read(client, length - 4)


def let_in(client, *more):
    startup(client)
    client.sendall(OK + b''.join(more) + KEY + READY)


def answering(answer):
    """A server that lets everybody in and has one answer to all questions."""
    def serve(client):
        let_in(client)
        while True:
            query(client)
            answer(client)
    return serve


def endless(client, chunk):
    while True:
        client.sendall(chunk)


def look(serve, **extra):
    """The report on a liar; it does not take long, and is clean."""
    with Liar(serve) as liar:
        done, seconds = run('--json', liar.conninfo(password=SECRET, connect_timeout=TIMEOUT,
                                                    **extra), secrets=[SECRET])
        report = Report(done, seconds)
        people, _seconds = run(liar.conninfo(password=SECRET, connect_timeout=TIMEOUT, **extra),
                               secrets=[SECRET])
    assert seconds < 60
    assert re.fullmatch(r'[\n\x20-\x7e]*', people.stdout + people.stderr)
    assert re.fullmatch(r'[\n\x20-\x7e]*', done.stdout)
    return report


# ---- before the login ----------------------------------------------------------------------------

@pytest.mark.parametrize('greeting', [
    b'', b'\0', b'X', b'HTTP/1.1 400 Bad Request\r\n\r\n', b'SSSS', b'S' + EVIL, EVIL * 1000])
def test_another_protocol(greeting):
    def serve(client):
        client.recv(8)
        client.sendall(greeting)
        client.shutdown(socket.SHUT_WR)
        client.recv(1000)
    report = look(serve, sslmode='require')
    assert report.json['grade'] == 'hazard'
    assert {'not-postgres', 'no-answer', 'tls-failed'} & report.codes()
    if greeting.startswith(b'HTTP'):
        assert report.grade('not-postgres') == 'hazard'


def test_bytes_behind_the_answer_for_tls():
    """What stands behind it was not encrypted by the server."""
    def serve(client):
        client.recv(8)
        client.sendall(b'S' + error(b'forged'))
        client.recv(1000)
    assert 'somebody between us' in look(serve, sslmode='require').finding('tls-failed')['seen']


def test_it_accepts_and_is_silent():
    report = look(lambda client: client.recv(100000) and client.recv(1), sslmode='require')
    assert report.grade('no-answer') == 'hazard'


def test_hostile_words_in_a_refusal():
    def serve(client):
        startup(client)
        client.sendall(error(b'no\x1b[2J' + EVIL[:-1] + b'%s%n' + b'x' * 3000))
    report = look(serve)
    assert report.grade('login-failed') == 'hazard'


def test_a_refusal_that_repeats_the_password():
    def serve(client):
        startup(client)
        client.sendall(message(b'R', struct.pack('>I', 3)))
        password = query(client)[1].rstrip(b'\0')
        assert password == SECRET.encode()
        client.sendall(error(b'password "' + password + b'" is wrong', b'28P01'))
    report = look(serve)
    assert '***' in report.finding('login-failed')['seen']


@pytest.mark.parametrize('packet', [
    message(b'R', b''), message(b'R', b'\0'), message(b'R', struct.pack('>I', 10)),
    message(b'R', struct.pack('>I', 10) + b'x' * 1000), message(b'R', struct.pack('>I', 77)),
    b'R\0\0\0\0', b'R\xff\xff\xff\xff', b'E\x7f\xff\xff\xff', b'E\0\0\0\3', error(b'', b''),
    message(b'E', b'M'), message(b'E', b'C\0M\0S'), message(b'Z', b'I'), b'\0' * 100])
def test_broken_messages(packet):
    def serve(client):
        startup(client)
        client.sendall(packet)
        client.recv(1)
    assert look(serve).json['grade'] == 'hazard'


@pytest.mark.parametrize('chunk', [
    message(b'N', b'SNOTICE\0VNOTICE\0C00000\0Mhello\0\0'), message(b'S', b'a\0b\0') * 100,
    message(b'v', struct.pack('>II', 3, 0)), message(b'A', struct.pack('>I', 1) + b'c\0p\0')])
def test_messages_without_an_end_before_the_login(chunk):
    def serve(client):
        startup(client)
        endless(client, chunk)
    report = look(serve)
    assert report.grade('login-failed') == 'hazard' and report.seconds < 20


def test_parameters_without_an_end():
    """Each has another name, and libpq keeps them all."""
    def serve(client):
        startup(client)
        client.sendall(OK)
        for number in itertools.count():
            client.sendall(message(b'S', b'name%d\0' % number + b'v' * 8000 + b'\0') * 20)
    report = look(serve)
    assert report.json['grade'] == 'hazard' and report.seconds < 20


def test_arithmetic_without_an_end():
    """SCRAM: how often a password is hashed is for the server to say."""
    def serve(client):
        startup(client)
        client.sendall(message(b'R', struct.pack('>I', 10) + b'SCRAM-SHA-256\0\0'))
        nonce = re.search(rb'r=([^,]*)', query(client)[1]).group(1)
        client.sendall(message(b'R', struct.pack('>I', 11) + b'r=' + nonce +
                               b'x,s=c2FsdHNhbHQ=,i=2000000000'))
        client.recv(1)
    report = look(serve)
    assert "this machine's work" in report.finding('login-failed')['seen']
    assert report.seconds < 15


# ---- after the login -----------------------------------------------------------------------------

def test_a_server_that_closes_at_the_first_question():
    def serve(client):
        let_in(client)
        query(client)
        client.shutdown(socket.SHUT_RDWR)
    assert look(serve).codes() & {'question-unanswered'}


def test_a_server_that_answers_nothing():
    def serve(client):
        let_in(client)
        time.sleep(60)
    report = look(serve)
    assert 'no answer to a query' in str(report.json) and report.seconds < 40


@pytest.mark.parametrize('chunk', [
    row(b'x' * 100), message(b'N', b'SNOTICE\0C00000\0Mhello\0\0'), message(b'S', b'a\0b\0'),
    message(b'C', b'SELECT 1\0'), message(b'I'), message(b'A', struct.pack('>I', 1) + b'c\0p\0')],
    ids=['rows', 'notices', 'parameters', 'commands', 'empty', 'notifications'])
def test_answers_without_an_end(chunk):
    def answer(client):
        client.sendall(message(b'T', struct.pack('>h', 1) + column(b'c')))
        endless(client, chunk * 50)
    report = look(answering(answer))
    assert 'question-unanswered' in report.codes()
    assert report.seconds < 40


@pytest.mark.parametrize('answer', [
    b'D\x7f\xff\xff\xff\0\1' + b'x' * 1000, b'T\x3f\xff\xff\xff' + b'x' * 100,
    message(b'T', b'\x7f\xff'), message(b'D', b'\xff\xff'), message(b'G', b'\0\0\0') + READY,
    message(b'H', b'\0\0\0') + READY, message(b'W', b'\0\0\0'), b'\0\0\0\0\0', EVIL * 50])
def test_broken_answers(answer):
    report = look(answering(lambda client: client.sendall(answer)))
    assert 'question-unanswered' in report.codes()


@pytest.mark.parametrize('cell', [EVIL, b'9' * 400, b'-1', b'', b"' or 1=1", SECRET.encode(),
                                  b'%s%n%d' * 20, b'x' * 100000])
@pytest.mark.parametrize('count', [0, 1, 3])
def test_nonsense_in_cells(cell, count):
    """A server with nonsense for all answers; what it says is shown without harm."""
    report = look(answering(lambda client: client.sendall(rows(count, *[cell] * 8))))
    assert 'login' in report.codes()


def test_memory():
    """A message that says it is as long as can be is not waited for with as much memory."""
    def answer(client):
        client.sendall(b'D\x3f\xff\xff\xff\0\1\x3f\xff\xff\xf0')
        endless(client, b'x' * 1000000)
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    report = look(answering(answer))
    assert 'question-unanswered' in report.codes()
    after = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert after < max(before, 600 * 1024)


@pytest.mark.parametrize('seed', range(20))
def test_random_bytes(seed):
    """A real beginning, and then anything."""
    choice = random.Random(seed)
    beginning = OK + message(b'S', b'server_version\x0015.1\0') + KEY + READY + rows(1, b'1')

    def serve(client):
        startup(client)
        data = bytearray(beginning * 3)
        for _ in range(choice.randrange(1, 30)):
            data[choice.randrange(len(data))] = choice.randrange(256)
        client.sendall(bytes(data))
        client.shutdown(socket.SHUT_WR)
        while client.recv(1000):
            pass
    look(serve)


def test_names_from_the_connection_string(tmp_path):
    """They are ours, and steer no terminal all the same."""
    path = os.path.join(str(tmp_path), 'a\x1b[31m b')
    os.mkdir(path)
    report = examine("host='%s' user='x\x1b[0m' dbname='d\x07'" % path)
    assert report.codes() == {'host-unreachable'}
    assert '\\u001b' not in str(report.json) and '\x1b' not in str(report.json)
