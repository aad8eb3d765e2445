# SPDX-License-Identifier: PostgreSQL
"""What goes on in threads while a test does something else: clients that ask, and who counts."""
import threading


class Repeated:
    """Each act again and again, in a thread of its own, for the time of a `with` block.

        with Repeated(ask, ask, interval_s=0.1) as asked:
            ...
        asked.count

    What an act raises ends its thread, and is raised at the end of the block. `count` is how often
    an act gave something true; one that takes long looks at `over`.
    """

    def __init__(self, *acts, interval_s=0.0):
        self.count = 0
        self.over = threading.Event()
        self._interval_s = interval_s
        self._errors = []
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(act,), daemon=True)
                         for act in acts]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc):
        self.over.set()
        for thread in self._threads:
            thread.join()
        if self._errors and exc[0] is None:
            raise self._errors[0]

    def _run(self, act):
        try:
            while not self.over.wait(self._interval_s):
                if act():
                    with self._lock:
                        self.count += 1
        except Exception as err:  # a mistake here must not look like an act that was not needed
            self._errors.append(err)
