# SPDX-License-Identifier: PostgreSQL
"""All files of a project together: whose name a name is, what type it has, and what runs when
something is imported or called.

A place is (path, function): one function of one file, '' for what runs at import.
"""
import os
import re

from values import Values

MAX_DEPTH = 12
MAX_PLACES = 50000

TEST = re.compile(r'(^|/)(tests?|testing|fixtures)/|(^|/)(test_[^/]*|[^/]*_test|conftest)\.py\Z')
SCRIPT = re.compile(r'(^|/)(scripts?|bin|tools|management/commands|jobs|cron)/')
MIGRATION = re.compile(r'(^|/)(migrations|alembic|versions)/')

# Type of what a call gives, by the last part of its name and its package.
MAKERS = {
    'create_engine': 'engine', 'create_async_engine': 'engine', 'engine_from_config': 'engine',
    'async_engine_from_config': 'engine', 'SQLAlchemy': 'db', 'sessionmaker': 'maker',
    'async_sessionmaker': 'maker', 'scoped_session': 'session', 'Session': 'session',
    'AsyncSession': 'session', 'ConnectionPool': 'pool', 'AsyncConnectionPool': 'pool',
    'NullConnectionPool': 'pool', 'AsyncNullConnectionPool': 'pool', 'create_pool': 'pool',
    'SimpleConnectionPool': 'pool', 'ThreadedConnectionPool': 'pool', 'Celery': 'celery',
    'connect': 'conn', 'MetaData': 'metadata',
}
PACKAGES = ('sqlalchemy', 'sqlmodel', 'flask_sqlalchemy', 'psycopg_pool', 'asyncpg', 'psycopg2',
            'psycopg', 'pg8000', 'celery')
CONNECTS = re.compile(r'(psycopg2|psycopg|asyncpg|pg8000|pg8000\.dbapi|psycopg\.Connection|'
                      r'psycopg\.AsyncConnection)\.connect(\(\))?\Z|'
                      r'pg8000\.native\.Connection(\(\))?\Z')
MEMBERS = {
    'engine': {'connect()': 'conn', 'begin()': 'conn', 'raw_connection()': 'conn',
               'sync_engine': 'engine', 'execution_options()': 'engine', 'pool': 'engine'},
    'db': {'session': 'session', 'engine': 'engine', 'get_engine()': 'engine',
           'metadata': 'metadata', 'session()': 'session', 'engines': 'engine'},
    'maker': {'begin()': 'session'},
    'session': {'connection()': 'conn', '[]': 'session'},
    'conn': {'cursor()': 'conn', 'connection': 'conn', 'execution_options()': 'conn'},
    'pool': {'connection()': 'conn', 'getconn()': 'conn', 'acquire()': 'conn'},
}
TALKS = {
    'engine': {'connect', 'begin', 'raw_connection', 'execute', 'scalar'},
    'session': {'execute', 'scalar', 'scalars', 'query', 'connection', 'get'},
    'conn': {'execute', 'executemany', 'fetch', 'fetchrow', 'fetchval', 'exec_driver_sql',
             'scalar', 'scalars'},
    'db': {'create_all', 'drop_all', 'reflect'},
    'pool': {'open', 'wait', 'getconn', 'connection', 'acquire'},
}
TAKING_ENGINE = {'create_all', 'drop_all', 'reflect', 'prepare', 'inspect', 'read_sql', 'Table',
                 'read_sql_query', 'read_sql_table', 'to_sql'}
ORM = {'get', 'count', 'exists', 'first', 'last', 'create', 'get_or_create', 'update_or_create',
       'update', 'delete'}


class Project:
    def __init__(self, facts, environment):
        self.facts = facts
        self.environment = environment
        self.index = {}
        self.settings = {}
        self.reached = {}
        self.packages = {os.path.dirname(path) for path in facts
                         if os.path.basename(path) == '__init__.py'}
        for path in facts:
            self.register(path)
        self.values = Values(self.lookup, lambda _scope, name: self.environment.get(name))
        self.is_django = any('DATABASES' in f['consts'] or any(
            name.startswith('django.') for name in f['loads'].get('', ())) for f in facts.values())

    # ---- files and modules ----

    def register(self, path):
        """Each dotted name under which a file can be imported: from the directories above it that
        are no packages."""
        parts = path[:-3].split('/')
        if parts[-1] == '__init__':
            parts.pop()
        for start in range(len(parts)):
            if '/'.join(parts[:start]) not in self.packages or start == 0:
                self.index.setdefault('.'.join(parts[start:]), []).append(path)

    def module(self, dotted, near=''):
        """The file of a module, the nearest to another file when there are several."""
        found = self.index.get(dotted)
        if not found:
            return None
        return max(found, key=lambda path: (len(os.path.commonprefix([path, near])), -len(path)))

    def is_test(self, path):
        return TEST.search(path) is not None

    def is_migration(self, path):
        return MIGRATION.search(path) is not None

    def is_script(self, path):
        return bool(SCRIPT.search(path) or MIGRATION.search(path) or self.facts[path]['main'])

    # ---- names ----

    def canonical(self, path, dotted, depth=0):
        """(file, name in it) of a dotted name as seen in a file; (None, dotted) when foreign."""
        if dotted.startswith('.'):
            return path, dotted[1:]
        parts = dotted.split('.')
        for length in range(len(parts), 0, -1):
            owner = self.module('.'.join(parts[:length]), path)
            if not owner:
                continue
            rest = parts[length:]
            given = self.facts[owner]['imports'].get(rest[0].replace('()', '')) if rest else None
            if given and depth < MAX_DEPTH and given != dotted:
                tail = '()' if rest[0].endswith('()') else ''
                return self.canonical(owner, '.'.join([given + tail] + rest[1:]), depth + 1)
            return owner, '.'.join(rest)
        return None, dotted

    def scopes(self, func):
        """The function, what is around it, its class, the module."""
        parts = func.split('.') if func not in ('', '__main__') else []
        return ['.'.join(parts[:length]) for length in range(len(parts), -1, -1)]

    def lookup(self, scope, name):
        """For Values: where a name is set, and to what."""
        path, func = scope
        owner, local = self.canonical(path, name)
        if owner is None:
            return None
        if local.endswith('.return'):
            local = local[:-7] + '\0return'
        consts = self.facts[owner]['consts']
        for outer in self.scopes(func) if owner == path else ['']:
            key = '%s\0%s' % (outer, local) if outer else local
            if key in consts:
                return (owner, outer), consts[key]
        # settings.NAME, where settings = Settings() and class Settings has NAME
        first, _, rest = local.partition('.')
        made = self.facts[owner]['binds'].get('\0' + first)
        if rest and made:
            owner, made = self.canonical(owner, made.replace('()', ''))
            if owner and '%s.%s' % (made, rest) in self.facts[owner]['consts']:
                return (owner, ''), self.facts[owner]['consts']['%s.%s' % (made, rest)]
        return None

    def setting(self, name):
        """[(path, value)] of a setting by its name alone, wherever it is set: in a module, in a
        class of settings, in app.config."""
        if name in self.settings:
            return self.settings[name]
        found = self.settings[name] = []
        for path, facts in self.facts.items():
            if self.is_test(path):
                continue
            for key, node in facts['consts'].items():
                if key == name or key == 'config:' + name or \
                        key.endswith('.' + name) and '\0' not in key:
                    found.append((path, self.values.value((path, ''), node)))
        return found

    # ---- types ----

    def type_of(self, path, func, dotted, depth=0):
        """'engine', 'conn', ... of a dotted name with calls in it, or None."""
        if depth > MAX_DEPTH or not dotted:
            return None
        owner, local = self.canonical(path, dotted)
        if owner is None:
            return self.foreign(local)
        if owner != path:
            func = ''
        parts = local.split('.')
        for length in range(len(parts), 0, -1):
            name = '.'.join(parts[:length])
            call = name.endswith('()')
            made = self.bound(owner, func, name[:-2] if call else name, call)
            if made:
                kind = self.type_of(made[0], made[1], made[2], depth + 1)
                if call and kind == 'maker' and not made[3]:
                    kind = 'session'
                return self.member(kind, parts[length:])
        return None

    def bound(self, path, func, name, call):
        """(file, function, maker, is a function's return) of what a name was set to."""
        binds = self.facts[path]['binds']
        for scope in self.scopes(func):
            key = '%s\0%s' % (scope, name)
            if key in binds and binds[key] != '.' + name:
                return path, scope, binds[key], False
        for scope in self.scopes(func) if call else ():
            inner = '%s.%s' % (scope, name) if scope else name
            if inner + '\0return' in binds:
                return path, inner, binds[inner + '\0return'], True
        return None

    def foreign(self, dotted):
        if CONNECTS.match(dotted):
            return 'conn'
        if dotted.startswith('django.db.connection'):
            return 'conn'
        parts = dotted.split('.')
        if parts[0] not in PACKAGES:
            return None
        for at, part in enumerate(parts):
            if part.endswith('()') and part[:-2] in MAKERS:
                return self.member(MAKERS[part[:-2]], parts[at + 1:])
        return None

    def member(self, kind, parts):
        for part in parts:
            if part == '()' or kind is None:
                continue
            kind = MEMBERS.get(kind, {}).get(part)
        return kind

    def talk(self, path, op):
        """'connect', 'query' or None: whether an operation talks to a server."""
        recv, _, attr = op['name'].rpartition('.')
        if CONNECTS.match(op['name']) or op['name'] in (
                'django.db.connection.ensure_connection', 'django.db.connection.cursor'):
            return 'connect'
        if '.objects.' in op['name'] and attr in ORM and self.is_django:
            return 'query'
        kind = self.type_of(path, op['func'], recv) if recv else None
        if attr in TALKS.get(kind, ()):
            return 'query' if kind in ('session', 'conn') else 'connect'
        if attr in TAKING_ENGINE and any(
                self.type_of(path, op['func'], arg) in ('engine', 'db', 'conn')
                for arg in op['args']):
            return 'connect'
        return 'query' if op['trivial'] and attr in ('execute', 'scalar', 'fetchval', 'fetch',
                                                     'fetchrow', 'exec_driver_sql') else None

    # ---- what runs ----

    def function(self, path, func, dotted):
        """The place of a called function of the project, or None."""
        owner, local = self.canonical(path, dotted)
        if owner is None:
            return None
        local = local.replace('()', '')
        functions = self.facts[owner]['functions']
        if local.startswith('self.'):
            local = local[5:]
            outer = func.rsplit('.', 1)[0]
            return (owner, '%s.%s' % (outer, local)) \
                if '%s.%s' % (outer, local) in functions else None
        for scope in self.scopes(func) if owner == path else ['']:
            name = '%s.%s' % (scope, local) if scope else local
            if name in functions and name:
                return owner, name
            if name + '.__init__' in functions:
                return owner, name + '.__init__'
        return None

    def reach(self, starts):
        """All places that run when these do."""
        pending = [place for place in starts if place]
        key = frozenset(pending)
        if key not in self.reached:
            self.reached[key] = self.follow(pending)
        return self.reached[key]

    def follow(self, pending):
        seen = set()
        while pending and len(seen) < MAX_PLACES:
            path, func = pending.pop()
            if (path, func) in seen:
                continue
            seen.add((path, func))
            facts = self.facts[path]
            for module in facts['loads'].get(func, ()):
                loaded = self.module(module, path)
                if loaded:
                    pending.append((loaded, ''))
            for called in facts['functions'].get(func, {'calls': ()})['calls']:
                place = self.function(path, func, called)
                if place:
                    pending.append(place)
        return seen

    def items(self, kind, places):
        """(path, record) of all records of a kind that run in one of these places."""
        for path in sorted(self.facts):
            for record in self.facts[path][kind]:
                if (path, record['func']) in places:
                    yield path, record

    def hooks(self, *kinds):
        """The places of functions that were given to hooks of these kinds."""
        for path in sorted(self.facts):
            if self.is_test(path):
                continue
            for hook in self.facts[path]['hooks']:
                if hook['kind'] in kinds:
                    place = self.function(path, hook['func'], hook['target'])
                    if place:
                        yield place
