# SPDX-License-Identifier: PostgreSQL
"""docs/doctor.md and tine-doctor(1) list every code of the doctor with its grade, and no other; and
each code is raised somewhere, and by a test."""
import os
import re

import pytest

from support import procs

EXAMINATIONS = ('live', 'database', 'lint')


def read(*parts):
    with open(os.path.join(procs.ROOT, *parts), encoding='utf-8') as file:
        return file.read()


def codes():
    """{code: grade} of all lists."""
    found = {}
    for name in EXAMINATIONS:
        text = read('src', 'doctor', 'codes_%s.c' % name)
        for row in re.split(r'\.code = (?=")|\bFINE\((?=")', text)[1:]:
            code = re.match(r'"([\w-]+)"', row).group(1)
            grade = re.search(r'\.grade = TINE_GRADE_(\w+)', row)
            assert code not in found, code
            found[code] = grade.group(1).lower() if grade else 'ok'
    assert len(found) > 50
    return found


@pytest.mark.parametrize('page,pattern', [
    (('docs', 'doctor.md'), r'^- `([\w-]+)` \((\w+)\):'),
    (('docs', 'man', 'tine-doctor.1.scd'), r'^\*([\w-]+)\* \((\w+)\)$')])
def test_every_code_is_explained(page, pattern):
    listed = re.findall(pattern, read(*page), re.M)
    assert len(listed) == len(dict(listed))
    assert dict(listed) == codes()


def texts(*folders):
    for folder in folders:
        for directory, _, names in os.walk(os.path.join(procs.ROOT, folder)):
            for name in names:
                if name.endswith(('.c', '.py')) and not name.startswith('codes_'):
                    yield read(directory, name)


@pytest.mark.parametrize('folders', [('src/doctor',), ('tests/doctor', 'tests/unit')],
                         ids=['raised', 'tested'])
def test_every_code_is_used(folders):
    everything = '\n'.join(texts(*folders))

    def is_used(code):
        # Python's codes can be put together: '%s-hook-missing'
        first, _, rest = code.partition('-')
        return re.search(r'''["'](?:%s|%%s)-?%s["']''' % (first, rest), everything)
    assert [code for code in codes() if not is_used(code)] == []
