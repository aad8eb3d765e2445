# SPDX-License-Identifier: PostgreSQL
"""A WSGI application with a pool of libtine, made where the module is imported: in the master with
--preload, in each worker without. Answers with the pid of the worker."""
import os

from support.libtine import Pool

POOL = Pool(environment=True)


def application(_environ, start_response):
    POOL.query('select pg_sleep(0.02)', 20_000)
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [str(os.getpid()).encode()]
