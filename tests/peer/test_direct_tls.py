# SPDX-License-Identifier: PostgreSQL
"""PostgreSQL in TLS from the first byte (sslnegotiation=direct): known by the protocol name it asks
for. The server here is any TLS server, since PostgreSQL speaks so from version 17 on only."""
import os
import socket
import ssl
import subprocess
import threading

import pytest

from peer.harness import PYTHON

PROGRAM = '''
import os, socket, ssl, sys

port, ca, protocol = int(sys.argv[1]), sys.argv[2], sys.argv[3]
context = ssl.create_default_context(cafile=ca)
context.set_alpn_protocols([protocol])
plain = socket.create_connection(('127.0.0.1', port))
client = context.wrap_socket(plain, server_hostname='localhost')
child = os.fork()
if child == 0:
    family = socket.socket(fileno=os.dup(client.fileno())).family
    print('severed' if family == socket.AF_UNIX else 'untouched', flush=True)
    os._exit(0)
os.waitpid(child, 0)
client.sendall(b'ping')
print(client.recv(4).decode())
os._exit(0)
'''


def echo(listener, context):
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        with context.wrap_socket(client, server_side=True) as connection:
            connection.sendall(connection.recv(4))


@pytest.fixture
def echo_port(cluster):
    """A TLS server that knows both protocol names and sends four bytes back."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*(os.path.join(cluster.dir, name)
                              for name in ('server.crt', 'server.key')))
    context.set_alpn_protocols(['postgresql', 'http/1.1'])
    with socket.create_server(('127.0.0.1', 0)) as listener:
        thread = threading.Thread(target=echo, args=(listener, context))
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize('protocol, options, found', [
    ('postgresql', [], 'severed'),
    ('http/1.1', [], 'untouched'),
    ('http/1.1', ['port'], 'severed'),  # encrypted from the start, on a port that was named
])
def test_direct_tls(cluster, tine, echo_port, protocol, options, found):
    named = ['--port', echo_port] if options else []
    words = [*tine(*named), PYTHON, '-c', PROGRAM, str(echo_port), cluster.ca, protocol]
    result = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert result.stdout == found + '\nping\n', result.stderr
