# SPDX-License-Identifier: PostgreSQL
"""What one Python file does with databases, read from its syntax tree, as plain data.

Functions are named by their path ('create_app', 'Store.__init__', 'outer.<lambda:7>'); '' is what
runs at import and '__main__' what runs only when the file is the program. Which functions run at
import too, and what the names of other files are, is for project.py to find out.
"""
import ast
import re
import warnings

from expr import UNKNOWN, Names, build

MAX_RECORDS = 5000

POOL_MAKERS = {
    'create_engine': 'sqlalchemy', 'create_async_engine': 'sqlalchemy-async',
    'engine_from_config': 'sqlalchemy', 'async_engine_from_config': 'sqlalchemy-async',
    'SQLAlchemy': 'flask', 'ConnectionPool': 'psycopg_pool',
    'AsyncConnectionPool': 'psycopg_pool-async', 'NullConnectionPool': 'psycopg_pool-null',
    'AsyncNullConnectionPool': 'psycopg_pool-null', 'create_pool': 'asyncpg',
    'SimpleConnectionPool': 'psycopg2', 'ThreadedConnectionPool': 'psycopg2',
    'PersistentConnectionPool': 'psycopg2',
}
PACKAGES = {
    'sqlalchemy': ('sqlalchemy', 'sqlmodel'), 'sqlalchemy-async': ('sqlalchemy', 'sqlmodel'),
    'flask': ('flask_sqlalchemy',), 'psycopg_pool': ('psycopg_pool',),
    'psycopg_pool-async': ('psycopg_pool',), 'psycopg_pool-null': ('psycopg_pool',),
    'asyncpg': ('asyncpg',), 'psycopg2': ('psycopg2',),
}
# Methods and functions that may talk to a server, or close what does.
TALKING = {
    'connect', 'begin', 'raw_connection', 'execute', 'exec_driver_sql', 'scalar', 'scalars',
    'query', 'executemany', 'fetch', 'fetchrow', 'fetchval', 'create_all', 'drop_all', 'reflect',
    'prepare', 'dispose', 'close', 'closeall', 'close_all', 'open', 'wait', 'getconn', 'connection',
    'acquire', 'cursor', 'ensure_connection', 'inspect', 'read_sql', 'read_sql_query',
    'read_sql_table', 'to_sql', 'get', 'count', 'exists', 'first', 'last', 'create',
    'get_or_create', 'update_or_create', 'update', 'delete', 'Table', 'getpid', 'recreate', 'send',
}
SIGNALS = {
    'worker_process_init': 'celery_child', 'worker_init': 'celery_master',
    'celeryd_init': 'celery_master', 'celeryd_after_setup': 'celery_master',
    'worker_before_create_process': 'celery_master', 'worker_ready': 'celery_master',
}
THREADS = {'threading.Thread': 'target', 'threading.Timer': 'function', 'gevent.spawn': None,
           'asyncio.create_task': None, 'asyncio.ensure_future': None,
           '_thread.start_new_thread': None}
PROCESSES = {'multiprocessing.Process': 'target', 'multiprocessing.Pool': 'initializer',
             'multiprocessing.pool.Pool': 'initializer',
             'concurrent.futures.ProcessPoolExecutor': 'initializer',
             'billiard.Process': 'target', 'billiard.Pool': 'initializer'}
TRIVIAL = re.compile(r"\s*select\s+('?\w{0,8}'?|now\(\)|version\(\)|pg_backend_pid\(\))\s*;?\s*\Z",
                     re.I)


def pool_api(name, stars):
    """The kind of pool that a call of this dotted name makes, or None."""
    last = name.rsplit('.', 1)[-1]
    api = POOL_MAKERS.get(last)
    if not api:
        return None
    packages = PACKAGES[api]
    if name.split('.', 1)[0] in packages:
        return api
    starred = name == '.' + last and any(star.split('.')[0] in packages for star in stars)
    return api if starred else None


def is_main_guard(node):
    test = node.test
    return (isinstance(test, ast.Compare) and isinstance(test.left, ast.Name)
            and test.left.id == '__name__')


def is_for_ever(node):
    """`while True:` and `while not stop.is_set():`, the loops that threads live in."""
    test = node.test
    if isinstance(test, ast.Constant):
        return bool(test.value)
    return isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not) \
        or isinstance(test, ast.Name)


class Reader:
    """Walks one tree; `facts` is what comes of it."""

    def __init__(self, package):
        self.names = Names(package)
        self.func = ''
        self.classes = []
        self.loop = False
        self.facts = {
            'imports': self.names.imports, 'stars': self.names.stars, 'loads': {}, 'functions': {},
            'classes': {}, 'consts': {}, 'binds': {}, 'ops': [], 'pools': [], 'threads': [],
            'hooks': [], 'forks': [], 'lines': {},
            'main': False,
        }
        self.function('', 1)

    # ---- records ----

    def function(self, name, line):
        return self.facts['functions'].setdefault(
            name, {'line': line, 'calls': [], 'loop': False})

    def add(self, records, line, **record):
        if len(self.facts[records]) < MAX_RECORDS:
            self.facts[records].append({'line': line, 'func': self.func, **record})

    def called(self, name):
        calls = self.function(self.func, 0)['calls']
        if len(calls) < 500 and name not in calls:
            calls.append(name)

    def constant(self, key, node, scope=None):
        """Remember what a name is set to; when it is set twice, both."""
        consts = self.facts['consts']
        new = build(self.names, node) if isinstance(node, ast.AST) else node
        if len(consts) >= MAX_RECORDS or new == {'n': '.' + key}:
            return
        if scope is None:
            scope = self.func if self.func != '__main__' else ''
        key = '%s\0%s' % (scope, key) if scope else key
        self.facts['lines'].setdefault(key, getattr(node, 'lineno', 1))
        consts[key] = {'if': [consts[key], new]} if consts.get(key, new) != new else new

    # ---- walking ----

    def visit(self, node):
        handler = getattr(self, 'visit_' + type(node).__name__, None)
        if handler:
            handler(node)
        else:
            self.children(node)

    def children(self, node):
        for child in ast.iter_child_nodes(node):
            self.visit(child)

    def visit_all(self, nodes):
        for node in nodes:
            self.visit(node)

    def inside(self, name, nodes, line):
        """Walk the body of a function."""
        saved = self.func, self.loop, self.classes
        self.func, self.loop, self.classes = name, False, []
        self.function(name, line)
        self.visit_all(nodes)
        self.func, self.loop, self.classes = saved

    def path(self, name):
        parts = [self.func] if self.func not in ('', '__main__') else []
        return '.'.join(parts + self.classes + [name])

    def visit_Import(self, node):
        self.names.learn(node)
        loads = self.facts['loads'].setdefault(self.func, [])
        loads.extend(alias.name for alias in node.names)

    def visit_ImportFrom(self, node):
        self.names.learn(node)
        module = self.names.absolute(node)
        loads = self.facts['loads'].setdefault(self.func, [])
        loads.append(module)
        loads.extend('%s.%s' % (module, alias.name) for alias in node.names)

    def visit_FunctionDef(self, node):
        name = self.path(node.name)
        for decorator in node.decorator_list:
            self.decorated(decorator, name, node.lineno)
        self.visit_all(node.args.defaults + [d for d in node.args.kw_defaults if d])
        self.inside(name, node.body, node.lineno)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node):
        self.inside(self.path('<lambda:%d>' % node.lineno), [node.body], node.lineno)

    def visit_ClassDef(self, node):
        bases = [name for name in map(self.names.dotted, node.bases) if name]
        self.facts['classes'][self.path(node.name)] = bases
        self.visit_all(node.decorator_list)
        if any(base.rsplit('.', 1)[-1] == 'AppConfig' for base in bases):
            self.add('hooks', node.lineno, kind='django_ready',
                     target='.%s.ready' % self.path(node.name))
        self.classes = self.classes + [node.name]
        self.visit_all(node.body)
        self.classes = self.classes[:-1]

    def visit_If(self, node):
        if is_main_guard(node) and self.func == '':
            self.facts['main'] = True
            self.inside('__main__', node.body, node.lineno)
            self.visit_all(node.orelse)
            return
        self.children(node)

    def visit_While(self, node):
        saved = self.loop
        if is_for_ever(node):
            self.loop = True
            self.function(self.func, 0)['loop'] = True
        self.children(node)
        self.loop = saved

    # ---- assignments ----

    def bind(self, target, value):
        """`name = maker(...)`: what the name is, by the name of what made it."""
        while isinstance(value, ast.Await):
            value = value.value
        name = self.names.dotted(target)
        if not isinstance(value, (ast.Call, ast.Attribute, ast.Name)) or not name or '[]' in name:
            return
        made = self.names.dotted(value)
        if made and len(made) < 300 and len(self.facts['binds']) < MAX_RECORDS:
            scope = '' if self.func == '__main__' else self.func
            if name.startswith('.self.') and '.' in self.func:
                scope = self.func.rsplit('.', 1)[0]
            self.facts['binds'].setdefault('%s\0%s' % (scope, name.lstrip('.')), made)

    def assign(self, target, value):
        self.bind(target, value)
        if isinstance(target, ast.Name):
            if self.classes:
                self.constant(self.path(target.id), value, scope='')
                return
            self.constant(target.id, value)
        elif isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant):
            base = self.names.dotted(target.value) or ''
            if base.endswith(('.config', '.conf')):
                self.constant('config:%s' % target.slice.value, value, scope='')
        elif isinstance(target, ast.Attribute):
            base = self.names.dotted(target.value) or ''
            if base.endswith('.conf'):
                self.constant('config:%s' % target.attr, value, scope='')
            if target.attr == 'post_fork_hook':
                self.hook('uwsgi_child', value, target.lineno)

    def visit_Assign(self, node):
        for target in node.targets:
            self.assign(target, node.value)
        self.target = self.names.dotted(node.targets[0])
        self.visit(node.value)
        self.target = None

    def visit_AnnAssign(self, node):
        if node.value is not None:
            self.assign(node.target, node.value)
            self.target = self.names.dotted(node.target)
            self.visit(node.value)
            self.target = None
        elif self.classes and isinstance(node.target, ast.Name):
            # A field of pydantic's settings is read from the environment.
            self.constant(self.path(node.target.id), {'e': node.target.id.upper()}, scope='')

    def visit_Return(self, node):
        if node.value is not None:
            self.bind(ast.Name(id='return'), node.value)
            self.constant('return', node.value)
            self.visit(node.value)

    def visit_AugAssign(self, node):
        if isinstance(node.target, ast.Name):
            self.constant(node.target.id, UNKNOWN)
        self.visit(node.value)

    target = None

    def visit_With(self, node):
        for item in node.items:
            if item.optional_vars is not None:
                self.bind(item.optional_vars, item.context_expr)
            self.visit(item.context_expr)
        self.visit_all(node.body)

    visit_AsyncWith = visit_With

    # ---- calls ----

    def visit_Call(self, node):
        target, self.target = self.target, None
        name = self.names.dotted(node.func)
        if name and len(name) < 300:
            self.called(name)
            self.recognise(node, name, target)
        self.children(node)

    def recognise(self, node, name, target):
        api = pool_api(name, self.names.stars)
        last = name.rsplit('.', 1)[-1]
        if api:
            self.add('pools', node.lineno, api=api, maker=last, target=(target or '').lstrip('.'),
                     args=[build(self.names, arg) for arg in node.args[:4]],
                     kw=self.keywords(node))
        if name in THREADS or last in ('add_job', 'Process'):
            self.thread(node, name)
        if name in PROCESSES or name == 'os.fork':
            self.add('forks', node.lineno, name=name)
            for word in node.keywords:
                if word.arg == PROCESSES.get(name):
                    self.hook('process_child', word.value, node.lineno)
        owner = ('.' + name).rsplit('.', 2)[-2]
        if last == 'connect' and owner in SIGNALS:
            kind = SIGNALS[owner]
            for arg in node.args[:1]:
                self.hook(kind, arg, node.lineno)
        if name == 'os.register_at_fork':
            for word in node.keywords:
                if word.arg == 'after_in_child':
                    self.hook('fork_child', word.value, node.lineno)
        if last == 'listen' and self.has_text(node, 'checkout') and len(node.args) > 2:
            self.hook('checkout', node.args[2], node.lineno)
        if last in ('update', 'from_mapping') and owner in ('config', 'conf'):
            self.settings(node)
        if last in TALKING:
            self.operation(node, name)

    def keywords(self, node):
        items = {word.arg: build(self.names, word.value) for word in node.keywords if word.arg}
        stars = [build(self.names, word.value) for word in node.keywords if not word.arg]
        return {'d': items, 's': stars}

    def operation(self, node, name, func=None):
        nodes = node.args[:4] + [word.value for word in node.keywords[:8]]
        close = [build(self.names, word.value) for word in node.keywords if word.arg == 'close']
        close += [build(self.names, arg) for arg in node.args[:1] if name.endswith('.dispose')]
        self.add('ops', node.lineno, name=name, loop=self.loop, close=close[:1],
                 args=[dotted for dotted in map(self.names.dotted, nodes) if dotted],
                 trivial=bool(node.args) and self.is_trivial(node.args[0]))
        if func:
            self.facts['ops'][-1]['func'] = func

    def is_trivial(self, node):
        if isinstance(node, ast.Call) and node.args:
            node = node.args[0]
        return isinstance(node, ast.Constant) and isinstance(node.value, str) \
            and TRIVIAL.match(node.value[:100]) is not None

    def settings(self, node):
        for word in node.keywords:
            if word.arg:
                self.constant('config:%s' % word.arg, word.value, scope='')
        for arg in node.args[:1]:
            if isinstance(arg, ast.Dict):
                for key, value in zip(arg.keys, arg.values):
                    if isinstance(key, ast.Constant) and isinstance(key.value, str):
                        self.constant('config:%s' % key.value, value, scope='')

    def has_text(self, node, text):
        return any(isinstance(arg, ast.Constant) and arg.value == text for arg in node.args)

    def thread(self, node, name):
        wanted = THREADS.get(name)
        values = [word.value for word in node.keywords if word.arg in (wanted, 'func')]
        position = 1 if name == 'threading.Timer' else 0
        if not values and name != 'threading.Thread':
            values = node.args[position:position + 1]
        for value in values[:1]:
            if isinstance(value, ast.Call):
                value = value.func
            target = self.callable_name(value)
            if target:
                self.add('threads', node.lineno, target=target, by=name.rsplit('.', 1)[-1])

    # ---- hooks ----

    def callable_name(self, node):
        if isinstance(node, ast.Lambda):
            return '.' + self.path('<lambda:%d>' % node.lineno)
        return self.names.dotted(node)

    def decorated(self, node, function, line):
        name = self.names.dotted(node) or ''
        parts = name.replace('()', '').split('.')
        if name:
            self.called(name.replace('()', ''))
        if parts[-1] == 'connect' and len(parts) > 1 and parts[-2] in SIGNALS:
            self.add('hooks', line, kind=SIGNALS[parts[-2]], target='.' + function)
        elif parts[-1] == 'postfork':
            self.add('hooks', line, kind='uwsgi_child', target='.' + function)
        elif parts[-1] == 'listens_for' and self.has_text(node, 'checkout'):
            self.add('hooks', line, kind='checkout', target='.' + function)
        else:
            if parts[-1] in ('on_event', 'before_first_request', 'before_serving'):
                self.add('hooks', line, kind='startup', target='.' + function)
            self.visit(node)

    def hook(self, kind, node, line):
        """A function given to a hook, or a method: register_at_fork(after_in_child=x.dispose)."""
        call = None
        if isinstance(node, ast.Call) and self.names.dotted(node.func) == 'functools.partial':
            call, node = ast.Call(func=node.args[0], args=node.args[1:], keywords=node.keywords,
                                  lineno=node.lineno), node.args[0]
        target = self.callable_name(node)
        if not target:
            return
        if target.rsplit('.', 1)[-1] in TALKING:
            call = call or ast.Call(func=node, args=[], keywords=[], lineno=node.lineno)
            made = '<hook:%d>' % line
            self.function(made, line)
            self.operation(call, target, made)
            target = '.' + made
        self.add('hooks', line, kind=kind, target=target)


def read(data, package):
    """The facts of a file's bytes.

    Raises SyntaxError, ValueError, RecursionError or MemoryError when it is not Python, or not
    such as this Python can read.
    """
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        tree = ast.parse(data)
    reader = Reader(package)
    reader.visit_all(tree.body)
    return reader.facts
