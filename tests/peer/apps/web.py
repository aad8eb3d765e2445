# SPDX-License-Identifier: PostgreSQL
"""A WSGI application on connections that were opened at import (see inherit.py)."""
import json
from urllib.parse import parse_qs

import inherit


def application(environ, start_response):
    nonce = parse_qs(environ['QUERY_STRING'])['nonce'][0]
    reply = inherit.echo(nonce)
    body = json.dumps(reply).encode()
    status = '500 Internal Server Error' if 'error' in reply else '200 OK'
    start_response(status, [('Content-Type', 'application/json'),
                            ('Content-Length', str(len(body)))])
    return [body]
