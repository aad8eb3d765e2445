# SPDX-License-Identifier: PostgreSQL
"""Celery tasks on PostgreSQL, with connections opened at import.

The prefork pool imports this module once, in the parent, and every pool process inherits the
connections. Each result carries the task's argument, fetched through SQL, so that the caller can
tell when it was given somebody else's row.
"""

import os

from celery import Celery
from sqlalchemy import create_engine, text

OPENED_AT_IMPORT = 3

app = Celery('tasks', broker=os.environ['BROKER_URL'], backend=os.environ['BROKER_URL'])

engine = create_engine(
    os.environ['DATABASE_URL'], pool_size=4, max_overflow=4,
    pool_pre_ping=os.environ.get('POOL_PRE_PING', '0') == '1')

# What a start-up check, reflect() or a table of settings leads to: open connections in the pool.
connections = [engine.connect() for _ in range(OPENED_AT_IMPORT)]
for connection in connections:
    connection.execute(text('select 1'))
    connection.close()

# The sleep stands for the time a real query takes.
ECHO = text('select cast(:nonce as text) as nonce, pg_backend_pid() as session'
            ' from pg_sleep(0.02)')


@app.task
def echo(nonce):
    with engine.connect() as conn:
        row = conn.execute(ECHO, {'nonce': nonce}).one()
    return {'nonce': row.nonce, 'session': row.session, 'worker': os.getpid()}
