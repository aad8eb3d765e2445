# SPDX-License-Identifier: PostgreSQL
"""A FastCGI client, just large enough to ask PHP-FPM for a page."""
import socket
import struct

BEGIN_REQUEST, PARAMS, STDIN, STDOUT, END_REQUEST = 1, 4, 5, 6, 3
RESPONDER = 1


def _record(kind, content=b''):
    return struct.pack('>BBHHBx', 1, kind, 1, len(content), 0) + content


def _pair(name, value):
    name, value = name.encode(), value.encode()
    return struct.pack('>II', len(name) | 1 << 31, len(value) | 1 << 31) + name + value


def _read(sock, size):
    data = b''
    while len(data) < size:
        chunk = sock.recv(size - len(data))
        if not chunk:
            raise ConnectionError('FastCGI server closed the connection')
        data += chunk
    return data


def get(port, script, query, timeout):
    """Ask 127.0.0.1:port to run script; the body of its answer."""
    params = {'SCRIPT_FILENAME': script, 'REQUEST_METHOD': 'GET', 'QUERY_STRING': query,
              'GATEWAY_INTERFACE': 'CGI/1.1', 'SERVER_PROTOCOL': 'HTTP/1.1'}
    request = (_record(BEGIN_REQUEST, struct.pack('>HB5x', RESPONDER, 0))
               + _record(PARAMS, b''.join(_pair(*item) for item in params.items()))
               + _record(PARAMS) + _record(STDIN))
    output = b''
    with socket.create_connection(('127.0.0.1', port), timeout) as sock:
        sock.sendall(request)
        while True:
            _, kind, _, length, padding = struct.unpack('>BBHHBx', _read(sock, 8))
            content = _read(sock, length + padding)[:length]
            if kind == STDOUT:
                output += content
            if kind == END_REQUEST:
                return output.partition(b'\r\n\r\n')[2].decode('utf-8', 'replace')
