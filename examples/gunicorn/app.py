# SPDX-License-Identifier: PostgreSQL
"""A Flask application on PostgreSQL that opens its connections at import, as many do.

With `gunicorn --preload` the import happens once, in the master, and every worker inherits the
connections. Each answer carries what the caller sent, fetched through SQL, so that the caller can
tell when it was given somebody else's row.
"""

import os

from flask import Flask, jsonify
from sqlalchemy import create_engine, text

OPENED_AT_IMPORT = 3


def database_url():
    """DATABASE_URL, or the content of the file named by DATABASE_URL_FILE."""
    if 'DATABASE_URL_FILE' in os.environ:
        with open(os.environ['DATABASE_URL_FILE'], encoding='utf-8') as file:
            return file.read().strip()
    return os.environ['DATABASE_URL']


def switched_on(name):
    return os.environ.get(name, '0') == '1'


engine = create_engine(
    database_url(), pool_size=4, max_overflow=4, pool_pre_ping=switched_on('POOL_PRE_PING'),
    # Without a transaction around it, a request is one statement and one reply.
    **({'isolation_level': 'AUTOCOMMIT'} if switched_on('AUTOCOMMIT') else {}))

# What a start-up check, reflect() or a table of settings leads to: open connections in the pool.
connections = [engine.connect() for _ in range(OPENED_AT_IMPORT)]
for connection in connections:
    connection.execute(text('select 1'))
    connection.close()

app = Flask(__name__)

# The sleep stands for the time a real query takes.
ECHO = text('select cast(:nonce as text) as nonce, pg_backend_pid() as session'
            ' from pg_sleep(0.02)')


@app.get('/echo/<nonce>')
def echo(nonce):
    with engine.connect() as conn:
        row = conn.execute(ECHO, {'nonce': nonce}).one()
    return jsonify(nonce=row.nonce, session=row.session, worker=os.getpid())


@app.errorhandler(Exception)
def failed(error):
    return jsonify(error=str(error)), 500
