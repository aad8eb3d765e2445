# SPDX-License-Identifier: PostgreSQL
"""The load that other tests and the demo put on the service: what is counted where."""
import threading
from types import SimpleNamespace

from support import visitors
from support.procs import wait_until


class NoService:
    """Browsers that ask nothing."""

    def browser(self, _role):
        return SimpleNamespace(twin=self.browser_twin, close=lambda: None)

    @staticmethod
    def browser_twin():
        return SimpleNamespace(close=lambda: None)


def test_what_is_asked_before_the_turn_belongs_before_it(monkeypatch):
    """It is waited for: what comes next may hit it, and is not what the first tally is of."""
    asked, may_end, turned = threading.Event(), threading.Event(), []
    answer = visitors.Answer(200, None, b'', 0.0, 0.1)

    def read(_browser, _world, tally):
        asked.set()
        may_end.wait()
        tally.note('lot', visitors.CORRECT, answer)
    monkeypatch.setattr(visitors, 'READERS', [read])
    with visitors.Load(SimpleNamespace(service=NoService()), readers=1, writers=0) as load:
        asked.wait()
        turner = threading.Thread(target=lambda: turned.append((load.turn(), may_end.is_set())))
        first = load.tally
        turner.start()
        wait_until(lambda: load.tally is not first)
        may_end.set()
        turner.join()
    (tally, ended), = turned
    assert tally is first and ended and tally.total(visitors.CORRECT) == 1
