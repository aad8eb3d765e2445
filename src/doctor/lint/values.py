# SPDX-License-Identifier: PostgreSQL
"""What an expression of expr.py comes to, with names looked up by a function of the caller.

Unknown is a value of its own: nothing is guessed. In a string, a part that is not known is HOLE.
"""
import math
import os

UNKNOWN = type('Unknown', (), {'__repr__': lambda self: 'UNKNOWN'})()
HOLE = '\0'
MAX_DEPTH = 60
MAX_STEPS = 20000
MAX_TEXT = 10000
TRUE = {'1', 'true', 'yes', 'on', 't', 'y'}
FALSE = {'0', 'false', 'no', 'off', 'f', 'n', ''}


class Symbol:
    """A class of another package, by its name."""

    def __init__(self, name):
        self.name = name


class Settings(dict):
    """A dict of settings; open when a part of it could not be read, so more may be in it."""

    open = False

    def known(self, *names):
        """The first of these that is set; None when certainly none is; UNKNOWN when it may be."""
        for name in names:
            if name in self:
                return self[name]
        return UNKNOWN if self.open else None


class Values:
    """Resolves expressions.

    lookup(scope, name) -> (scope, expression) or None; scope is the caller's.
    """

    def __init__(self, lookup, environment):
        self.lookup = lookup
        self.environment = environment
        self.steps = 0
        self.uses_cpus = False

    def value(self, scope, node, depth=0):
        self.steps += 1
        if depth == 0:
            self.steps = 0
        if not node or depth > MAX_DEPTH or self.steps > MAX_STEPS:
            return UNKNOWN
        for key in KINDS:
            if key in node:
                return getattr(self, '_' + key)(scope, node, depth + 1)
        return UNKNOWN

    def _v(self, _scope, node, _depth):
        return node['v']

    def _n(self, scope, node, depth):
        found = self.lookup(scope, node['n'])
        if found:
            return self.value(found[0], found[1], depth)
        last = node['n'].rsplit('.', 1)[-1]
        return Symbol(last) if last.endswith('Pool') else UNKNOWN

    def _e(self, scope, node, depth):
        value = self.environment(scope, node['e'])
        if value is None:
            value = self.value(scope, node['def'], depth) if 'def' in node else UNKNOWN
        return cast(node['cast'], value) if node.get('cast') else value

    def _cast(self, scope, node, depth):
        return cast(node['cast'], self.value(scope, node['a'], depth))

    def _d(self, scope, node, depth):
        result = Settings()
        for part in node['s']:
            inner = self.value(scope, part, depth)
            if isinstance(inner, Settings):
                result.update(inner)
                result.open = result.open or inner.open
            else:
                result.open = True
        for name, part in node['d'].items():
            result[name] = self.value(scope, part, depth)
        return result

    def _l(self, scope, node, depth):
        values = [self.value(scope, part, depth) for part in node['l']]
        if 'fn' not in node:
            return values
        if all(is_number(value) for value in values):
            return max(values) if node['fn'] == 'max' else min(values)
        return UNKNOWN

    def _j(self, scope, node, depth):
        parts = [self.value(scope, part, depth) for part in node['j']]
        return ''.join(as_text(part) for part in parts)[:MAX_TEXT]

    def _op(self, scope, node, depth):
        a, b = self.value(scope, node['a'], depth), self.value(scope, node['b'], depth)
        if node['op'] == '+' and (isinstance(a, str) or isinstance(b, str)):
            return (as_text(a) + as_text(b))[:MAX_TEXT]
        if is_number(a) and is_number(b):
            return arithmetic(node['op'], a, b)
        return UNKNOWN

    def _or(self, scope, node, depth):
        for part in node['or']:
            value = self.value(scope, part, depth)
            if value is UNKNOWN or value:
                return value
        return value

    def _if(self, scope, node, depth):
        a, b = (self.value(scope, part, depth) for part in node['if'])
        return a if type(a) is type(b) and a == b else UNKNOWN

    def _cpu(self, _scope, _node, _depth):
        self.uses_cpus = True
        return os.cpu_count() or 1

    def _url(self, scope, node, depth):
        """URL.create(...): as text, without what is not needed, so without the password."""
        parts = self.value(scope, node['url'], depth)
        host = parts.get('host', HOLE if parts.open else '')
        query = parts.get('query')
        text = '%s://user@%s/db' % (as_text(parts.get('drivername', UNKNOWN)), as_text(host))
        if isinstance(query, Settings):
            text += '?' + '&'.join('%s=%s' % (name, as_text(query[name])) for name in query)
            text += HOLE if query.open else ''
        elif query is not None:
            text += '?' + HOLE
        return text

    def _dj(self, scope, node, depth):
        """dj_database_url: one database of Django's settings."""
        parts = self.value(scope, node['dj'], depth)
        url = parts.get('default')
        result = Settings({'URL': url if isinstance(url, str) else UNKNOWN})
        if not isinstance(url, str) and 'env' in parts or url is UNKNOWN:
            given = self.environment(scope, parts.get('env') or 'DATABASE_URL')
            result['URL'] = given if given is not None else UNKNOWN
        result['CONN_MAX_AGE'] = parts.get('conn_max_age', 0)
        result['CONN_HEALTH_CHECKS'] = parts.get('conn_health_checks', False)
        if parts.get('ssl_require') is True:
            result['OPTIONS'] = Settings({'sslmode': 'require'})
        elif parts.get('ssl_require') is UNKNOWN:
            result['OPTIONS'] = UNKNOWN
        return result


# In this order: a node may have another key as an attribute ('fn' beside 'l').
KINDS = ('v', 'n', 'e', 'cast', 'd', 'l', 'j', 'op', 'or', 'if', 'cpu', 'url', 'dj')


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) \
        and math.isfinite(value)


def as_text(value):
    return str(value) if isinstance(value, str) or is_number(value) else HOLE


def arithmetic(op, a, b):
    try:
        if op == '**' and (abs(a) > 1000 or abs(b) > 20):
            return UNKNOWN
        result = {'+': lambda: a + b, '-': lambda: a - b, '*': lambda: a * b,
                  '//': lambda: a // b, '/': lambda: a / b, '**': lambda: a ** b}[op]()
    except (ArithmeticError, ValueError):
        return UNKNOWN
    return result if is_number(result) and abs(result) < 1e15 else UNKNOWN


def cast(kind, value):
    """int(), bool() and so on, of what a variable of the environment says."""
    try:
        if value is UNKNOWN or isinstance(value, (Settings, list)):
            return UNKNOWN
        if kind == 'int':
            return int(value)
        if kind == 'float':
            return float(value)
        if kind == 'bool' and isinstance(value, str):
            lower = value.strip().lower()
            return True if lower in TRUE else False if lower in FALSE else UNKNOWN
        return bool(value) if kind == 'bool' else str(value) if kind == 'str' else value
    except (TypeError, ValueError, OverflowError):
        return UNKNOWN


def integer(value):
    """An int of a number or of its text, else None."""
    if isinstance(value, str) and len(value) < 12 and value.strip().lstrip('-').isdigit():
        return int(value)
    return int(value) if is_number(value) else None


def truth(value):
    """True, False, or None when it is not known."""
    if value is UNKNOWN:
        return None
    if isinstance(value, str):
        lower = value.strip().lower()
        return True if lower in TRUE else False if lower in FALSE else None
    return bool(value)
