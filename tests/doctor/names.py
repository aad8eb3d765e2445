# SPDX-License-Identifier: PostgreSQL
"""Run a command where /etc/hosts, or the server of names, is a test's own. Under `unshare -rm` for
the first and `unshare -rmn` for the second:

    names.py hosts FILE COMMAND...      FILE is /etc/hosts
    names.py dns SECONDS COMMAND...     every name is 127.0.0.1, told after so long; -: never
"""
import fcntl
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

SIOCSIFFLAGS, IFF_UP = 0x8914, 1


def bind(path, place):
    subprocess.run(['mount', '--bind', path, place], check=True)


def answer(question):
    """The answer to a DNS question: for A 127.0.0.1, for all else nothing."""
    end = question.index(b'\0', 12) + 5
    is_a = question[end - 4:end - 2] == b'\0\1'
    head = question[:2] + b'\x85\x80\0\1\0' + bytes([is_a]) + b'\0\0\0\0' + question[12:end]
    return head + (b'\xc0\x0c\0\1\0\1\0\0\0\1\0\4\x7f\0\0\1' if is_a else b'')


def serve(sock, seconds):
    while True:
        question, place = sock.recvfrom(2000)
        if seconds is not None:
            time.sleep(seconds)
            sock.sendto(answer(question), place)


def main(kind, how, *command):
    if kind == 'hosts':
        bind(how, '/etc/hosts')
    else:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack('16sh', b'lo', IFF_UP))
        with tempfile.TemporaryDirectory() as folder:
            for name, text in (('resolv.conf', 'nameserver 127.0.0.1\n'),
                               ('nsswitch.conf', 'hosts: dns\n')):
                with open(os.path.join(folder, name), 'w', encoding='ascii') as file:
                    file.write(text)
                bind(file.name, '/etc/' + name)
        sock.bind(('127.0.0.1', 53))
        seconds = None if how == '-' else float(how)
        threading.Thread(target=serve, args=(sock, seconds), daemon=True).start()
    return subprocess.run(command, check=False).returncode


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
