# SPDX-License-Identifier: PostgreSQL
"""docs/ported.md names tests that exist."""
import os
import re

from support import procs

FOLDER = os.path.join(procs.ROOT, 'tests', 'unit', 'pool')


def test_every_behaviour_has_its_test():
    with open(os.path.join(procs.ROOT, 'docs', 'ported.md'), encoding='utf-8') as file:
        named = re.findall(r'\b(\w+_test) (\w+)', file.read())
    assert len(named) > 40
    for source, test in named:
        with open(os.path.join(FOLDER, source + '.c'), encoding='utf-8') as file:
            assert 'TEST(%s)' % test in file.read(), '%s %s' % (source, test)
