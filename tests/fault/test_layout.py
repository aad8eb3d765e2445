# SPDX-License-Identifier: PostgreSQL
"""tests/support/libtine.py says the same as include/tine/tine.h, field by field."""
import ctypes
import json
import os
import re
import subprocess

import pytest

from support import libpq, libtine, procs
from support.proxy import proxy_path

HEADER = os.path.join(procs.ROOT, 'include', 'tine', 'tine.h')


@pytest.fixture(scope='module')
def layouts():
    """What the compiler makes of the structs."""
    program = os.path.join(os.path.dirname(proxy_path()), 'layout')
    return json.loads(subprocess.run([program], check=True, stdout=subprocess.PIPE).stdout)


@pytest.fixture(scope='module')
def header():
    """The header without its comments."""
    with open(HEADER, encoding='utf-8') as file:
        return re.sub(r'/\*.*?\*/', '', file.read(), flags=re.S)


def enum_names(header, tag):
    body = re.search(r'enum %s \{(.*?)\}' % tag, header, re.S).group(1)
    values, value = {}, -1
    for name, given in re.findall(r'(\w+)(?:\s*=\s*(-?\d+))?\s*(?:,|$)', body.strip()):
        value = int(given) if given else value + 1
        values[name] = value
    return values


@pytest.mark.parametrize('name', sorted(libtine.STRUCTS))
def test_layout_is_the_compilers(layouts, name):
    struct = libtine.STRUCTS[name]
    fields = {field: [getattr(struct, field).offset, getattr(struct, field).size]
              for field, _type in struct._fields_}
    assert fields == layouts[name]['fields']
    assert ctypes.sizeof(struct) == layouts[name]['size']


def test_every_struct_and_field_is_there(layouts, header):
    bodies = dict((name, body) for body, name in
                  re.findall(r'typedef struct \w+ \{(.*?)\} (\w+);', header, re.S))
    assert set(bodies) == set(layouts) == set(libtine.STRUCTS)
    for name, body in bodies.items():
        declared = re.findall(r'(\w+)(?:\[\w+\])?;', body)
        assert declared == list(layouts[name]['fields']), name


@pytest.mark.parametrize('tag,prefix,names', [
    ('tine_cause', 'TINE_CAUSE_', libtine.CAUSES),
    ('tine_event_kind', 'TINE_EVENT_', libtine.EVENTS),
    ('tine_dispose', 'TINE_DISPOSE_', libtine.DISPOSE),
    ('tine_pause', 'TINE_PAUSE_', libtine.PAUSE),
    ('tine_scope_kind', 'TINE_SCOPE_', libtine.SCOPES),
    ('tine_isolation', 'TINE_ISOLATION_', libtine.ISOLATIONS),
])
def test_names_are_in_the_headers_order(header, tag, prefix, names):
    declared = enum_names(header, tag)
    declared.pop(prefix + 'COUNT', None)
    assert declared == {prefix + name.upper(): number for number, name in enumerate(names)}


def test_statuses_are_the_headers(header):
    assert enum_names(header, 'tine_status') == {
        'TINE_' + status.name: status.value for status in libtine.Status}


def test_every_function_is_bound(header):
    declared = set(re.findall(r'TINE_PUBLIC[^;(]*?\(?\b(tine_\w+)\)?\(', header))
    assert declared == set(libtine.FUNCTIONS)
    for name in declared:
        assert hasattr(libtine.library(), name), name


def test_buckets(header):
    assert 'TINE_HISTOGRAM_BUCKETS %d\n' % libtine.HISTOGRAM_BUCKETS in header


@pytest.mark.parametrize('numbers,prefix', [
    (libpq.Connection, 'CONNECTION_'), (libpq.Transaction, 'PQTRANS_'), (libpq.Exec, 'PGRES_')])
def test_numbers_of_libpq(tmp_path, numbers, prefix):
    checks = ''.join('_Static_assert(%s%s == %d, "");\n' % (prefix, number.name, number.value)
                     for number in numbers)
    source = tmp_path / 'numbers.c'
    source.write_text('#include <libpq-fe.h>\n' + checks)
    include = subprocess.run(['pkg-config', '--cflags', 'libpq'], check=True, capture_output=True,
                             text=True).stdout.split()
    subprocess.run(['cc', '-fsyntax-only', *include, source], check=True)


def test_names_of_the_library_itself():
    for status in libtine.Status:
        name = libtine.library().tine_status_name(status.value)
        assert name == b'TINE_' + status.name.encode()
    for number, name in enumerate(libtine.CAUSES):
        assert libtine.library().tine_cause_name(number) == name.encode()
