# SPDX-License-Identifier: PostgreSQL
"""What is listened on: sockets of its own, sockets that are handed over; the service manager."""
import os
import re
import signal
import socket
import stat
import sys

import pytest

from crewtools import Crew, receive
from support import procs
from support.procs import wait_until

# Plays the service manager: opens sockets, puts them at 3 and up, and becomes the program, whose
# number is then its own.
HAND_OVER = '''
import os, socket, sys
opened = []
for spec in sys.argv[1].split():
    kind, where = spec.split(':', 1)
    family = socket.AF_UNIX if kind == 'unix' else socket.AF_INET
    sock = socket.socket(family)
    sock.bind(where if kind == 'unix' else ('127.0.0.1', int(where)))
    if kind != 'idle':
        sock.listen()
    opened.append(os.dup2(sock.fileno(), 100 + len(opened)))
for at, fd in enumerate(opened):
    os.dup2(fd, 3 + at, inheritable=True)
os.environ['LISTEN_PID'] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
'''


def handed_over(tmp_path, *specs, env=None, **settings):
    """A service to which sockets are handed over, as systemd does it."""
    prefix = [sys.executable, '-c', HAND_OVER, ' '.join(specs)]
    return Crew(tmp_path, prefix=prefix, env={'LISTEN_FDS': str(len(specs)), **(env or {})},
                **settings)


def listeners(crew):
    return [event.listens for event in crew.events() if 'listens' in event]


def ask_unix(path, command='pid'):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        connection.connect(path)
        connection.sendall(command.encode())
        return receive(connection)


def test_sockets_of_its_own(tmp_path):
    path = str(tmp_path / 'app.sock')
    abstract = 'tine-test-%d' % os.getpid()
    listen = '127.0.0.1:0, unix:%s,unix:@%s' % (path, abstract)
    # task workers close them, and leave the file
    with Crew(tmp_path, kinds='web task', workers=2, listen=listen) as crew:
        crew.ready(4)
        names = listeners(crew)
        assert re.fullmatch(r'127\.0\.0\.1:\d+', names[0])
        assert names[1:] == ['unix:' + path, 'unix:@' + abstract]
        for answer in (crew.ask(), ask_unix(path), ask_unix('\0' + abstract)):
            assert re.fullmatch(r'\d+ web/\d 0', answer)
        crew.kill(signal.SIGKILL)
        crew.wait()
    assert stat.S_ISSOCK(os.stat(path).st_mode)
    # the next one removes what a dead one left; and its own when it ends
    with Crew(tmp_path, workers=1, listen='unix:' + path) as crew:
        wait_until(lambda: ask_unix(path).endswith('web/0 0'))
        with Crew(tmp_path / '..', workers=1, listen='unix:' + path) as other:
            assert other.wait() == 1
            assert 'Address already in use' in other.log()
        assert crew.end() == 0
    assert not os.path.exists(path)


def test_a_file_that_is_no_socket_stays(tmp_path):
    (tmp_path / 'data').write_text('precious')
    with Crew(tmp_path, workers=1, listen='unix:%s' % (tmp_path / 'data')) as crew:
        assert crew.wait() == 1
        assert re.search('TINE_E_SYSTEM: cannot listen on .*Address already in use', crew.log())
    assert (tmp_path / 'data').read_text() == 'precious'


@pytest.mark.parametrize('listen, problem', [
    ('8000', "TINE_E_INVALID: listen: '8000' is none of HOST:PORT"),
    ('127.0.0.1:0,192.0.2.1:0', 'TINE_E_SYSTEM: cannot listen on 192.0.2.1:0: Cannot assign'),
    ('no.such.host.invalid:80', 'TINE_E_SYSTEM: cannot listen on no.such.host.invalid:80: '),
    (','.join(33 * ['127.0.0.1:0']), 'TINE_E_INVALID: listen: more than 32 sockets')],
    ids=['no address', 'not ours', 'no name', 'too many'])
def test_addresses_that_cannot_be(tmp_path, listen, problem):
    with Crew(tmp_path, workers=1, listen=listen) as crew:
        assert crew.wait() == 1
        assert problem in crew.log()
        assert not crew.hooks('master_ready')


def test_every_address_of_the_machine(tmp_path):
    with Crew(tmp_path, workers=1, listen=':0') as crew:
        crew.ready()
        names = listeners(crew)
        v4, = [name for name in names if name.startswith('0.0.0.0:')]
        with socket.create_connection(('127.0.0.1', int(v4.split(':')[1])), 30) as connection:
            connection.sendall(b'pid')
            assert receive(connection).endswith('web/0 0')
        assert crew.end() == 0


# ---- handed over ---------------------------------------------------------------------------------

def test_sockets_that_are_handed_over(tmp_path):
    path, port = str(tmp_path / 'handed'), procs.free_port()
    with handed_over(tmp_path, 'tcp:%d' % port, 'unix:' + path, workers=2, listen='ignored',
                     env={'LISTEN_FDNAMES': 'web'}) as crew:
        crew.ready(2)
        assert [(event.listens, event.fd) for event in crew.events() if 'listens' in event] \
            == [('web', 3), ('descriptor 4', 4)]
        assert ask_unix(path).endswith(' 0')
        with socket.create_connection(('127.0.0.1', port), 30) as connection:
            connection.sendall(b'pid')
            assert receive(connection).endswith(' 0')
        assert crew.end() == 0
    assert os.path.exists(path)  # not ours


def test_descriptors_that_do_not_listen(tmp_path):
    with handed_over(tmp_path, 'tcp:0', 'idle:0', workers=1) as crew:
        assert crew.wait() == 1
        assert 'TINE_E_INVALID: LISTEN_FDS: the socket at descriptor 4 does not listen' in \
            crew.log()
    with handed_over(tmp_path, 'tcp:0', 'tcp:0', workers=1, env={'LISTEN_FDS': '3'}) as crew:
        assert crew.wait() == 1
        assert 'LISTEN_FDS: descriptor 5 is no socket: ' in crew.log()


@pytest.mark.parametrize('count', ['', '-1', '33', '1x', '99999999999999999999', ' 1', '\x1b[2J'])
def test_hostile_counts(tmp_path, count):
    with handed_over(tmp_path, workers=1, env={'LISTEN_FDS': count}) as crew:
        assert crew.wait() == 1
        text = crew.log()
        assert "TINE_E_INVALID: LISTEN_FDS: '" in text and '\x1b' not in text
        assert 'is not a number from 0 to 32' in text


def test_what_is_for_another_process_is_not_taken(tmp_path):
    with Crew(tmp_path, workers=1, env={'LISTEN_PID': '1', 'LISTEN_FDS': '5'}) as crew:
        crew.ready()
        assert listeners(crew)[0].startswith('127.0.0.1:')
        assert crew.end() == 0


# ---- the service manager -------------------------------------------------------------------------

@pytest.mark.parametrize('abstract', [False, True])
def test_notify(tmp_path, abstract):
    name = '\0tine-notify-%d' % os.getpid() if abstract else str(tmp_path / 'notify')
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name)
        manager.settimeout(30)

        def told():
            return manager.recv(1000).decode()
        with Crew(tmp_path, kinds='web task', workers=2, env={
                'NOTIFY_SOCKET': name.replace('\0', '@')}) as crew:
            assert told() == 'READY=1\nSTATUS=generation 0: 2 web 2 task'
            assert len(crew.hooks('worker_ready')) == 4
            crew.kill(signal.SIGHUP)
            assert re.fullmatch(r'RELOADING=1\nMONOTONIC_USEC=\d+', told())
            assert told() == 'READY=1\nSTATUS=generation 1: 2 web 2 task'
            crew.kill(signal.SIGTERM)
            assert told() == 'STOPPING=1'
            assert crew.wait() == 0


@pytest.mark.parametrize('whose', ['ours', 'of another'])
def test_watchdog(tmp_path, whose):
    name = str(tmp_path / 'notify')
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name)
        manager.settimeout(30)
        env = {'NOTIFY_SOCKET': name, 'WATCHDOG_USEC': '100000'}
        if whose != 'ours':
            env['WATCHDOG_PID'] = '1'
        with Crew(tmp_path, workers=1, env=env) as crew:
            seen = [manager.recv(1000) for _ in range(3 if whose == 'ours' else 1)]
            assert (b'WATCHDOG=1' in seen) == (whose == 'ours')
            assert crew.end() == 0


@pytest.mark.parametrize('name', ['relative', '/', '@', '/' + 'x' * 200, '/nonexistent'])
def test_a_manager_that_cannot_be_reached(tmp_path, name):
    with Crew(tmp_path, workers=1, env={'NOTIFY_SOCKET': name}) as crew:
        crew.ready()
        assert crew.end() == 0
