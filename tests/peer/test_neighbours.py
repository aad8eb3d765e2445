# SPDX-License-Identifier: PostgreSQL
"""What tine must leave alone: every descriptor but PostgreSQL's, and programs that serve it."""
import http.server
import os
import socket
import ssl
import threading

import pytest

from peer.harness import APPS, PYTHON
from support import procs

WORKING = {'redis': '+PONG', 'http': 'HTTP/1.1 200 OK', 'https': 'HTTP/1.1 200 OK',
           'tcp': 'sent', 'unix': 'sent', 'pair': 'sent', 'pipe': 'sent', 'file': 'sent'}


class Page(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_GET(self):
        self.send_response(200)
        self.send_header('Content-Length', '0')
        self.end_headers()

    def log_message(self, *_args):
        """Nothing: what is said belongs to the client's test."""


def serve_http(context=None):
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Page)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture(scope='module')
def http_ports(cluster):
    """Two ports that speak HTTP, the second one over TLS with the cluster's certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*(os.path.join(cluster.dir, name)
                              for name in ('server.crt', 'server.key')))
    servers = [serve_http(), serve_http(context)]
    yield [server.server_address[1] for server in servers]
    for server in servers:
        server.shutdown()
        server.server_close()


def run_descriptors(site, redis, http_ports, transport, *options):
    env = site.configure(transport, redis_host=redis.host, redis_port=redis.port,
                         redis_password=redis.password, http_port=http_ports[0],
                         https_port=http_ports[1], ca=site.cluster.ca)
    return site.run([PYTHON, APPS + '/descriptors.py'], env, *options)


@pytest.mark.parametrize('transport', ['tls13', 'plain', 'unix'])
def test_descriptors(site, redis, http_ports, transport):
    """A connection and its duplicates are replaced in the child; all else stays, and works."""
    result = run_descriptors(site, redis, http_ports, transport)
    assert result['child']['changed'] == result['postgres'], result
    assert result['child']['works'] == {**WORKING, 'udp': site.cluster.port}, result
    assert result['parent'] == 1, result


def test_other_protocol_on_a_named_port(site, redis, http_ports):
    """A connection that has said something else than PostgreSQL says is left alone all the same."""
    result = run_descriptors(site, redis, http_ports, 'plain', '--port', redis.port)
    assert result['child']['works'] == {**WORKING, 'udp': site.cluster.port}, result


def test_silent_connection_to_a_named_port(site, redis, http_ports):
    """The failure these tests look for: HTTP's port is called PostgreSQL's, and nothing that was
    sent before the fork says otherwise."""
    result = run_descriptors(site, redis, http_ports, 'plain', '--port', http_ports[0])
    expected = {**WORKING, 'udp': site.cluster.port, 'http': 'BrokenPipeError'}
    assert result['child']['works'] == expected, result
    assert len(result['child']['changed']) == len(result['postgres']) + 1, result


def connect(family, address, source_port=None):
    """A client of accept_server.py, from a port of its own where the test says so."""
    if family == 'unix':
        client = socket.socket(socket.AF_UNIX)
        client.connect(address)
        return client
    host = '::1' if family == 'inet6' else '127.0.0.1'
    client = socket.socket(socket.AF_INET6 if family == 'inet6' else socket.AF_INET)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    client.bind((host, source_port or 0))
    client.connect((host, address))
    return client


def converse(clients):
    """Each client sends a line and must get it back, with the state of the server's database."""
    answers = []
    for number, client in enumerate(clients):
        client.settimeout(20)
        client.sendall(b'line %d\n' % number)
    for number, client in enumerate(clients):
        with client, client.makefile() as lines:
            state, _, line = lines.readline().partition(' ')
            assert line == 'line %d\n' % number, (number, state, line)
            answers.append(state)
    return answers


@pytest.mark.parametrize('family', ['inet', 'inet6', 'unix'])
@pytest.mark.parametrize('mode', ['each', 'nested', 'late'])
def test_accepting_server(site, mode, family):
    """A server on a port that --port names: accepted sockets stay, the database's does not."""
    if family == 'inet6' and not procs.have_ipv6():
        pytest.skip('::1 cannot be bound here')
    port = procs.free_port()
    address = site.path('.s.PGSQL.%d' % port) if family == 'unix' else port
    server = site.serve([PYTHON, APPS + '/accept_server.py', mode, family, address],
                        site.configure('tls13'), '--port', port)
    with server:
        server.wait_ready('listening')
        for _ in range(3):
            clients = [connect(family, address) for _ in range(2)]
            assert converse(clients) == ['severed', 'severed']


@pytest.mark.parametrize('mode', ['each', 'nested', 'late'])
def test_client_from_a_named_port(site, mode):
    """A client whose own port is one that --port names is still a client."""
    port, mine = procs.free_port(), [procs.free_port(), procs.free_port()]
    server = site.serve([PYTHON, APPS + '/accept_server.py', mode, 'inet', port],
                        site.configure('plain'), '--port', ','.join(map(str, mine)))
    with server:
        server.wait_ready('listening')
        clients = [connect('inet', port, source_port) for source_port in mine]
        assert converse(clients) == ['severed', 'severed']
