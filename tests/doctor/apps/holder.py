# SPDX-License-Identifier: PostgreSQL
"""Holds PostgreSQL connections in one of the ways that `tine doctor` tells apart.

    holder.py SCENARIO      settings are in HOLDER, as JSON: conninfo, connections, children

Prints one line of JSON when the scene is set: opener, children, fds, backends, locals. Then waits
for ever. What it forks is in its process group and ends with it.
"""
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time

import psycopg2

SETTINGS = json.loads(os.environ['HOLDER'])
ready_out, ready_in = os.pipe()


def ticks():
    """The unit in which the kernel notes when a process started."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf('SC_CLK_TCK'))


def let_ticks_pass(number=12):
    until = ticks() + number
    while ticks() < until:
        time.sleep(0.005)


def connect():
    made = []
    for _ in range(SETTINGS.get('connections', 2)):
        conn = psycopg2.connect(SETTINGS['conninfo'])
        conn.autocommit = True
        with conn.cursor() as cur:
            cur.execute('select 1')
        made.append(conn)
    let_ticks_pass()
    return made


def fork(do, count=None):
    """Children that do something, say so, and wait."""
    pids = []
    for _ in range(count or SETTINGS.get('children', 2)):
        pid = os.fork()
        if pid == 0:
            do()
            os.write(ready_in, b'.')
            while True:
                signal.pause()
        pids.append(pid)
    for _ in pids:
        os.read(ready_out, 1)
    return pids


def use(conn):
    let_ticks_pass()
    with conn.cursor() as cur:
        cur.execute('select 1')


def wait_for_an_answer(conn):
    """For ever; the parent is told before."""
    os.write(ready_in, b'.')
    with conn.cursor() as cur:
        cur.execute('select pg_sleep(600)')


def scene_sole():
    return connect(), []


def scene_latent():
    conns = connect()
    return conns, fork(lambda: None)


def scene_transaction():
    conns = connect()
    for conn in conns:
        conn.autocommit = False
        with conn.cursor() as cur:
            cur.execute('select 1')
    let_ticks_pass()
    return conns, fork(lambda: None)


def scene_active():
    conns = connect()
    return conns, fork(lambda: None, 1) + fork(lambda: use(conns[0]), 1)


def scene_waiting():
    conns = connect()
    return conns, fork(lambda: wait_for_an_answer(conns[0]), 1)


def scene_master():
    """The children let go; the next one would inherit all the same."""
    conns = connect()

    def close():
        for conn in conns:
            os.close(conn.fileno())
    return conns, fork(close)


def scene_disconnected():
    """As it should be: nothing is open at the fork, and each child opens its own."""
    for conn in connect():
        conn.close()
    kept = []
    return [], fork(lambda: kept.extend(connect()))


def scene_threads():
    conns = connect()
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    return conns, fork(lambda: None)


def scene_program():
    conns = connect()
    for conn in conns:
        os.set_inheritable(conn.fileno(), True)
    program = subprocess.Popen(['sleep', '600'], close_fds=False)
    path = '/proc/%d/comm' % program.pid
    while open(path, encoding='ascii').read() != 'sleep\n':
        time.sleep(0.01)
    return conns, [program.pid]


def scene_orphaned():
    """A process in between opens, forks and is killed. Its children are what is left."""
    out, into = os.pipe()
    middle = os.fork()
    if middle == 0:
        conns = connect()
        children = fork(lambda: None)
        os.write(into, json.dumps([facts(conns, children)]).encode())
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(middle, 0)
    found, = json.loads(os.read(out, 65536))
    print(json.dumps(found), flush=True)
    return None, None


def scene_starting():
    """Programs are started by fork and exec all the time, with the connections closed on exec."""
    conns = connect()

    def start():
        while True:
            pid = os.fork()
            if pid == 0:
                let_ticks_pass(2)
                os.execv('/bin/true', ['true'])
            os.waitpid(pid, 0)
    threading.Thread(target=start, daemon=True).start()
    return conns, []


def scene_names():
    """A name and a command line that try to steer a terminal."""
    conns = connect()
    ctypes.CDLL(None).prctl(15, b'\x1b[31m\n\r\x07\xff"x', 0, 0, 0)
    return conns, fork(lambda: None)


def facts(conns, children):
    return {'opener': os.getpid(), 'children': children, 'fds': [conn.fileno() for conn in conns],
            'backends': [conn.info.backend_pid for conn in conns]}


def main():
    conns, children = globals()['scene_' + sys.argv[1]]()
    if conns is not None:
        print(json.dumps(facts(conns, children)), flush=True)
    while True:
        signal.pause()


main()
