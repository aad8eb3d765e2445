# SPDX-License-Identifier: PostgreSQL
"""What a fork test of a driver looks at, and how a child reports to its parent.

The parent is in a transaction at the fork. Afterwards it must find the same backend and the same
transaction, which a setting that is local to the transaction shows, and be able to commit.
"""
import json
import os
import signal

MARK = 'set before the fork'
SET_MARK = "select set_config('peer.mark', '%s', true)" % MARK
GET_MARK = "select current_setting('peer.mark', true)"
BACKEND = 'select pg_backend_pid()'

with open(os.environ['APP_CONFIG'], encoding='utf-8') as config_file:
    CONFIG = json.load(config_file)


def first_line(error):
    return '%s: %s' % (type(error).__name__, (str(error).strip() or '(no text)').splitlines()[0])


def libpq_files():
    """Which copies of libpq are loaded: the system's, or what a wheel has brought along."""
    with open('/proc/self/maps', encoding='utf-8') as maps:
        return sorted({line.split()[-1] for line in maps if 'libpq' in line})


class Fork:
    """A fork whose child, the one that sees pid 0, hands a report to its parent."""

    def __init__(self):
        read_end, write_end = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            signal.alarm(CONFIG['deadline'])
        os.close(write_end if self.pid else read_end)
        self._pipe = os.fdopen(read_end) if self.pid else os.fdopen(write_end, 'w')

    def finish(self, report, exit_process=os._exit):
        """In the child: hand over the report and end; sys.exit runs Python's finalizers too."""
        with self._pipe as pipe:
            json.dump(report, pipe)
        exit_process(0)

    def report(self):
        """In the parent: wait for the child; its report and its wait status."""
        with self._pipe as pipe:
            text = pipe.read()
        _, status = os.waitpid(self.pid, 0)
        return {**(json.loads(text) if text else {}), 'status': status}
