# SPDX-License-Identifier: PostgreSQL
"""What a connection string says about the server and about TLS; nothing else of it is kept."""
import re
import urllib.parse

from values import HOLE, Settings, UNKNOWN

POSTGRES = re.compile(r'(postgres|postgresql|pgsql|postgis)([+_]\w+)?\Z', re.I)
LOCAL = {'localhost', 'ip6-localhost', '::1', 'host.docker.internal', ''}
# Proxies that cut idle connections, by the names they give to databases. Seconds.
PROVIDERS = (('.postgres.database.azure.com', 'Azure', 240), ('.flycast', 'Fly.io', 60))


class Server:
    """Which server: dialect True, False or None (PostgreSQL?), place 'local', 'private', 'remote'
    or None (not known), sslmode a text, None (not set) or UNKNOWN."""

    def __init__(self):
        self.postgres = None
        self.place = None
        self.sslmode = UNKNOWN
        self.provider = None
        self.keys = {}
        self.variable = None


def place_of(host):
    if HOLE in host:
        return None
    host = host.strip('[]').lower()
    if host in LOCAL or host.startswith(('127.', '/', '%2f', '@')):
        return 'local'
    return 'private' if '.' not in host and ':' not in host else 'remote'


def provider_of(host):
    for suffix, name, seconds in PROVIDERS:
        if host.lower().endswith(suffix):
            return name, seconds
    return None


def tls_of(keys, hole):
    """sslmode, or asyncpg's ssl, of the keys of a connection string."""
    for name in ('sslmode', 'ssl'):
        if name in keys:
            return UNKNOWN if HOLE in keys[name] else keys[name]
    return UNKNOWN if hole else None


def parse_url(text, server):
    scheme, _, rest = text.partition('://')
    server.postgres = True if POSTGRES.match(scheme) else None if HOLE in scheme else False
    authority, _, path = rest.partition('/')
    if '?' in authority:
        authority, _, query = authority.partition('?')
    else:
        query = path.partition('?')[2]
    host = authority.rpartition('@')[2]
    server.keys = dict(urllib.parse.parse_qsl(query.partition('#')[0], max_num_fields=100)) \
        if query.count('&') < 100 else {}
    host = re.sub(r':[\d%s]*\Z' % HOLE, '', server.keys.get('host', host))
    # A part that is not known may hold all of the rest.
    open_end = text.endswith(HOLE) or HOLE in path.partition('?')[0]
    server.place = place_of(host)
    server.provider = provider_of(host)
    server.sslmode = tls_of(server.keys, open_end)


def parse_keywords(text, server):
    pairs = re.findall(r"(\w+)\s*=\s*('(?:[^'\\]|\\.)*'|\S*)", text[:4000])
    server.postgres = True
    server.keys = {name: value.strip("'") for name, value in pairs}
    host = server.keys.get('host', server.keys.get('hostaddr', ''))
    server.place = place_of(host)
    server.provider = provider_of(host)
    server.sslmode = tls_of(server.keys, text.endswith(HOLE))


def parse(value):
    """A Server of a connection string that may have holes, or of UNKNOWN."""
    server = Server()
    if not isinstance(value, str) or not value.strip(HOLE + ' '):
        return server
    try:
        if '://' in value:
            parse_url(value.strip(), server)
        elif '=' in value:
            parse_keywords(value, server)
    except ValueError:
        return Server()
    return server


def add_settings(server, settings):
    """connect_args, OPTIONS, keywords of connect(): they win over the string."""
    if not isinstance(settings, Settings):
        if settings is UNKNOWN:
            server.sslmode = server.sslmode or UNKNOWN
            if not server.keys:
                server.keys = {}
            server.keys.setdefault('?', '?')
        return
    for name, value in settings.items():
        server.keys[name] = value
        if name in ('sslmode', 'ssl'):
            server.sslmode = as_mode(value)
    if isinstance(settings.get('host'), str):
        server.place = place_of(settings['host'])
        server.provider = provider_of(settings['host'])
    if settings.open:
        server.keys.setdefault('?', '?')
        server.sslmode = server.sslmode or UNKNOWN


def as_mode(value):
    """ssl=True, ssl='require', ssl=a context: what it demands."""
    if value is UNKNOWN:
        return UNKNOWN
    if value is False or value is None:
        return 'disable'
    return 'require' if value is True else str(value)
