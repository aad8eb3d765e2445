# SPDX-License-Identifier: PostgreSQL
"""PgBouncer in front of a Cluster: unix sockets on both sides, transaction mode, no password asked.

    with Bouncer(cluster, 16) as bouncer:
        psycopg2.connect(bouncer.conninfo())
"""
import os
import tempfile

import psycopg2

from support import procs

PROGRAM = '/usr/sbin/pgbouncer'

CONFIG = """\
[databases]
app = host=%(server)s port=%(port)d dbname=app user=app password=%(password)s
[pgbouncer]
listen_addr =
listen_port = %(port)d
unix_socket_dir = %(directory)s
auth_type = any
pool_mode = transaction
default_pool_size = %(size)d
max_client_conn = 1000
"""


class Bouncer:
    """Stopped, and its directory removed, with the `with` block."""

    def __init__(self, cluster, size):
        self.cluster = cluster
        # In the cluster's directory, since PgBouncer refuses to run as root.
        self._directory = tempfile.TemporaryDirectory(prefix='pgbouncer-', dir=cluster.dir)
        self.directory = os.path.join(self._directory.name, 's')
        os.mkdir(self.directory)
        os.chmod(self._directory.name, 0o755)
        os.chmod(self.directory, 0o777)
        self.config = os.path.join(self._directory.name, 'pgbouncer.ini')
        with open(self.config, 'w', encoding='ascii') as file:
            file.write(CONFIG % {'server': cluster.socket_dir, 'port': cluster.port, 'size': size,
                                 'directory': self.directory, 'password': cluster.password})
        self._process = None

    def __enter__(self):
        user = ['-u', 'postgres'] if os.geteuid() == 0 else []
        self._process = procs.Proc([PROGRAM, *user, self.config]).__enter__()
        try:
            self._process.wait_ready(self._answers)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exc):
        self._process.stop()
        self._directory.cleanup()

    def conninfo(self):
        return 'host=%s port=%d user=app dbname=app' % (self.directory, self.cluster.port)

    def _answers(self):
        psycopg2.connect(self.conninfo(), connect_timeout=5).close()
        return True
