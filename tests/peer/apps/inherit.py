# SPDX-License-Identifier: PostgreSQL
"""The hazard itself: SQLAlchemy connections that are opened when the application is imported.

A pre-forking server imports this in its master, so every worker inherits `pids`. A witness
thread, which exists in the importing process alone, says on a unix socket, in one line, whether
that process still has its own sessions.
"""
import json
import os
import socket
import threading

from sqlalchemy import create_engine, text

with open(os.environ['APP_CONFIG'], encoding='utf-8') as config_file:
    CONFIG = json.load(config_file)

BACKEND = text('select pg_backend_pid()')
ECHO = text('select cast(:nonce as text), pg_backend_pid() from pg_sleep(0.002)')
COUNT = CONFIG['connections']

engine = create_engine(CONFIG['url'], pool_size=COUNT, max_overflow=4,
                       pool_pre_ping=CONFIG['pre_ping'])


def backends():
    """The backends of COUNT pooled connections, all checked out at once."""
    held = []
    try:
        for _ in range(COUNT):
            held.append(engine.connect())
        return [conn.execute(BACKEND).scalar() for conn in held]
    finally:
        for conn in held:
            conn.close()


def first_line(error):
    """What an error says, in one line, below SQLAlchemy's own wrapping."""
    cause = getattr(error, 'orig', None) or error
    text_of = str(cause).strip() or '(no text)'
    return f'{type(cause).__name__}: {text_of.splitlines()[0]}'


def echo(nonce):
    """One unit of work: a reply that must carry its own nonce, and whose session gave it."""
    reply = {'worker': os.getpid()}
    try:
        with engine.connect() as conn:
            reply['nonce'], reply['backend'] = conn.execute(ECHO, {'nonce': nonce}).one()
    except Exception as error:
        reply['error'] = first_line(error)
    return reply


def state():
    """How the importing process finds its sessions now."""
    try:
        return {'before': pids, 'after': backends()}
    except Exception as error:
        return {'before': pids, 'after': [], 'error': first_line(error)}


def _answer(listener):
    while True:
        client, _ = listener.accept()
        with client:
            client.sendall(json.dumps(state()).encode() + b'\n')


def start_witness():
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(CONFIG['witness'])
    listener.listen()
    threading.Thread(target=_answer, args=(listener,), daemon=True).start()


pids = backends()
if CONFIG.get('witness'):
    with open(CONFIG['witness'] + '.pids', 'w', encoding='utf-8') as pids_file:
        json.dump(pids, pids_file)
    start_witness()
