# SPDX-License-Identifier: PostgreSQL
"""Who counts the sessions that a server has of the user app, as often as it can."""
import psycopg2

from .repeated import Repeated


class Sampler(Repeated):
    """In a thread for as long as a `with` block lasts, or in watch(); once only."""

    def __init__(self, cluster):
        super().__init__(self.sample, interval_s=0.001)
        self.connection = psycopg2.connect(cluster.conninfo('unix', application_name='sampler'))
        self.connection.autocommit = True
        self.most = self.samples = 0
        self.names = set()

    def __exit__(self, *exc):
        try:
            super().__exit__(*exc)
        finally:
            self.connection.close()

    def sample(self):
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT application_name FROM pg_stat_activity WHERE backend_type ="
                           " 'client backend' AND usename = current_user AND pid <>"
                           " pg_backend_pid() AND application_name <> 'sampler'")
            names = [name for name, in cursor.fetchall()]
        self.most = max(self.most, len(names))
        self.samples += 1
        self.names.update(filter(None, names))      # one that begins has none for a moment
        return len(names)

    def active(self, statement):
        """How many sessions are at work on a statement with these words."""
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query"
                           " LIKE %s AND pid <> pg_backend_pid()", ('%' + statement + '%',))
            return cursor.fetchone()[0]

    def watch(self, *trees):
        """Until all of them have ended."""
        while any(tree.running() for tree in trees):
            self.sample()
        self.connection.close()
