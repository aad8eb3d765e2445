# SPDX-License-Identifier: PostgreSQL
"""Expressions of a source file as plain data, so that they can be resolved later, across files.

A node is a dict with one telling key; what is not understood is {} ("unknown"):
    v constant    n name (dotted)    e environment variable (def: default, cast)    d dict (s: **)
    l list        j joined string    op arithmetic    or alternatives    cast    cpu    url    dj
Nothing is evaluated here and nothing of the project is executed.
"""
import ast

MAX_DEPTH = 40
MAX_TEXT = 2000
MAX_ITEMS = 200

UNKNOWN = {}
OPERATORS = {ast.Add: '+', ast.Sub: '-', ast.Mult: '*', ast.FloorDiv: '//', ast.Div: '/',
             ast.Pow: '**'}
ENVIRONMENT = {'os.environ.get', 'os.getenv', 'os.environ.setdefault', 'environ.get', 'getenv',
               'decouple.config', 'starlette.config.Config'}
CASTS = {'int', 'float', 'bool', 'str'}
CPUS = {'os.cpu_count', 'multiprocessing.cpu_count', 'os.process_cpu_count', 'psutil.cpu_count'}
# What gives its argument back, as far as settings go.
SAME = {'sqlalchemy.engine.make_url', 'sqlalchemy.make_url', 'sqlalchemy.engine.url.make_url',
        'str', 'bytes', 'copy.copy', 'copy.deepcopy', 'sqlalchemy.text', 'sqlalchemy.sql.text'}
KEEPING = {'replace', 'strip', 'rstrip', 'lstrip', 'lower', 'get_secret_value',
           'unicode_string', 'render_as_string', 'set', 'copy'}


class Names:
    """What the names of a module mean: imports make 'sa.create_engine' the real dotted name."""

    def __init__(self, package):
        self.imports = {}
        self.stars = []
        self.package = package

    def absolute(self, node):
        """The dotted module of a `from` import."""
        if not node.level:
            return node.module or ''
        parts = self.package.split('.') if self.package else []
        parts = parts[:len(parts) - (node.level - 1)] if node.level > 1 else parts
        return '.'.join(parts + ([node.module] if node.module else []))

    def learn(self, node):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.split('.')[0]
                self.imports[alias.asname or first] = alias.name if alias.asname else first
            return
        module = self.absolute(node)
        for alias in node.names:
            if alias.name == '*':
                self.stars.append(module)
            else:
                self.imports[alias.asname or alias.name] = '%s.%s' % (module, alias.name)

    def dotted(self, node):
        """'sqlalchemy.create_engine'; '.engine.connect()' when the first name is this module's.

        None when it is no chain of names, attributes and calls.
        """
        parts = []
        for _ in range(MAX_DEPTH):
            if isinstance(node, ast.Attribute):
                parts.append(node.attr)
                node = node.value
            elif isinstance(node, ast.Call):
                name = node.func
                if isinstance(name, ast.Attribute):
                    parts.append(name.attr + '()')
                    node = name.value
                elif isinstance(name, ast.Name):
                    parts.append(self._root(name.id) + '()')
                    return '.'.join(reversed(parts))
                else:
                    return None
            elif isinstance(node, ast.Await):
                node = node.value
            elif isinstance(node, ast.Subscript):
                parts.append('[]')
                node = node.value
            elif isinstance(node, ast.Name):
                parts.append(self._root(node.id))
                return '.'.join(reversed(parts))
            else:
                return None
        return None

    def _root(self, name):
        return self.imports.get(name, '.' + name)


def keywords(names, call, depth):
    items = {word.arg: build(names, word.value, depth) for word in call.keywords if word.arg}
    stars = [build(names, word.value, depth) for word in call.keywords if not word.arg]
    return {'d': items, 's': stars}


def argument(names, call, position, keyword, depth):
    for word in call.keywords:
        if word.arg == keyword:
            return build(names, word.value, depth)
    if len(call.args) > position:
        return build(names, call.args[position], depth)
    return None


def variable(names, call, cast, depth):
    """os.environ.get('NAME', default) and its relatives."""
    if not call.args or not isinstance(call.args[0], ast.Constant) \
            or not isinstance(call.args[0].value, str):
        return UNKNOWN
    node = {'e': call.args[0].value[:200]}
    default = argument(names, call, 1, 'default', depth)
    if default is not None:
        node['def'] = default
    for word in call.keywords:
        if word.arg == 'cast' and isinstance(word.value, ast.Name):
            cast = word.value.id
    if cast:
        node['cast'] = cast
    return node


def method(names, call, depth):
    """A call on something: 'url'.replace(...) is the url, as far as settings go."""
    attr = call.func.attr
    if attr in KEEPING:
        return build(names, call.func.value, depth)
    if attr == 'total_seconds':
        return build(names, call.func.value, depth)
    # environs and django-environ: env.int('NAME', default=5)
    base = call.func.value
    if isinstance(base, ast.Name) and base.id in ('env', 'environ', 'ENV') \
            and attr in ('int', 'bool', 'str', 'float', 'url', 'db', 'db_url', 'dj_db_url'):
        node = variable(names, call, attr if attr in CASTS else '', depth)
        return {'dj': {'d': {'default': node}, 's': []}} if 'db' in attr and node else node
    return UNKNOWN


def timedelta(names, call, depth):
    seconds = {'days': 86400, 'hours': 3600, 'minutes': 60, 'seconds': 1}
    total = {'v': 0}
    for word in call.keywords:
        if word.arg not in seconds:
            return UNKNOWN
        part = {'op': '*', 'a': build(names, word.value, depth), 'b': {'v': seconds[word.arg]}}
        total = {'op': '+', 'a': total, 'b': part}
    return UNKNOWN if call.args else total


def build_call(names, call, depth):
    name = names.dotted(call.func) or ''
    plain = name.lstrip('.')
    if name in ENVIRONMENT:
        return variable(names, call, '', depth)
    if plain in ('env', 'config') and call.args:
        return variable(names, call, '', depth)
    if plain in CASTS and len(call.args) == 1:
        return {'cast': plain, 'a': build(names, call.args[0], depth)}
    if name in CPUS or plain in ('cpu_count',):
        return {'cpu': 1}
    if name in SAME and call.args:
        return build(names, call.args[0], depth)
    if plain == 'dict':
        return keywords(names, call, depth)
    if plain in ('min', 'max') and call.args:
        return {'fn': plain, 'l': [build(names, arg, depth) for arg in call.args[:MAX_ITEMS]]}
    if name == 'datetime.timedelta':
        return timedelta(names, call, depth)
    if name.endswith('URL.create') or name.endswith('engine.url.URL'):
        return {'url': keywords(names, call, depth)}
    if name in ('dj_database_url.config', 'dj_database_url.parse'):
        node = keywords(names, call, depth)
        if name.endswith('parse') and call.args:
            node['d']['default'] = build(names, call.args[0], depth)
        elif 'default' not in node['d']:
            node['d']['default'] = UNKNOWN
        return {'dj': node}
    if isinstance(call.func, ast.Attribute):
        return method(names, call, depth)
    return {'n': name + '.return'} if name else UNKNOWN


def build_dict(names, node, depth):
    items, stars = {}, []
    for key, value in list(zip(node.keys, node.values))[:MAX_ITEMS]:
        if key is None:
            stars.append(build(names, value, depth))
        elif isinstance(key, ast.Constant) and isinstance(key.value, str):
            items[key.value[:200]] = build(names, value, depth)
        else:
            stars.append(UNKNOWN)
    return {'d': items, 's': stars}


def build_constant(node):
    value = node.value
    if isinstance(value, str):
        return {'v': value} if len(value) <= MAX_TEXT else UNKNOWN
    if isinstance(value, int) and abs(value) > 1 << 53:
        return UNKNOWN
    return {'v': value} if value is None or isinstance(value, (bool, int, float)) else UNKNOWN


def build_subscript(names, node, depth):
    if names.dotted(node.value) in ('os.environ', 'environ') \
            and isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
        return {'e': node.slice.value[:200]}
    return UNKNOWN


def build(names, node, depth=0):
    """The plain form of a syntax tree's expression."""
    depth += 1
    if depth > MAX_DEPTH:
        return UNKNOWN
    if isinstance(node, ast.Constant):
        return build_constant(node)
    if isinstance(node, (ast.Name, ast.Attribute)):
        name = names.dotted(node)
        return {'n': name} if name else UNKNOWN
    if isinstance(node, ast.Call):
        return build_call(names, node, depth)
    if isinstance(node, ast.Dict):
        return build_dict(names, node, depth)
    if isinstance(node, (ast.List, ast.Tuple)):
        return {'l': [build(names, item, depth) for item in node.elts[:MAX_ITEMS]]}
    if isinstance(node, ast.JoinedStr):
        return {'j': [build(names, part, depth) for part in node.values[:MAX_ITEMS]]}
    if isinstance(node, ast.FormattedValue):
        return build(names, node.value, depth)
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        return {'op': OPERATORS[type(node.op)], 'a': build(names, node.left, depth),
                'b': build(names, node.right, depth)}
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return {'op': '-', 'a': {'v': 0}, 'b': build(names, node.operand, depth)}
    if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or):
        return {'or': [build(names, value, depth) for value in node.values[:MAX_ITEMS]]}
    if isinstance(node, ast.IfExp):
        return {'if': [build(names, node.body, depth), build(names, node.orelse, depth)]}
    if isinstance(node, ast.Compare):
        return {'cmp': 1}
    if isinstance(node, ast.Subscript):
        return build_subscript(names, node, depth)
    return UNKNOWN
