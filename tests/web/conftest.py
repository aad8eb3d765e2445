# SPDX-License-Identifier: PostgreSQL
"""Trees for the page to show."""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from support.board import BUSY, Member         # noqa: E402  (the path had to be set first)
from webtools import Web                       # noqa: E402

IDLE = 2
OPENED, CLOSED, TIMEOUT = 4, 5, 8
LOST = 1


@pytest.fixture
def directory(tmp_path):
    path = tmp_path / 'boards of mine'
    path.mkdir(mode=0o700)
    return path


@pytest.fixture
def shop(directory):
    """Two processes: the first has an idle connection and waits, the second is busy with two."""
    with Member(directory, 'name=shop', 'budget=8', 'application=front <b>&"\'') as first, \
            Member(directory, 'name=shop', 'application=jobs') as second:
        first.tell('seat', first.tell('take'), IDLE, 0, 101, 'GET /?a=<script>&b')
        for kind, detail in ((OPENED, 0), (CLOSED, LOST), (TIMEOUT, 0)):
            first.tell('note', kind, detail)
        first.tell('waited', 100)
        first.tell('waited', 900)
        first.tell('waited', 70000000)
        second.tell('seat', second.tell('take'), BUSY, 1, 201, 'job:mail')
        second.tell('seat', second.tell('take'), BUSY, 2, 202, '"><img src=x>')
        first.tell('enter')
        first.tell('failed', first.tell('target', 7), -10, 4, 500000, 'down </p><script>x</script>')
        yield first, second


@pytest.fixture
def web(directory, shop):
    with Web(directory) as running:
        yield running
