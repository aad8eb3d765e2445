# SPDX-License-Identifier: PostgreSQL
"""A WSGI application on psycopg's own pool, opened at import.

The pool's threads, which open connections and replace lost ones, are not there after a fork: what
a worker loses, it lacks for ever.
"""
import json
import os
from urllib.parse import parse_qs

from psycopg_pool import ConnectionPool

with open(os.environ['APP_CONFIG'], encoding='utf-8') as config_file:
    CONFIG = json.load(config_file)

ECHO = 'select cast(%s as text), pg_backend_pid() from pg_sleep(0.002)'

pool = ConnectionPool(CONFIG['conninfo'], min_size=CONFIG['connections'],
                      max_size=CONFIG['connections'], timeout=3)
pool.wait(30)
held = [pool.getconn() for _ in range(CONFIG['connections'])]
with open(CONFIG['witness'] + '.pids', 'w', encoding='utf-8') as pids_file:
    json.dump([conn.info.backend_pid for conn in held], pids_file)
for conn in held:
    pool.putconn(conn)


def echo(nonce):
    reply = {'worker': os.getpid()}
    try:
        with pool.connection() as conn:
            reply['nonce'], reply['backend'] = conn.execute(ECHO, (nonce,)).fetchone()
    except Exception as error:
        reply['error'] = '%s: %s' % (type(error).__name__, str(error).split('\n', maxsplit=1)[0])
    return reply


def application(environ, start_response):
    body = json.dumps(echo(parse_qs(environ['QUERY_STRING'])['nonce'][0])).encode()
    start_response('200 OK', [('Content-Type', 'application/json'),
                              ('Content-Length', str(len(body)))])
    return [body]
