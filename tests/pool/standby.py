# SPDX-License-Identifier: PostgreSQL
"""A hot standby of a Cluster, for tests of failover."""
import os

from support.cluster import Cluster
from support.procs import wait_until


class Standby(Cluster):
    """A copy of primary that follows it, until promote()."""

    def __init__(self, primary):
        super().__init__(max_connections=primary.max_connections)
        self._primary = primary
        self.password = primary.password

    def start(self):
        try:
            self._make_directory()
            self._make_certificates()
            self._let_in()
            self._run([os.path.join(self.bindir, 'pg_basebackup'), '-h', self._primary.socket_dir,
                       '-p', str(self._primary.port), '-U', 'postgres', '-D', self.data, '-R',
                       '-c', 'fast', '--no-sync'])
            self._start_on_free_port()
            self.follow()
        except BaseException:
            self.stop()
            raise
        return self

    def _let_in(self):
        line = 'local replication postgres peer map=control\n'
        path = os.path.join(self._primary.data, 'pg_hba.conf')
        with open(path, 'r+', encoding='ascii') as file:
            if line not in file.read():
                file.write(line)
        self._primary.admin_sql('select pg_reload_conf()')

    def follow(self):
        """Wait until what the primary has now is here."""
        # Commits do not wait for the log in these servers; a checkpoint writes it.
        self._primary.admin_sql('checkpoint')
        at = self._primary.admin_sql('select pg_current_wal_lsn()')[0][0]
        wait_until(lambda: self.admin_sql('select pg_last_wal_replay_lsn() >= %s', params=(at,))
                   == [(True,)], what='the standby')

    def promote(self):
        """Make it a primary of its own."""
        assert self.admin_sql('select pg_promote()') == [(True,)]
