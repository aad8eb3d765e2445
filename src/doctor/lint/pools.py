# SPDX-License-Identifier: PostgreSQL
"""The pools of a project with their settings, and what is to be said of each alone."""
import urls
from values import Settings, Symbol, UNKNOWN, integer, is_number, truth

SQLALCHEMY = ('sqlalchemy', 'sqlalchemy-async', 'flask')
WEAK = {'disable', 'allow', 'prefer'}
FLASK_OLD = {'SQLALCHEMY_POOL_SIZE': 'pool_size', 'SQLALCHEMY_MAX_OVERFLOW': 'max_overflow',
             'SQLALCHEMY_POOL_RECYCLE': 'pool_recycle'}


class Pool:
    """One pool: where, of which kind, with which settings, for which server."""

    def __init__(self, path, line, func, api, maker):
        self.path, self.line, self.func = path, line, func
        self.api, self.maker = api, maker
        self.settings = Settings()
        self.server = urls.Server()
        self.variable = None
        self.target = ''

    @property
    def where(self):
        return '%s:%d' % (self.path, self.line)

    @property
    def kept(self):
        """Whether it keeps connections between uses."""
        if self.api == 'django':
            return self.age() != 0 or self.django_pool() is not None
        poolclass = self.settings.get('poolclass')
        return self.api != 'psycopg_pool-null' and not (
            isinstance(poolclass, Symbol) and poolclass.name in ('NullPool', 'StaticPool'))

    def django_pool(self):
        options = self.settings.get('OPTIONS')
        pool = options.get('pool') if isinstance(options, Settings) else None
        return None if pool in (None, False) else pool

    def number(self, default, *names):
        value = self.settings.known(*names)
        return default if value is None else integer(value)

    def size(self):
        """(kept, on top) connections of one process at most; None is not known or not limited."""
        if self.api in SQLALCHEMY:
            if not self.kept:
                return 0, None
            kept, more = self.number(5, 'pool_size'), self.number(10, 'max_overflow')
            return (kept if kept and kept > 0 else None), \
                (more if more is not None and more >= 0 else None)
        if self.api.startswith('psycopg_pool'):
            least = self.number(4, 'min_size')
            return self.number(least, 'max_size'), 0
        if self.api == 'asyncpg':
            return self.number(10, 'max_size'), 0
        if self.api == 'psycopg2':
            return self.number(None, 'maxconn'), 0
        pool = self.django_pool()
        if isinstance(pool, Settings):
            return integer(pool.get('max_size', pool.get('min_size', 4))), 0
        return (4, 0) if pool is not None else (1, 0)

    def age(self):
        """Seconds after which a connection that is not used is replaced; None is never, UNKNOWN
        not known."""
        if self.api in SQLALCHEMY:
            value = self.settings.known('pool_recycle')
            value = None if value == -1 else value
        elif self.api.startswith('psycopg_pool'):
            value = self.settings.known('max_lifetime')
            value = 3600 if value is None else value
        elif self.api == 'asyncpg':
            value = self.settings.known('max_inactive_connection_lifetime')
            value = 300 if value is None else None if value == 0 else value
        elif self.api == 'django':
            value = self.settings.get('CONN_MAX_AGE', 0)
        else:
            value = None
        return value if value is None or is_number(value) else UNKNOWN

    def age_name(self):
        return {'asyncpg': 'max_inactive_connection_lifetime', 'django': 'CONN_MAX_AGE',
                'psycopg2': 'the age'}.get(
                    self.api, 'max_lifetime' if 'psycopg' in self.api else 'pool_recycle')

    def pings(self):
        """True, False, or None: not known, or there is no such setting."""
        if self.api in SQLALCHEMY:
            value = self.settings.known('pool_pre_ping')
            return False if value is None else truth(value)
        if self.api in ('psycopg_pool', 'psycopg_pool-async'):
            return 'check' in self.settings or (None if self.settings.open else False)
        if self.api == 'django' and self.django_pool() is None:
            return truth(self.settings.get('CONN_HEALTH_CHECKS', False))
        return None


# ---- finding them ----------------------------------------------------------------------------


def from_record(project, path, record):
    pool = Pool(path, record['line'], record['func'], record['api'], record['maker'])
    pool.target = record['target']
    scope = (path, record['func'])
    pool.settings = project.values.value(scope, record['kw'])
    if pool.api == 'flask':
        flask_settings(project, pool)
    elif pool.api == 'psycopg2':
        for name, node in zip(('minconn', 'maxconn', 'dsn'), record['args']):
            pool.settings.setdefault(name, project.values.value(scope, node))
    names = {'psycopg_pool': 'conninfo', 'asyncpg': 'dsn', 'psycopg2': 'dsn'}
    name = names.get(pool.api.split('-')[0], 'url')
    node = record['kw']['d'].get(name) or (record['args'][0] if record['args'] else None)
    if pool.api == 'psycopg2':
        node = record['args'][2] if len(record['args']) > 2 else record['kw']['d'].get('dsn')
    if pool.api != 'flask':
        given = node if node and not record['maker'].endswith('from_config') else {}
        pool.variable = variable_of(project, scope, given)
        pool.server = urls.parse(project.values.value(scope, given))
        by_keywords = not given and pool.api.split('-')[0] in ('asyncpg', 'psycopg2')
        add_arguments(pool, by_keywords)
    return pool


def add_arguments(pool, by_keywords):
    """connect_args, kwargs and plain keywords: what the driver is told besides the string."""
    if pool.api in SQLALCHEMY:
        urls.add_settings(pool.server, pool.settings.known('connect_args'))
        return
    if pool.api.startswith('psycopg_pool'):
        urls.add_settings(pool.server, pool.settings.known('kwargs'))
        return
    plain = Settings({name: value for name, value in pool.settings.items()
                      if name in ('ssl', 'sslmode', 'host', 'keepalives_idle')})
    if by_keywords:
        pool.server.postgres = True
        pool.server.sslmode = None
    plain.open = pool.settings.open
    urls.add_settings(pool.server, plain)


def variable_of(project, scope, node, depth=0):
    """The variable of the environment that a connection string comes from."""
    if not node or depth > 20:
        return None
    if 'e' in node:
        return node['e']
    if 'n' in node:
        found = project.lookup(scope, node['n'])
        return variable_of(project, found[0], found[1], depth + 1) if found else None
    for key in ('a', 'if', 'or'):
        for part in node[key] if isinstance(node.get(key), list) else [node.get(key)]:
            name = variable_of(project, scope, part, depth + 1)
            if name:
                return name
    return None


def flask_settings(project, pool):
    """Flask-SQLAlchemy takes them from the application's configuration."""
    options = pool.settings.get('engine_options')
    merged = options if isinstance(options, Settings) else Settings()
    merged.open = merged.open or options is UNKNOWN
    for _, value in project.setting('SQLALCHEMY_ENGINE_OPTIONS'):
        if isinstance(value, Settings):
            merged.update(value)
            merged.open = merged.open or value.open
        elif value is UNKNOWN:
            merged.open = True
    for old, name in FLASK_OLD.items():
        for _, value in project.setting(old):
            merged.setdefault(name, value)
    pool.settings = merged
    found = [urls.parse(value) for _, value in project.setting('SQLALCHEMY_DATABASE_URI')]
    usable = [server for server in found if server.postgres is not False]
    if usable:
        pool.server = usable[0]
    elif found:
        pool.server = found[0]
    urls.add_settings(pool.server, merged.known('connect_args'))


def django_pools(project):
    for path in sorted(project.facts):
        node = project.facts[path]['consts'].get('DATABASES')
        if not node or project.is_test(path):
            continue
        databases = project.values.value((path, ''), node)
        for name, settings in databases.items() if isinstance(databases, Settings) else ():
            if isinstance(settings, Settings):
                yield django_pool(project, path, name, settings)


def django_pool(project, path, name, settings):
    pool = Pool(path, project.facts[path]['lines'].get('DATABASES', 1), '', 'django',
                'DATABASES[%r]' % name)
    pool.settings = settings
    if 'URL' in settings:
        pool.server = urls.parse(settings['URL'])
        pool.variable = 'DATABASE_URL'
    else:
        engine = settings.get('ENGINE')
        pool.server.postgres = None if not isinstance(engine, str) else \
            'postg' in engine or 'psycopg' in engine
        host = settings.get('HOST', '')
        pool.server.place = urls.place_of(host) if isinstance(host, str) else None
        pool.server.provider = urls.provider_of(host) if isinstance(host, str) else None
        pool.server.sslmode = None
    urls.add_settings(pool.server, settings.get('OPTIONS'))
    return pool


def find(project):
    """All pools for PostgreSQL, tests left out."""
    found = [from_record(project, path, record)
             for path in sorted(project.facts) if not project.is_test(path)
             for record in project.facts[path]['pools']]
    found += django_pools(project)
    if 'PGSSLMODE' in project.environment:
        for pool in found:
            pool.server.sslmode = pool.server.sslmode or project.environment['PGSSLMODE']
    return [pool for pool in found if pool.server.postgres is not False]
